import numpy as np
import pytest
import torch

from hf_lesion.explain.baselines import gaussian_map, random_maps, untrained_copy
from hf_lesion.models.build import build_model

SMALL_CNN = {"widths": [8, 16], "pooling": "average", "hidden_sizes": []}


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


@pytest.mark.parametrize(
    ("name", "model_args"), [("test_resnet", None), ("test_convnext", None), ("cnn", SMALL_CNN)]
)
def test_every_weight_is_initialised_again_and_the_model_left_alone(name, model_args):
    torch.manual_seed(0)
    model = build_model(name, image_size=64, model_args=model_args)[0].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    pixel_values = torch.rand(8, 3, 64, 64)
    state = torch.get_rng_state()
    drawn, again = (untrained_copy(model, pixel_values, seed=7).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(torch.equal(again[key], value) for key, value in drawn.items())
    same = [
        key
        for key, value in drawn.items()
        # Biases and the weights of batch norms start at 0 and 1, as those of a new model do.
        if torch.equal(value, before[key]) and (value.ndim > 1 or "running" in key)
    ]
    assert same == []
