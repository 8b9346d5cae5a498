import numpy as np
import pytest
from PIL import Image

from hf_lesion.classifier import LesionClassifier
from hf_lesion.explain.mask_overlap import MEASURES, place_masks, score_maps


def score(heat, mask):
    scores = score_maps(np.asarray([heat], np.float32), np.asarray([mask], bool))
    return dict(zip(MEASURES, scores[0], strict=True))


MASK = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_scores_by_hand():
    heat = np.zeros((4, 4))
    heat[0, 0], heat[0, 1], heat[3, 3] = 1.0, 0.5, 0.3
    found = score(heat, MASK)
    assert found["energy"] == pytest.approx(1.5 / 1.8)
    assert found["pointing"] == 1
    assert found["ratio"] == pytest.approx((1.5 / 4) / (0.3 / 12))
    assert found["iou_0.25"] == pytest.approx(2 / 5)
    assert found["iou_0.5"] == pytest.approx(2 / 4)
    assert found["iou_0.75"] == pytest.approx(1 / 4)
    assert found["dice_0.5"] == pytest.approx(2 * 2 / (2 + 4))
    perfect, worst = score(MASK, MASK), score(1 - np.asarray(MASK), MASK)
    assert perfect == dict.fromkeys(MEASURES, 1) | {"ratio": np.inf}
    assert worst == dict.fromkeys(MEASURES, 0)
    heat[0, 0] = heat[3, 3] = heat[3, 2] = heat[2, 3] = 1
    assert score(heat, MASK)["pointing"] == 0.25  # shared peaks count in part


@pytest.mark.parametrize(
    ("heat", "mask"),
    [(np.zeros((4, 4)), MASK), (np.eye(4), np.zeros((4, 4))), (np.eye(4), np.ones((4, 4)))],
)
def test_nothing_is_said_of_a_flat_map_or_a_senseless_mask(heat, mask):
    assert np.isnan(list(score(heat, mask).values())).all()


def test_masks_are_laid_as_the_model_sees_images(tiny_timm_model):
    """The lesion that is bright in the image is bright where the mask says."""
    classifier = LesionClassifier.from_pretrained(tiny_timm_model)
    mask = Image.new("L", (200, 150))
    mask.paste(255, (40, 60, 120, 130))
    square = mask.crop((25, 0, 175, 150)).resize((90, 90), Image.Resampling.NEAREST)
    placed, other = place_masks([mask, square], classifier.preprocess)
    assert (placed != other).mean() < 0.03  # sizes may be mixed: both show the centre square
    assert placed.shape == classifier.image_size
    assert placed.mean() == pytest.approx(80 * 70 / 150**2, abs=0.02)
    (pixels,) = classifier.preprocess([mask.convert("RGB")]).numpy()[:, 0]
    assert pixels[placed].min() > pixels[~placed].max()
