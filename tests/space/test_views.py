"""Views: percentages, escaping, chips, and the verdict's texts."""

import html
import re

import numpy as np
import pytest
from PIL import Image

from hf_lesion.calibration.thresholds import OperatingPoint
from hf_lesion.labels import CODES
from hf_lesion.ood.gate import Verdict

ACCEPTED = Verdict("accepted", 0.5, 0.9, None, "Looks like the images that the model knows.")
UNSURE = Verdict("unsure", 0.5, 0.3, 0.2, "The model is unsure.")
EVIL = '"><script>alert(1)</script>'
POINTS = {
    "melanoma": OperatingPoint(
        codes=("mel",),
        threshold=0.1,
        target_sensitivity=0.9,
        images=50,
        positives=9,
        sensitivity=0.96,
        specificity=0.56,
    ),
    "malignant": OperatingPoint(
        codes=("akiec", "bcc", "mel"),
        threshold=0.5,
        target_sensitivity=0.9,
        images=50,
        positives=9,
        sensitivity=0.9,
        specificity=0.75,
    ),
}


def result(code="nv", height=0.82, *, mel=None, verdict=ACCEPTED, **more):
    from predictions import Result

    values = np.full(len(CODES), (1 - height) / (len(CODES) - 1), np.float32)
    values[CODES.index(code)] = height
    if mel is not None:
        values[CODES.index("nv")] += values[CODES.index("mel")] - mel
        values[CODES.index("mel")] = mel
    return Result(values, verdict, **more)


def entry(name="m", **more):
    from pathlib import Path

    from registry import Entry

    return Entry(name, Path("x"), points=POINTS, **more)


def text_of(shown):
    return html.unescape(re.sub("<[^>]+>", " ", shown))


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "< 1%"), (0.009, "< 1%"), (0.4567, "46%"), (0.995, "> 99%"), (1.0, "> 99%")],
)
def test_percent_is_whole_and_never_claims_certainty(probability, text):
    from views.text import percent

    assert percent(probability) == text


def test_every_text_is_escaped():
    from views.batch import Row, render
    from views.text import empty, problem, trouble
    from views.verdict import panel

    shown = [trouble(EVIL), problem(EVIL), empty(EVIL), render([Row(EVIL, result())], EVIL)]
    shown.append(panel(result(), entry(EVIL), title=EVIL))
    for one in shown:
        assert "<script" not in one
        assert html.escape(EVIL) in one


def test_what_such_results_were_worth_is_one_line_and_only_if_measured():
    from views.verdict import line, panel

    assert line(result()) == ""
    said = "Results like this were right 88% of the time in our test."
    assert line(result(share_right=0.884)) == said
    assert said in text_of(panel(result(share_right=0.884), entry(), title="m"))


@pytest.mark.parametrize(("mel", "raised"), [(0.12, True), (0.05, False)])
def test_a_raised_melanoma_flag_is_loud_and_never_next_to_the_word_benign(mel, raised):
    from views.verdict import chips, panel

    found = dict(chips(result("nv", 0.8, mel=mel), entry()))
    assert found.get("Melanoma flag raised") == ("loud" if raised else None)
    assert found.get("No melanoma flag") == (None if raised else "calm")
    assert "benign" not in panel(result("nv", 0.8, mel=mel), entry(), title="m")


def test_the_malignant_total_is_a_chip_of_its_own():
    from views.verdict import chips

    loud = dict(chips(result("mel", 0.82), entry()))
    assert loud["Malignant, all three: 88%"] == "loud"
    calm = dict(chips(result("nv", 0.82), entry()))
    assert calm["Malignant, all three: 9%"] == "calm"


def test_a_result_of_low_confidence_carries_a_chip():
    from views.verdict import UNSURE_CHIP, chips, panel

    assert (UNSURE_CHIP, "warning") in chips(result(verdict=UNSURE), entry())
    assert 'class="verdict unsure"' in panel(result(verdict=UNSURE), entry(), title="m")


def test_trust_gives_rates_of_the_test_before_those_of_validation():
    from views.verdict import trust

    assert "raised for 96% of melanomas and for 44% of other lesions (validation)." in trust(
        result(), entry()
    )
    metrics = {"sensitivity": 0.9, "specificity": 0.7}
    report = {"test": {"operating_points": {"melanoma": {"metrics": metrics}}}}
    assert "raised for 90% of melanomas and for 30% of other lesions (test)." in trust(
        result(), entry(report=report)
    )


def test_trust_says_what_the_gate_was_measured_on():
    from views.verdict import trust

    gate = {"summary": "It rejects 6 of 10 phone photos."}
    assert "- It rejects 6 of 10 phone photos." in trust(result(), entry(gate=gate))
    assert UNSURE.sentence in trust(result(verdict=UNSURE), entry())


def test_each_bar_is_a_button_with_the_shown_one_pressed():
    from views.verdict import bars

    shown = bars(result("nv", 0.82), "mel")
    assert shown.count('<button type="button" data-dx=') == len(CODES)
    assert re.findall(r'data-dx="(\w+)" [^>]*aria-pressed="true"', shown) == ["mel"]
    assert 'aria-label="Melanocytic nevus, benign, 82%: show its heatmap"' in shown
    assert shown.count('aria-label="malignant"') == 4  # three names and the key


@pytest.mark.parametrize(("height", "little"), [(0.9999, True), (0.4, False)])
def test_a_class_below_one_per_cent_is_said_to_show_little_and_is_fainter(height, little):
    from predictions import ExplainableResult, Explanation
    from views.heatmap import IMPROBABLE, caption

    one = result("nv", height)
    reading = ExplainableResult(
        one.probabilities, ACCEPTED, picture=Image.new("RGB", (96, 96), "tan"), prediction=None
    )
    heatmap = np.ones((32, 32), np.float32)
    heatmap[:16] = 0
    found = Explanation(reading, "mel", "gradcam", heatmap, "", (0, 0, 1, 1), (4, 4))
    assert caption(found) == (
        IMPROBABLE if little else "Regions that raised the score for Melanoma."
    )
    changed = np.abs(np.asarray(found.overlay(), int) - np.asarray(reading.picture, int)).max()
    full = Explanation(
        ExplainableResult(
            result("mel", 0.9).probabilities, ACCEPTED, picture=reading.picture, prediction=None
        ),
        *("mel", "gradcam", heatmap, "", (0, 0, 1, 1), (4, 4)),
    )
    strongest = np.abs(np.asarray(full.overlay(), int) - np.asarray(reading.picture, int)).max()
    assert (changed < 0.6 * strongest) == little
