import numpy as np
import pytest

from hf_lesion.labels import CODES
from hf_lesion.synthetic.diagnoses import OUTLINES, PAINTERS, paint_diagnosis
from hf_lesion.synthetic.texture import Patch


def paint(dx, seed):
    patch = Patch(np.random.default_rng(seed), 120.0, 120.0, 1.0)
    return paint_diagnosis(dx, patch, radius=30.0, elongation=1.2)


def mean_layers(dx):
    """Mean of each pigment within the lesion over ten lesions."""
    names = ("melanin", "blood", "veil", "white", "yellow")
    painted = [paint(dx, seed) for seed in range(10)]
    return {
        name: np.mean([getattr(layers, name)[depth > 0].mean() for layers, depth in painted])
        for name in names
    }


def test_every_diagnosis_has_a_painter_and_an_outline():
    assert set(PAINTERS) == set(OUTLINES) == set(CODES)


@pytest.mark.parametrize("dx", CODES)
def test_layers_are_finite_not_negative_and_nowhere_at_the_patch_edge(dx):
    layers, depth = paint(dx, 3)
    for name, layer in vars(layers).items():
        assert layer.shape == depth.shape
        assert np.isfinite(layer).all()
        assert layer.min() >= 0 or name == "height"
        assert not layer[[0, -1]].any()
        assert not layer[:, [0, -1]].any()


@pytest.mark.parametrize("dx", CODES)
def test_the_same_stream_paints_the_same_lesion(dx):
    first, again, other = (paint(dx, seed)[0] for seed in (3, 3, 4))
    assert all(
        (a == b).all() for a, b in zip(vars(first).values(), vars(again).values(), strict=True)
    )
    assert (first.blood != other.blood).any()


def test_the_kinds_differ_as_dermatologists_say():
    mean = {dx: mean_layers(dx) for dx in CODES}
    # Red: vascular lesions most, then actinic keratoses; brown: melanomas and nevi most.
    assert mean["vasc"]["blood"] > mean["akiec"]["blood"] > mean["nv"]["blood"]
    assert min(mean[dx]["melanin"] for dx in ("mel", "nv")) > mean["bkl"]["melanin"]
    assert mean["bkl"]["melanin"] > max(mean[dx]["melanin"] for dx in ("bcc", "akiec", "vasc"))
    # Blue-grey in melanomas, not in nevi; keratin in bkl and akiec; a scar in dermatofibromas.
    assert mean["mel"]["veil"] > 0.05
    assert mean["nv"]["veil"] == 0
    assert min(mean[dx]["yellow"] for dx in ("bkl", "akiec")) > mean["mel"]["yellow"]
    assert mean["df"]["white"] > max(mean[dx]["white"] for dx in ("nv", "mel", "bkl"))


def test_melanomas_are_less_symmetric_than_nevi():
    def asymmetry(dx):
        values = []
        for seed in range(10):
            layers, depth = paint(dx, seed)
            turned = layers.melanin[::-1, ::-1]
            values.append(np.abs(layers.melanin - turned)[depth > 0].mean())
        return np.mean(values)

    assert asymmetry("mel") > 2 * asymmetry("nv")


def test_a_dermatofibroma_is_white_in_the_middle_and_brown_around():
    for seed in range(5):
        layers, depth = paint("df", seed)
        middle, ring = depth > 0.8, (depth > 0.0) & (depth < 0.3)
        assert layers.white[middle].mean() > 3 * layers.white[ring].mean()
        assert layers.melanin[ring].mean() > layers.melanin[middle].mean()


def test_a_vascular_lesion_is_red_within_its_lobed_outline_and_nowhere_else():
    for seed in range(4):
        layers, depth = paint("vasc", seed)
        assert layers.blood[depth > 0].mean() > 6 * layers.blood[depth < 0].mean()
