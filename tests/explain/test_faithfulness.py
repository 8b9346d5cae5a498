import numpy as np
import pytest
import torch

from hf_lesion.explain.faithfulness import SHARES, blurrer, measure, rank_pixels, to_mean

TARGETS = np.array([1, 1])


def answer(pixel_values):
    """Say class 1 as far as the upper left quarter is chequered."""
    evidence = 6 * pixel_values[:, 0, :8, :8].abs().mean(dim=(1, 2)) - 3
    return torch.stack([-evidence, evidence], dim=1).softmax(dim=1)


@pytest.fixture(scope="module")
def images():
    pixel_values = torch.zeros(2, 3, 16, 16)
    pixel_values[:, :, :8, :8] = 1 - 2 * (torch.arange(8) + torch.arange(8)[:, None]).remainder(2)
    return pixel_values


def heat(where):
    maps = np.zeros((2, 16, 16), np.float32)
    maps[(slice(None), *where)] = 1
    return maps


RIGHT, WRONG = heat((slice(8), slice(8))), heat((slice(8, None), slice(8, None)))


def test_a_map_of_what_counts_beats_one_of_what_does_not_and_nothing_global_moves(images):
    state = torch.get_rng_state()
    right, again, wrong = (
        measure(answer, images, maps, TARGETS).areas() for maps in (RIGHT, RIGHT, WRONG)
    )
    deletion, insertion, road = (right - wrong).T
    assert (deletion < -0.2).all()
    assert (insertion > 0.2).all()
    assert (road > 0.2).all()
    assert np.array_equal(right, again)
    assert torch.equal(torch.get_rng_state(), state)


def test_curves_start_and_end_at_the_image_and_at_nothing(images):
    found = measure(answer, images, RIGHT, TARGETS, with_road=False)
    whole = answer(images)[:, 1].numpy()
    assert found.deletion.shape == found.insertion.shape == (2, len(SHARES))
    assert found.insertion[:, -1] == pytest.approx(whole, abs=0.05)
    assert found.deletion[:, 0] == pytest.approx(whole, abs=0.05)
    assert (found.deletion[:, -1] < 0.2).all()
    assert np.isnan(found.road).all()


def test_ranks_keep_the_order_and_break_ties_at_random():
    ranks = rank_pixels(RIGHT)
    assert ranks[0, :8, :8].min() > ranks[0, 8:].max()
    assert len(np.unique(ranks[0])) == 256
    assert np.corrcoef(ranks[0, 8:, 8:].ravel(), np.arange(64))[0, 1] < 0.5


def test_what_is_removed_takes_the_mean_colour_or_is_blurred(images):
    kept = torch.zeros(16, 16)
    kept[0, 0] = 1
    image = images[0]
    assert torch.allclose(to_mean(image, kept)[:, 5, 5], image.mean(dim=(1, 2)))
    assert to_mean(image, kept)[0, 0, 0] == 1
    blurred = blurrer(2.0)(image, kept)
    assert blurred[0, 4, 4].abs() < 0.1
    assert blurred[0, 0, 0] == 1
