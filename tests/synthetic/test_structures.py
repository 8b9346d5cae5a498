import math

import numpy as np
import pytest
from scipy import ndimage

from hf_lesion.synthetic.structures import (
    build_border,
    cover_of,
    fade_out,
    off_centre,
    scatter,
    sometimes_absent,
    streaks,
    vessels,
)
from hf_lesion.synthetic.texture import Patch

RADIUS = 30.0


def patch(seed=0, scale=1.5):
    return Patch(np.random.default_rng(seed), 120.0, 120.0, scale)


def border(seed=0, **options):
    defaults = {"elongation": 1.0, "irregularity": 0.0}
    return build_border(patch(seed), RADIUS, **(defaults | options))


def test_a_regular_border_is_a_circle_of_the_given_radius():
    inside = border().depth > 0
    assert inside.sum() / 1.5**2 == pytest.approx(math.pi * RADIUS**2, rel=0.01)
    assert border().depth[90, 90] == pytest.approx(1, abs=0.05)


def test_an_elongated_border_keeps_its_area_and_has_the_given_proportions():
    inside = border(elongation=1.5).depth > 0
    wide, high = np.ptp(np.nonzero(inside.any(axis=0))), np.ptp(np.nonzero(inside.any(axis=1)))
    assert inside.sum() / 1.5**2 == pytest.approx(math.pi * RADIUS**2, rel=0.02)
    assert wide / high == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("seed", range(6))
def test_an_irregular_border_is_one_piece_that_stays_within_the_patch(seed):
    inside = border(seed, irregularity=0.25, warp=0.15).depth > 0
    assert ndimage.label(inside)[1] == 1
    assert not inside[[0, -1]].any()
    assert not inside[:, [0, -1]].any()


def test_irregularity_lengthens_the_rim():
    def compactness(inside):
        rim = inside & ~ndimage.binary_erosion(inside)
        return rim.sum() ** 2 / inside.sum()

    def mean(irregularity):
        return np.mean(
            [compactness(border(s, irregularity=irregularity).depth > 0) for s in range(8)]
        )

    assert mean(0.0) < mean(0.1) < mean(0.3)


def test_cover_and_fade_are_ramps():
    cover = cover_of(border(), 0.2)
    assert cover[90, 90] == 1
    assert cover[90, 0] == 0
    edges = fade_out(patch())
    assert edges[0].max() == edges[:, -1].max() == 0
    assert edges[20:-20, 20:-20].min() == 1


def test_scattered_places_lie_inside_and_are_as_many_as_asked():
    places = scatter(patch(), border(), 12, rim=0.2)
    assert places.shape == (12, 2)
    assert np.hypot(*places.T).max() < 0.8 * RADIUS + 1


def test_nothing_is_scattered_where_nothing_is_deep_enough():
    assert scatter(patch(), border(), 5, rim=2.0).shape == (0, 2)


def test_an_off_centre_area_lies_to_one_side():
    for seed in range(5):
        area = off_centre(patch(seed), border(), 0.4)
        middle = np.array(ndimage.center_of_mass(area)) - 90
        assert 0 <= area.min() < area.max() <= 1
        assert np.hypot(*middle) / 1.5 > 0.15 * RADIUS


def test_warp_takes_an_outlines_symmetry():
    def asymmetry(warp):
        shapes = [border(seed, warp=warp).depth > 0 for seed in range(6)]
        return np.mean([(shape != shape[::-1, ::-1]).sum() / shape.sum() for shape in shapes])

    assert asymmetry(0.0) < 0.01
    assert asymmetry(0.2) > 0.1


def test_streaks_run_along_a_part_of_the_rim_only():
    drawn = streaks(patch(1), border()) > 0.5
    x, y = patch().coordinates()
    away = np.hypot(x, y)[drawn] / RADIUS
    assert drawn.any()
    assert 0.7 < away.min() < away.max() < 1.3
    sectors = np.unique((np.arctan2(y, x)[drawn] / (math.pi / 6)).astype(int))
    assert len(sectors) < 8


def test_vessels_are_thin_and_branch_within_reach_of_the_lesion():
    drawn = vessels(patch(2), border()) > 0.5
    x, y = patch().coordinates()
    assert 0.001 < drawn.mean() < 0.1
    assert (np.hypot(x, y)[drawn] < 1.5 * RADIUS).mean() > 0.9
    assert ndimage.distance_transform_edt(drawn).max() < 5


def test_a_structure_that_comes_and_goes_is_here_full_and_there_absent():
    strength = sometimes_absent(patch(), 15)
    assert strength.min() == 0
    assert strength.max() == 1
