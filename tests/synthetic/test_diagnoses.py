import numpy as np
import pytest

from hf_lesion.labels import CODES
from hf_lesion.synthetic.diagnoses import paint_diagnosis
from hf_lesion.synthetic.texture import Patch


def paint(dx, seed):
    patch = Patch(np.random.default_rng(seed), 120.0, 120.0, 1.0)
    return paint_diagnosis(dx, patch, radius=30.0, elongation=1.2)


@pytest.mark.parametrize("dx", CODES)
def test_layers_are_finite_not_negative_and_nowhere_at_the_patch_edge(dx):
    layers, depth = paint(dx, 3)
    for name, layer in vars(layers).items():
        assert layer.shape == depth.shape
        assert np.isfinite(layer).all()
        assert layer.min() >= 0 or name == "height"
        assert not layer[[0, -1]].any()
        assert not layer[:, [0, -1]].any()


def asymmetry(layers, depth):
    return np.abs(layers.melanin - layers.melanin[::-1, ::-1])[depth > 0].mean()


def test_the_diagnoses_differ_as_dermatologists_say():
    painted = {dx: [paint(dx, seed) for seed in range(6)] for dx in CODES}
    mean = {
        name: {
            dx: np.mean([getattr(layers, name)[depth > 0].mean() for layers, depth in painted[dx]])
            for dx in CODES
        }
        for name in ("melanin", "blood", "veil", "white", "yellow")
    }
    # Red: vascular lesions most, then actinic keratoses; brown: melanomas and nevi most.
    assert mean["blood"]["vasc"] > mean["blood"]["akiec"] > mean["blood"]["nv"]
    brown = mean["melanin"]
    assert min(brown["mel"], brown["nv"]) > brown["bkl"]
    assert brown["bkl"] > max(brown["bcc"], brown["akiec"], brown["vasc"])
    # Blue-grey in melanomas, not in nevi; keratin in bkl and akiec; a scar in dermatofibromas.
    assert mean["veil"]["mel"] > 0.03 > mean["veil"]["nv"] == 0
    assert min(mean["yellow"]["bkl"], mean["yellow"]["akiec"]) > mean["yellow"]["mel"]
    assert mean["white"]["df"] > max(mean["white"][dx] for dx in ("nv", "mel", "bkl"))
    melanomas, nevi = (np.mean([asymmetry(*one) for one in painted[dx]]) for dx in ("mel", "nv"))
    assert melanomas > 2 * nevi
    for layers, depth in painted["df"]:
        middle, ring = depth > 0.8, (depth > 0.0) & (depth < 0.3)
        assert layers.white[middle].mean() > 3 * layers.white[ring].mean()
        assert layers.melanin[ring].mean() > layers.melanin[middle].mean()
