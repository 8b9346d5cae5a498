import numpy as np
import pytest

from hf_lesion.synthetic.layers import Layers, render
from hf_lesion.synthetic.skin import TONES, paint_light, paint_skin, sample_tone
from hf_lesion.synthetic.texture import Patch


def patch(seed=0):
    return Patch(np.random.default_rng(seed), 200.0, 150.0, 1.0)


def rendered(layers, light=(1.0, 0.0)):
    return render(layers, np.array([0.8, 0.6, 0.6], np.float32), scale=1.0, light=light)


def test_bare_skin_is_near_its_tone_and_nowhere_flat():
    for seed in range(8):
        skin = paint_skin(patch(seed), np.random.default_rng(seed))
        seen = rendered(skin)
        assert np.abs(np.median(seen, axis=(0, 1)) - [0.8, 0.6, 0.6]).max() < 0.12
        assert seen.std(axis=(0, 1)).min() > 0.003
        assert min(skin.blood.min(), skin.white.min()) >= 0


def test_tones_vary_from_person_to_person():
    tones = np.stack([sample_tone(np.random.default_rng(seed)) for seed in range(200)])
    assert ((tones > 0) & (tones < 1)).all()
    assert np.ptp(tones, axis=0).min() > 0.3
    assert (tones[:, 0] > tones[:, 1] - 0.05).all()  # no skin is green
    assert all(min(tone) > 0 for tone in TONES)


def test_light_is_gentle_and_falls_towards_the_corners():
    for seed in range(8):
        light = paint_light(patch(seed))
        assert light.shape == (150, 200, 3)
        assert 0.5 < light.min() < light.max() < 1.3
        corners = light[[0, 0, -1, -1], [0, -1, 0, -1]].mean()
        assert corners < light[70:80, 95:105].mean()


def test_pigments_absorb_what_their_colours_say():
    red, blue_grey, brown = (Layers.empty(patch()) for _ in range(3))
    red.blood, blue_grey.veil, brown.melanin = (np.ones((150, 200), np.float32) for _ in range(3))
    bare = rendered(Layers.empty(patch()))[0, 0]
    assert bare == pytest.approx([0.8, 0.6, 0.6])
    shares = [rendered(layers)[0, 0] / bare for layers in (red, blue_grey, brown)]
    assert shares[0].argmin() == 1  # haemoglobin absorbs green
    assert shares[1].argmin() == 0  # deep melanin looks blue
    assert shares[2].argmin() == 2


def test_slopes_towards_the_light_are_brighter():
    relief = Layers.empty(patch())
    ramp = np.abs(np.arange(200, dtype=np.float32) - 99.5)
    relief.height = np.tile(20 - 0.2 * ramp, (150, 1)).astype(np.float32)
    seen = rendered(relief, light=(-1.0, 0.0))  # from the left, where the relief rises
    assert seen[75, 50, 0] > 0.8 > seen[75, 150, 0]
    assert rendered(relief, light=(0.0, 1.0))[75, 50, 0] == pytest.approx(0.8)
