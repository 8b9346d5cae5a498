import numpy as np
import pytest
import torch

from hf_lesion.explain.baselines import gaussian_map, random_maps, untrained_copy
from hf_lesion.explain.gradcam import explain_each
from hf_lesion.models.build import build_model


def test_the_gaussian_stands_in_the_middle_of_any_frame():
    heat = gaussian_map((60, 90))
    assert heat.shape == (60, 90)
    assert (heat.min(), heat.max()) == (0, 1)
    assert np.allclose(heat, heat[::-1, ::-1])
    assert np.unravel_index(heat.argmax(), heat.shape) in [(29, 44), (29, 45), (30, 44), (30, 45)]
    assert np.mean(gaussian_map((128, 128)) >= 0.5) == pytest.approx(0.27, abs=0.02)


def test_random_maps_are_seeded_and_do_not_favour_a_place():
    maps = random_maps(list(range(400)), (32, 32))
    assert np.array_equal(maps[:5], random_maps([0, 1, 2, 3, 4], (32, 32)))
    assert (maps.min(), maps.max()) == (0, 1)
    assert np.ptp(maps.mean(axis=0)) < 0.15


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "cnn"])
def test_every_weight_is_drawn_anew_and_the_model_left_alone(name):
    torch.manual_seed(0)
    model = build_model(name, image_size=64)[0].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    pixel_values = torch.rand(8, 3, 64, 64)
    state = torch.get_rng_state()
    drawn = untrained_copy(model, pixel_values, seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    same = [
        key
        for key, value in drawn.named_parameters()
        # Batch norms and biases start at 1 and 0, as those of a new model do.
        if value.ndim > 1 and torch.equal(value, before[key])
    ]
    assert same == []
    again = untrained_copy(model, pixel_values, seed=7)
    maps = [
        explain_each(one, pixel_values, [[1]] * 8, ["gradcam"])["gradcam"].heatmaps
        for one in (drawn, again, model)
    ]
    assert np.array_equal(maps[0], maps[1])
    assert abs(maps[0] - maps[2]).max() > 0.1
