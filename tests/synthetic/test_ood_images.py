import numpy as np
import pytest

from hf_lesion.synthetic.ood_images import KINDS, SIZE, draw_ood_image


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_its_seeds_and_no_other(kind):
    pictures = [np.asarray(draw_ood_image(kind, seed=seed)) for seed in (0, 0, 1)]
    assert pictures[0].shape == (SIZE[1], SIZE[0], 3)
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_kinds_look_as_their_names_say():
    def spread(kind):
        return np.median([np.asarray(draw_ood_image(kind, seed=s)).std((0, 1)) for s in range(8)])

    assert spread("flat") < 6 < spread("gradient") < spread("noise")
    skin = np.stack([np.asarray(draw_ood_image("skin", seed=s)).mean((0, 1)) for s in range(20)])
    assert (np.diff(np.median(skin, axis=0)) < 0).all()  # more red than green than blue
