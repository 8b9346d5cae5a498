import numpy as np
import pytest
import torch

from hf_lesion.models.build import load_classifier
from hf_lesion.models.forward import head_name
from hf_lesion.ood import features


@pytest.fixture(params=["tiny_timm_model", "tiny_cnn_model"])
def model(request):
    return load_classifier(str(request.getfixturevalue(request.param)))[0].eval()


@pytest.fixture(scope="module")
def pixel_values():
    return torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_one_pass_gives_logits_and_everything_seen(model, pixel_values):
    names = (features.COLOURS, *features.feature_layers(model))
    assert len(names) >= 4
    logits, seen = features.forward_with_features(model, pixel_values, names)
    with torch.no_grad():
        assert torch.allclose(logits, model(pixel_values=pixel_values).logits, atol=1e-5)
    assert list(seen) == list(names)
    for found in seen.values():
        assert found.shape[0] == 5
        assert found.isfinite().all()
        assert found.std(0).mean() > 1e-3  # tells images apart
    assert seen[features.COLOURS].shape[1] == 65
    head = model.get_submodule(head_name(model))
    with torch.no_grad():
        assert torch.allclose(head(seen[names[-1]]), logits, atol=1e-4)
    assert not any(layer._forward_hooks for layer in model.modules())


def test_pooled_maps_are_means_and_deviations():
    maps = torch.arange(24.0).reshape(1, 2, 3, 4)
    found = features.pool(maps)[0].numpy()
    assert found[:2].tolist() == [5.5, 17.5]
    assert np.allclose(found[2:], np.arange(12).std())


def test_colours_are_much_the_same_when_an_image_is_blurred(pixel_values):
    smooth = torch.nn.functional.interpolate(pixel_values[..., :8, :8], 64, mode="bicubic")
    fine = smooth + 0.3 * pixel_values
    plain, noisy, other = (
        features.describe_colours(each) for each in (smooth, fine, smooth.flip(1) + 1)
    )
    assert (plain - noisy).norm() < 0.3 * (plain - other).norm()
    assert features.describe_colours(torch.zeros(1, 3, 64, 64)).isfinite().all()
