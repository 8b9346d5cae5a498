import numpy as np
import pytest

from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.risk_coverage import GRID, measure_risk


def of(sureness, is_right, lesions=None):
    """Answers of class 5 with these top probabilities; wrong ones are of class 4."""
    sureness = np.asarray(sureness, dtype=float)
    probabilities = np.repeat((1 - sureness[:, None]) / 6, 7, axis=1)
    probabilities[:, 5] = sureness
    references = np.where(is_right, 5, 4)
    return Predictions(tuple(map(str, range(len(sureness)))), references, probabilities, lesions)


def test_the_risk_of_the_surest_share_is_counted():
    """100 images, the 20 least sure wrong."""
    found = measure_risk(of(np.linspace(0.99, 0.5, 100), np.arange(100) < 80))
    at = dict(zip(found["coverage"], found["risk"], strict=True))
    assert at[0.5] == at[0.8] == 0
    assert at[0.9] == pytest.approx(10 / 90, abs=1e-5)
    assert at[1.0] == pytest.approx(0.2)
    # Risk is 0 up to 80 images and i/(80+i) after.
    expected = sum(i / (80 + i) for i in range(1, 21)) / 100
    assert found["aurc"] == pytest.approx(expected, abs=1e-12)
    for low, risk, high in zip(found["low"], found["risk"], found["high"], strict=True):
        assert low - 1e-9 <= risk <= high + 1e-9


def test_equally_sure_images_have_no_order():
    first = measure_risk(of([0.9] * 10, np.arange(10) < 5))
    other = measure_risk(of([0.9] * 10, np.arange(10) >= 5))
    assert first == other
    assert first["risk"] == pytest.approx([0.5] * len(GRID))
