import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from hf_lesion.synthetic.texture import (
    Patch,
    cells,
    noise,
    spots,
    strokes,
)


def patch(seed=0, scale=1.5, width=120.0, height=90.0):
    return Patch(np.random.default_rng(seed), width, height, scale)


def test_coordinates_are_centred_and_in_units():
    x, y = patch(scale=2.0).coordinates()
    assert x.shape == y.shape == (180, 240)
    assert (x[0, 0], x[0, -1], y[0, 0], y[-1, 0]) == (-59.75, 59.75, -44.75, 44.75)


def test_noise_has_mean_0_deviation_1_and_is_smooth():
    values = np.stack([noise(patch(seed), 6.0) for seed in range(40)])
    assert values.mean() == pytest.approx(0, abs=0.03)
    assert values.std() == pytest.approx(1, abs=0.05)
    assert np.abs(np.diff(values, axis=2)).max() < 0.8


@pytest.mark.parametrize("cell", [1.3, 4.7, 30.0, 400.0])
def test_noise_is_the_same_picture_at_every_scale(cell):
    coarse, fine = noise(patch(scale=1.0), cell), noise(patch(scale=3.0), cell)
    # The middle pixel of each 3x3 block has the same centre as the coarse pixel.
    assert fine[1::3, 1::3] == pytest.approx(coarse, abs=1e-4)


def test_cells_measure_the_distance_to_the_two_nearest_centres():
    size = 10.0
    first, second, nearest = cells(patch(seed=5), size)
    # Outside oracle: the same jittered lattice searched with a k-d tree.
    jitter = np.random.default_rng(5).uniform(0.1, 0.9, (2, 13, 16)).astype(np.float32)
    centres = np.stack(
        [(jitter[0] + np.arange(16)).ravel(), (jitter[1] + np.arange(13)[:, None]).ravel()], axis=1
    )
    x, y = patch().coordinates()
    places = np.stack([(x + 60) / size + 1, (y + 45) / size + 1], axis=-1)
    distances, indices = cKDTree(centres).query(places, k=2)
    assert first == pytest.approx(distances[..., 0], abs=1e-4)
    assert (nearest == indices[..., 0]).mean() > 0.999
    # The second nearest may lie beyond the eight neighbours, in rare pixels.
    assert (np.abs(second - distances[..., 1]) < 1e-4).mean() > 0.99


def test_spots_lie_where_they_should_with_the_size_they_should_have():
    centres, radii = np.array([[-30.0, 10.0], [25.0, -20.0]]), np.array([4.0, 7.0])
    sheet = patch(scale=4.0)
    drawn = spots(sheet, centres, radii, sharpness=8) > math.exp(-1)
    labels, count = ndimage.label(drawn)
    assert count == 2
    middles = np.array(ndimage.center_of_mass(drawn, labels, [1, 2]))[:, ::-1] / 4 - (60, 45)
    areas = ndimage.sum_labels(drawn, labels, [1, 2]) / 16
    order = np.argsort(middles[:, 0])
    assert middles[order] == pytest.approx(centres, abs=0.3)
    assert areas[order] == pytest.approx(math.pi * radii**2, rel=0.06)


def test_strokes_have_their_width_and_taper_to_a_point():
    line = np.stack([np.linspace(-40, 40, 30), np.zeros(30)], axis=1)
    even, tapered = (strokes(patch(scale=4.0), [line], [4.0], taper=t) for t in (0.0, 1.0))
    assert even[:, 240].sum() / 4 == pytest.approx(4.0, abs=0.6)
    assert tapered[:, 240].sum() / 4 == pytest.approx(2.0, abs=0.6)
    assert tapered[:, 390].sum() < 0.15 * tapered[:, 90].sum()
