"""Views: percentages, escaping, chips, and the verdict's texts."""

import html
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from predictions import ExplainableResult, Explanation, Result
from registry import Entry
from views.batch import Row, render
from views.heatmap import IMPROBABLE, caption
from views.text import empty, failure, percent
from views.verdict import UNSURE_CHIP, chips, panel, trust

from hf_lesion.calibration.thresholds import OperatingPoint
from hf_lesion.errors import InputError
from hf_lesion.labels import CODES
from hf_lesion.ood.gate import Verdict

ACCEPTED = Verdict("accepted", 0.5, 0.9, None, "Looks like the images that the model knows.")
UNSURE = Verdict("unsure", 0.5, 0.3, 0.2, "The model is unsure.")
EVIL = '"><script>alert(1)</script>'


def point(codes, threshold, sensitivity, specificity):
    return OperatingPoint(
        codes=codes,
        threshold=threshold,
        target_sensitivity=0.9,
        images=50,
        positives=9,
        sensitivity=sensitivity,
        specificity=specificity,
    )


POINTS = {
    "melanoma": point(("mel",), 0.1, 0.96, 0.56),
    "malignant": point(("akiec", "bcc", "mel"), 0.5, 0.9, 0.75),
}


def result(code="nv", height=0.82, *, mel=None, verdict=ACCEPTED, **more):
    values = np.full(len(CODES), (1 - height) / (len(CODES) - 1), np.float32)
    values[CODES.index(code)] = height
    if mel is not None:
        values[CODES.index("nv")] += values[CODES.index("mel")] - mel
        values[CODES.index("mel")] = mel
    return Result(values, verdict, **more)


def entry(name="m", **more):
    return Entry(name, Path("x"), points=POINTS, **more)


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "< 1%"), (0.009, "< 1%"), (0.4567, "46%"), (0.995, "> 99%"), (1.0, "> 99%")],
)
def test_percent_is_whole_and_never_claims_certainty(probability, text):
    assert percent(probability) == text


def test_every_text_is_escaped():
    shown = [failure(InputError(EVIL)), empty(EVIL), render([Row(EVIL, result())], EVIL)]
    shown.append(panel(result(), entry(EVIL), title=EVIL))
    for one in shown:
        assert "<script" not in one
        assert html.escape(EVIL) in one


@pytest.mark.parametrize(("mel", "raised"), [(0.12, True), (0.05, False)])
def test_a_raised_melanoma_flag_is_loud_and_never_next_to_the_word_benign(mel, raised):
    found = dict(chips(result("nv", 0.8, mel=mel), entry()))
    assert found.get("Melanoma flag raised") == ("loud" if raised else None)
    assert found.get("No melanoma flag") == (None if raised else "calm")
    assert "benign" not in panel(result("nv", 0.8, mel=mel), entry(), title="m")


def test_chips_show_the_malignant_total_and_low_confidence():
    assert ("Malignant, all three: 88%", "loud") in chips(result("mel", 0.82), entry())
    assert ("Malignant, all three: 9%", "calm") in chips(result("nv", 0.82), entry())
    assert (UNSURE_CHIP, "warning") in chips(result(verdict=UNSURE), entry())
    assert 'class="verdict unsure"' in panel(result(verdict=UNSURE), entry(), title="m")


def test_trust_is_what_was_measured_on_test_before_validation():
    said = trust(result(share_right=0.884), entry())
    line_said = "Results like this were right 88% of the time in our test."
    assert line_said in said
    assert line_said in panel(result(share_right=0.884), entry(), title="m")
    assert "raised for 96% of melanomas and for 44% of other lesions (validation)." in said
    metrics = {"sensitivity": 0.9, "specificity": 0.7}
    report = {"test": {"operating_points": {"melanoma": {"metrics": metrics}}}}
    gate = {"summary": "It rejects 6 of 10 phone photos."}
    said = trust(result(verdict=UNSURE), entry(report=report, gate=gate))
    assert "was not measured for this model" in said
    assert "raised for 90% of melanomas and for 30% of other lesions (test)." in said
    assert "- It rejects 6 of 10 phone photos." in said
    assert UNSURE.sentence in said


@pytest.mark.parametrize(("height", "is_faint"), [(0.9999, True), (0.4, False)])
def test_a_class_below_one_per_cent_is_said_to_mean_little_and_is_fainter(height, is_faint):
    picture = Image.new("RGB", (96, 96), "tan")
    heatmap = np.ones((32, 32), np.float32)
    heatmap[:16] = 0

    def explain(one):
        shown = ExplainableResult(one.probabilities, ACCEPTED, picture=picture, prediction=None)
        return Explanation(shown, "mel", "gradcam", heatmap, "", (0, 0, 1, 1), (4, 4))

    def change(found):
        return np.abs(np.asarray(found.overlay(), int) - np.asarray(picture, int)).max()

    found = explain(result("nv", height))
    expected = IMPROBABLE if is_faint else "Regions that raised the score for Melanoma."
    assert caption(found) == expected
    assert (change(found) < 0.6 * change(explain(result("mel", 0.9)))) == is_faint
