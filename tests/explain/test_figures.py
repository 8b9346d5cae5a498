import numpy as np
import pytest
from PIL import Image

from hf_lesion.evaluation.explanations.figures import draw_scores
from hf_lesion.explain.agreement import Agreement
from hf_lesion.explain.figures import (
    WARNING,
    Cell,
    Row,
    caption_of,
    describe_agreement,
    draw_rows,
)
from hf_lesion.labels import CODES


def heat(value):
    return np.full((8, 8), value, np.float32)


def test_cells_have_one_colour_scale_and_captions():
    image = Image.new("RGB", (40, 30), "grey")
    mask = Image.new("L", (40, 30))
    mask.paste(255, (10, 10, 20, 20))
    hot = np.eye(8, dtype=np.float32)
    row = Row(
        [Cell(image, caption="a"), Cell(image, hot, "mel 90%\n46% inside", mask, [1])],
        "apart",
        True,
        "above",
    )
    figure = draw_rows([row, row], title="title", names=["image", "cnn"])
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts.count("mel 90%") == texts.count("46% inside") == 2
    marked = {text.get_text() for axes in figure.axes for text in axes.texts
              if text.get_color() == WARNING}  # fmt: skip
    assert marked == {"46% inside"}
    assert [axes.get_title(loc="left") for axes in figure.axes][:2] == ["image", "cnn"]
    beside = [text.get_text() for band in figure.subfigs for text in band.texts]
    assert beside.count("above") == beside.count("apart") == 2
    (scale,) = [axes for axes in figure.axes if axes.get_xlabel().startswith("heat")]
    assert scale.get_xlim() == (0, 1)


def test_a_flat_map_is_said_to_be_one():
    figure = draw_rows([Row([Cell(Image.new("RGB", (40, 30)), heat(0))])], title="")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "no evidence for this\nclass in the last layer" in texts


def test_a_picture_is_dark_where_the_model_did_not_look():
    image = Image.new("RGB", (40, 30), (200, 150, 100))
    seen = (0.5, 0.0, 1.0, 1.0)
    figure = draw_rows([Row([Cell(image, heat(1), box=seen), Cell(image, heat(1))])], title="")
    first, second = (axes.images[0].get_array().astype(int) for axes in figure.axes[:2])
    assert np.ptp(first[:, :20], axis=-1).max() == 0
    assert np.ptp(first[:, 20:], axis=-1).min() > 0
    assert [np.ptp(second[0, column]) == 0 for column in (2, 8, 32, 38)] == [1, 0, 0, 1]
    assert figure.axes[-1].get_xlabel().endswith("; dark grey: not seen")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"energy": float("nan"), "outside": 0.004}, "mel 80%"),
        ({"energy": None, "outside": 0.126}, "mel 80%\n13% of lesion unseen"),
        ({"energy": None, "explained": ("mel", 0.8)}, "answer: mel 80%"),
        (
            {"energy": 0.5, "explained": ("bcc", 0.03)},
            "answer: mel 80%, bcc 3%\n50% of heat in lesion",
        ),
    ],
)
def test_captions_have_the_answer_whatever_is_explained(options, text):
    assert caption_of(("mel", 0.8), **options) == text


def test_models_that_look_elsewhere_are_flagged():
    alike, apart = Agreement(0.9, 0.6), Agreement(-0.1, 0.05)
    assert describe_agreement({("a", "b"): alike}) == ("a–b r 0.90, IoU 0.60", False)
    text, is_apart = describe_agreement({("a", "b"): alike, ("a", "c"): apart})
    assert is_apart
    first, second = text.split("\n")
    assert first == "Some heatmaps highlight different regions:"
    assert second == "a–b r 0.90, IoU 0.60;  a–c r -0.10, IoU 0.05 (apart)"
    assert "r –" in describe_agreement({("a", "b"): Agreement(np.nan, np.nan)})[0]


def test_scores_are_drawn_from_a_record_with_gaps():
    own = {name: [0.5, 0.4, 0.6] for name in ("energy", "pointing", "iou_0.5")}
    classes = {code: {"right": own, "wrong": {"energy": [None] * 3}} for code in CODES}
    maps = {kind: {"all": own, "classes": classes} for kind in ("gradcam", "gaussian")}
    curves = {"curves": {"deletion": [1, 0.2], "insertion": [0.1, 1]}}
    faithful = {"shares": [0, 1], "maps": {"gradcam": curves, "gaussian": curves}}
    record = {"localisation": {"maps": maps}}
    assert len(draw_scores(record, title="title").axes) == 4
    assert len(draw_scores(record | {"faithfulness": faithful}, title="title").axes) == 6
