"""The verdict in words: what is measured is said with its source, and what is not is said so."""

import numpy as np
import pytest
from PIL import Image

from hf_lesion.decision import Verdict
from hf_lesion.labels import CODES

STRANGE = Verdict("strange", 0.0, 0.9, 0.04, "This does not look like a dermoscopic image.")
UNSURE = Verdict("unsure", 0.5, 0.3, 0.2, "The model is unsure.")
RELIABILITY = {
    "count": [50, 100, 3],
    "confidence": [0.4, 0.8, 0.95],
    "accuracy": [0.5, 0.91, 0.0],
}


def report(reliability):
    return {"test": {"calibration": {"answers": {"reliability": reliability}}}}


@pytest.fixture
def answer():
    from answers import Answer

    probabilities = np.full(len(CODES), 0.03, np.float32)
    probabilities[CODES.index("nv")] = 0.82
    return Answer(probabilities, "nv", Image.new("RGB", (9, 9)), None, "none", "gradcam")


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


def test_everything_that_is_known_is_said(answer):
    from judgement import Confidence, Judgement, MelanomaPoint
    from verdicts import sentences

    corrected = np.full(len(CODES), 0.01)
    corrected[CODES.index("mel")], corrected[CODES.index("nv")] = 0.6, 0.35
    point = MelanomaPoint(True, 0.02, 0.9, 0.75, "test")
    found = sentences(answer, Judgement(Confidence(0.91, 100, "test"), corrected, point), "m")
    assert found == (
        "Looks most like a melanocytic nevus: probability 82.0%, by the model m.",
        "In our test, answers this confident were right 91% of the time (100 images).",
        "Training shows rare diagnoses more often than they are. Corrected for that, the "
        "calibrated probability of this one is 35.0%, and the likeliest is a melanoma with 60.0%.",
        "Melanoma: this image reaches the threshold of 2.0%. In our test it was reached by 90% of "
        "the melanomas, and by 25% of the others.",
    )


def test_what_was_not_measured_is_said(answer):
    from judgement import Judgement
    from verdicts import NOT_MEASURED, sentences

    assert sentences(answer, Judgement(), "m")[1:] == (NOT_MEASURED,)


def test_names_are_escaped(answer):
    from judgement import Judgement
    from verdicts import panel

    shown = panel(answer, Judgement(), '"><script>alert(1)</script>')
    assert "<script" not in shown


def test_an_unsure_answer_carries_a_note(answer):
    from judgement import Judgement
    from verdicts import panel

    assert "The model is unsure." in panel(answer, Judgement(verdict=UNSURE), "m")


def test_a_strange_image_has_its_answer_hidden_until_one_insists(classifiers, monkeypatch):
    from handlers import Page
    from shelf import Shelf

    classifier = classifiers["tiny_cnn"]
    image = Image.new("RGB", (60, 40), "brown")
    probabilities = classifier.predict([image])
    monkeypatch.setattr(classifier, "judge", lambda _: (probabilities, [STRANGE]))
    page = Page(Shelf.of({"tiny_cnn": classifier}))
    verdict, anyway, details, bars, slider, _caption = page.show(image, "tiny_cnn", "predicted")
    assert "This does not look like a dermoscopic image." in verdict
    assert not any(f'data-label="{code}"' in verdict for code in CODES)
    assert (anyway["visible"], details["visible"], bars, slider) == (True, False, "", None)
    shown = page.show_anyway(image, "tiny_cnn", "predicted", "gradcam", 50)
    assert "Looks most like" in shown[0]
    assert STRANGE.sentence in shown[0]
    assert (shown[1]["visible"], shown[2]["visible"]) == (False, True)
    assert page.classify(image, "tiny_cnn")["gate"] == "strange"


def test_corrections_and_thresholds_of_other_weights_are_not_used(tiny_cnn_model, tmp_path):
    import shutil

    from catalogue import read_entry
    from judgement import judge, weights_sha256

    from hf_lesion.models.calibration import Calibration, write_calibration
    from hf_lesion.operating_points import OperatingPoint, OperatingPoints, write_operating_points

    folder = shutil.copytree(tiny_cnn_model, tmp_path / "model")
    entry = read_entry("m", folder)
    probabilities = np.full(len(CODES), 1 / len(CODES), np.float32)
    point = OperatingPoint(("mel",), 0.1, 0.9, 50, 9, 0.9, 0.7)
    for sha, is_used in ((weights_sha256(entry), True), ("0" * 64, False)):
        biases = tuple(float(code == "df") for code in CODES)
        write_calibration(folder, Calibration(1.0, 1.0, biases, sha, {}, {}))
        write_operating_points(folder, OperatingPoints({"melanoma": point}, sha, {}))
        found = judge(entry, probabilities, None)
        assert (found.corrected is not None, found.melanoma is not None) == (is_used, is_used)
    write_calibration(folder, Calibration(1.0, 1.0, biases, weights_sha256(entry), {}, {}))
    corrected = judge(entry, probabilities, None).corrected
    assert CODES[corrected.argmax()] == "df"
