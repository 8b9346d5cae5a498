"""The verdict in words: what is measured is said with its source, and what is not is said so."""

import shutil

import numpy as np
import pytest
from PIL import Image

from hf_lesion.labels import CODES
from hf_lesion.ood.gate import Verdict

STRANGE = Verdict("strange", 0.0, 0.9, 0.04, "This does not look like a dermoscopic image.")
UNSURE = Verdict("unsure", 0.5, 0.3, 0.2, "The model is unsure.")
RELIABILITY = {
    "count": [50, 100, 3],
    "confidence": [0.4, 0.8, 0.95],
    "accuracy": [0.5, 0.91, 0.0],
}


def report(reliability):
    return {"test": {"calibration": {"answers": {"reliability": reliability}}}}


def peak(code, height, dtype=np.float32):
    values = np.full(len(CODES), (1 - height) / (len(CODES) - 1), dtype)
    values[CODES.index(code)] = height
    return values


def answer(**opinion):
    from answers import Answer
    from opinions import Opinion

    found = Opinion(peak("nv", 0.82), **opinion)
    return Answer(found, "nv", Image.new("RGB", (9, 9)), None, "none", "gradcam")


def test_the_nearest_bin_with_enough_images_tells_what_such_answers_were_worth():
    from judgement import find_confidence

    found = find_confidence(report(RELIABILITY), 0.99)
    assert (found.right, found.images, found.split) == (0.91, 100, "test")


@pytest.mark.parametrize(
    "broken", [{}, None, [], report({}), report(None), report({"count": [1], "confidence": "x"})]
)
def test_without_bins_nothing_is_claimed(broken):
    from judgement import find_confidence

    assert find_confidence(broken, 0.5) is None


def test_everything_that_is_known_is_said():
    from judgement import Confidence, Judgement, MelanomaPoint
    from verdicts import sentences

    point = MelanomaPoint(0.03, 0.02, 0.9, 0.75, "test")
    found = sentences(answer(), Judgement(Confidence(0.91, 100, "test"), point), "m")
    assert found == (
        "Looks most like a melanocytic nevus: probability 82.0%, by the model m.",
        "In our test, answers this confident were right 91% of the time (100 images).",
        "Melanoma: the model's own score of 3.0% reaches the threshold of 2.0%. In our test it was "
        "reached by 90% of the melanomas, and by 25% of the others.",
    )


def test_what_is_likelier_than_the_answer_is_said_and_why():
    from judgement import Confidence, Judgement
    from verdicts import sentences

    other = answer(corrected=peak("mel", 0.6, float))
    found = sentences(other, Judgement(Confidence(0.91, 100, "test")), "m")
    assert found == (
        "Looks most like a melanocytic nevus: probability 6.7%, by the model m.",
        "By probability a melanoma is likelier (60.0%). The answer goes by the model's own scores: "
        "by probability, rare diagnoses, melanoma among them, would be named too seldom.",
        "In our test, answers this confident (own score 82.0%) were right 91% of the time "
        "(100 images).",
    )


def test_what_was_not_measured_is_said():
    from judgement import Judgement
    from verdicts import NOT_MEASURED, sentences

    assert sentences(answer(), Judgement(), "m")[1:] == (NOT_MEASURED,)


def test_names_are_escaped():
    from judgement import Judgement
    from verdicts import panel

    shown = panel(answer(), Judgement(), '"><script>alert(1)</script>')
    assert "<script" not in shown


def test_an_unsure_answer_carries_a_note():
    from judgement import Judgement
    from verdicts import panel

    assert "The model is unsure." in panel(answer(verdict=UNSURE), Judgement(), "m")


def test_a_strange_image_has_its_answer_hidden_until_one_insists(classifiers, monkeypatch):
    from calls import Calls
    from handlers import Page
    from shelf import Shelf

    classifier = classifiers["tiny_cnn"]
    image = Image.new("RGB", (60, 40), "brown")
    monkeypatch.setattr("hf_lesion.classifier.judge", lambda *_: [STRANGE])
    page = Page(Shelf.of({"tiny_cnn": classifier}))
    verdict, anyway, details, bars, slider, _caption = page.show(image, "tiny_cnn", "predicted")
    assert "This does not look like a dermoscopic image." in verdict
    assert not any(f'data-label="{code}"' in verdict for code in CODES)
    assert (anyway["visible"], details["visible"], bars, slider) == (True, False, "", None)
    shown = page.show_anyway(image, "tiny_cnn", "predicted", "gradcam", 50)
    assert "Looks most like" in shown[0]
    assert STRANGE.sentence in shown[0]
    assert (shown[1]["visible"], shown[2]["visible"]) == (False, True)
    assert Calls(page.shelf).classify(image, "tiny_cnn")["gate"] == "strange"


def test_a_strange_image_is_marked_where_many_are_asked():
    from batch import Row
    from comparison import render
    from tables import render as render_table

    strange = answer(verdict=STRANGE)
    shown = render_table([Row("cat.png", strange.opinion), Row("mole.png", answer().opinion)], "m")
    assert shown.count("not dermoscopic?</span>") == 1
    assert "1 of them marked" in shown
    assert "So says the gate of m." in render({"m": strange, "n": answer()})
    assert "gate" not in render({"n": answer()})


def test_thresholds_of_other_weights_are_not_used(tiny_cnn_model, tmp_path):
    from catalogue import read_entry
    from judgement import judge
    from opinions import Opinion

    from hf_lesion.io.checksums import WEIGHTS, file_sha256
    from hf_lesion.operating_points import OperatingPoint, OperatingPoints, write_operating_points

    folder = shutil.copytree(tiny_cnn_model, tmp_path / "model")
    point = OperatingPoint(("mel",), 0.1, 0.9, 50, 9, 0.9, 0.7)
    for sha, is_used in ((file_sha256(folder / WEIGHTS), True), ("0" * 64, False)):
        write_operating_points(folder, OperatingPoints({"melanoma": point}, sha, {}))
        found = judge(read_entry("m", folder), Opinion(peak("mel", 0.5)))
        assert (found.melanoma is not None) == is_used
