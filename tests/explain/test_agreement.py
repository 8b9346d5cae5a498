import numpy as np
import pytest

from hf_lesion.explain.agreement import compare_all, compare_maps
from hf_lesion.explain.placement import WHOLE


def ramp(size=(20, 30)):
    return np.linspace(0, 1, size[0] * size[1], dtype=np.float32).reshape(size)


def test_a_map_agrees_with_itself_and_not_with_its_opposite():
    found = compare_maps(ramp(), ramp())
    assert (found.pearson, found.iou, found.is_apart) == (pytest.approx(1), 1, False)
    opposite = compare_maps(ramp(), 1 - ramp())
    assert (opposite.pearson, opposite.iou, opposite.is_apart) == (pytest.approx(-1), 0, True)
    assert compare_maps(ramp((20, 30)), ramp((40, 60))).pearson > 0.99
    flat = compare_maps(ramp(), np.zeros((20, 30), np.float32))
    assert np.isnan([flat.pearson, flat.iou]).all()
    assert not flat.is_apart


def test_half_of_the_top_fifth_is_the_limit_and_chance_is_apart():
    first, second = (np.zeros((10, 10), np.float32) for _ in range(2))
    first[:2] = 1
    second[1:3] = 1
    found = compare_maps(first, second)
    assert found.iou == pytest.approx(1 / 3)
    assert not found.is_apart
    generator = np.random.default_rng(0)
    found = compare_maps(*(generator.random((64, 64), np.float32) for _ in range(2)))
    assert found.iou == pytest.approx(1 / 9, abs=0.02)
    assert found.is_apart


def test_every_pair_is_compared_once_where_both_saw():
    """Two maps of the whole image, and one of its right half: they agree where they overlap."""
    across = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    maps = {"a": (across, WHOLE), "b": (across, (0.5, 0.0, 1.0, 1.0)), "c": (across, WHOLE)}
    found = compare_all(maps)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found["a", "b"].pearson > 0.99
    assert found["a", "b"].iou > 0.9
