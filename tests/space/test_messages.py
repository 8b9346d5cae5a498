"""The page's words: never certain, always escaped."""

import html

import numpy as np
import pytest

from hf_lesion.labels import CODES


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "<0.1%"), (0.0009, "<0.1%"), (0.4567, "45.7%"), (0.9995, ">99.9%"), (1.0, ">99.9%")],
)
def test_percent_never_claims_certainty(probability, text):
    from messages import percent

    assert percent(probability) == text


def test_every_text_is_escaped():
    from messages import explanation, problem, trouble

    evil = '"><script>alert(1)</script>'
    for shown in (trouble(evil), problem(evil), explanation("mel", evil)):
        assert "<script" not in shown
        assert html.escape(evil) in shown


def test_malignant_is_said_in_words_and_explained():
    from messages import WHAT_IS_MALIGNANT, bars
    from opinions import Opinion

    shown = bars(Opinion(np.full(len(CODES), 1 / len(CODES), dtype=np.float32)))
    assert shown.count('<span class="tag malignant">malignant</span>') == 3
    assert "The 3 malignant diagnoses together: <strong>42.9%</strong>" in shown
    assert html.escape(WHAT_IS_MALIGNANT) in shown
