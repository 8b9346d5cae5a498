"""Risk-coverage curve: error rate if only the most confident predictions are kept.

El-Yaniv and Wiener, "On the foundations of noise-free selective classification", JMLR 11 (2010);
area under the curve: Geifman, Uziel, El-Yaniv, ICLR 2019.
"""

from typing import Any

import numpy as np

from hf_lesion.calibration.metrics import answered_right
from hf_lesion.evaluation.bootstrap import Floats, bootstrap
from hf_lesion.evaluation.predictions import Predictions

GRID = np.linspace(0.05, 1, 20)
DIGITS = 5


def measure_risk(predictions: Predictions) -> dict[str, Any]:
    """Return the error rate among the most confident images at each coverage.

    Confidence is the top probability. Images of equal confidence each count with their mean error.

    Returns:
        `coverage`, `risk`, `low` and `high` (interval by bootstrap over lesions) at each of `GRID`,
        and `aurc`, the mean risk over every number of images.
    """
    confidence = predictions.probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    is_wrong = ~answered_right(predictions.probabilities, predictions.references)
    _, group = np.unique(-confidence[order], return_inverse=True)
    errors = (np.bincount(group, is_wrong[order]) / np.bincount(group))[group]
    estimates = bootstrap(
        lambda weights: dict(enumerate(_risk(weights[:, order], errors).T)),
        len(order),
        predictions.lesion_ids,
    )
    risk, low, high = np.asarray(list(estimates.values())).round(DIGITS).T.tolist()
    return {
        "coverage": GRID.round(2).tolist(),
        "risk": risk,
        "low": low,
        "high": high,
        "aurc": float((errors.cumsum() / np.arange(1, len(errors) + 1)).mean()),
    }


def _risk(weights: Floats, errors: Floats) -> Floats:
    """Return (R, grid) mean errors of the first share of the weights."""
    rows = []
    for count, sums in zip(weights.cumsum(axis=1), (weights * errors).cumsum(axis=1), strict=True):
        wanted = GRID * count[-1]
        rows.append(np.interp(wanted, np.r_[0.0, count], np.r_[0.0, sums]) / wanted)
    return np.asarray(rows)
