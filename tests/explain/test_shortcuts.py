import numpy as np
import pytest

from hf_lesion.explain.shortcuts import CHANGES, change
from hf_lesion.synthetic.lesions import draw_lesion


@pytest.fixture(scope="module")
def lesion():
    return draw_lesion("mel", seed=5, size=(120, 90))


def test_the_lesion_or_all_but_it_is_black(lesion):
    image, mask = lesion
    before, inside = np.asarray(image), np.asarray(mask) > 127
    without = np.asarray(change(image, mask, "lesion blacked out"))
    alone = np.asarray(change(image, mask, "only the lesion"))
    assert not without[inside].any()
    assert not alone[~inside].any()
    assert np.array_equal(without[~inside], before[~inside])
    assert np.array_equal(alone[inside], before[inside])
    assert change(image, mask.resize((60, 45)), "lesion blacked out").size == image.size


@pytest.mark.parametrize("name", list(CHANGES)[2:])
def test_what_is_drawn_over_leaves_most_of_the_lesion(lesion, name):
    image, mask = lesion
    drawn = [np.asarray(change(image, mask, name, seed=seed)) for seed in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1])
    changed = (drawn[0] != np.asarray(image)).any(axis=2)
    assert 0.005 < changed.mean() < 0.6
    assert changed[np.asarray(mask) > 127].mean() < 0.3
