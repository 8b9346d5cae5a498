import math

import numpy as np
import pytest
from PIL import Image

from hf_lesion.explain.placement import WHOLE, align, place, share_outside
from hf_lesion.models.preprocessing import seen_box

CENTRE, PADDED = (0.125, 0.0, 0.875, 1.0), (0.0, -1 / 6, 1.0, 7 / 6)


def ramps(side=64):
    """Return a map that rises to the right and one that rises downwards."""
    rise = (np.arange(side, dtype=np.float32) + 0.5) / side
    return np.tile(rise, (side, 1)), np.tile(rise[:, None], (1, side))


def test_only_what_a_crop_shows_is_covered_and_the_border_of_a_padded_map_is_cut_away():
    seen = ~np.isnan(place(ramps()[0], CENTRE, (600, 450)))
    assert seen[:, 75:525].all()
    assert seen.sum() == 450 * 450
    placed = place(ramps()[1], PADDED, (600, 450))
    assert not np.isnan(placed).any()
    # The image's upper edge is an eighth down the input, its lower edge seven.
    assert placed[0, 300] == pytest.approx(1 / 8, abs=0.01)
    assert placed[-1, 300] == pytest.approx(7 / 8, abs=0.01)


@pytest.mark.parametrize("size", [(601, 450), (8, 7), (10_000, 1), (1, 1)])
def test_odd_sizes_are_cut_evenly(size):
    placed = place(np.ones((8, 8), np.float32), seen_box("centre", size), size)
    seen = ~np.isnan(placed)
    columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
    for places, side in ((columns, size[0]), (rows, size[1])):
        assert abs(places[0] - (side - 1 - places[-1])) <= 1
        assert abs(len(places) - min(size)) <= 1


@pytest.mark.parametrize(
    ("mode", "size", "at"),
    [
        ("centre", (600, 450), (300, 225)),
        ("squash", (600, 450), (75, 300)),
        ("pad", (600, 450), (500, 50)),
    ],
)
def test_heat_is_drawn_where_the_network_found_it(mode, size, at):
    """A spot of the input, put back through the box, lies on its pixel of the image."""
    box, side = seen_box(mode, size), 90
    shares = [place_ / total for place_, total in zip(at, size, strict=True)]
    column, row = (
        (share - low) / (high - low) * side
        for share, low, high in zip(shares, box[:2], box[2:], strict=True)
    )
    heat = np.zeros((side, side), np.float32)
    heat[int(row), int(column)] = 1
    placed = np.nan_to_num(place(heat, box, size))
    found_row, found_column = np.unravel_index(placed.argmax(), placed.shape)
    assert abs(found_column - at[0]) <= size[0] * (box[2] - box[0]) / side
    assert abs(found_row - at[1]) <= size[1] * (box[3] - box[1]) / side


def test_maps_of_models_that_see_other_parts_are_compared_where_both_saw():
    whole = np.zeros((8, 8), np.float32)
    whole[:, 0] = 1  # the left eighth, which a centre crop does not show
    (first, second), box = align([whole, ramps(16)[0]], [WHOLE, CENTRE])
    assert box == CENTRE
    assert first.shape == second.shape == (16, 16)
    assert first[:, 2:].max() == 0
    assert np.array_equal(second, ramps(16)[0])
    maps, same = align([ramps()[0], ramps()[1]], [WHOLE, WHOLE])
    assert same == WHOLE
    assert all(np.array_equal(*pair) for pair in zip(maps, ramps(), strict=True))


def test_the_share_of_a_lesion_outside():
    mask = Image.new("L", (600, 450))
    mask.paste(255, (25, 100, 125, 200))  # half of it left of 75
    assert share_outside(mask, CENTRE) == 0.5
    assert share_outside(mask, WHOLE) == share_outside(mask, PADDED) == 0
    assert share_outside(mask.convert("1"), CENTRE) == 0.5
    assert math.isnan(share_outside(Image.new("L", (600, 450)), CENTRE))
