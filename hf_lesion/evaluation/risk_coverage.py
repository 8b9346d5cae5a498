"""Risk-coverage curve: the error rate when only the most confident images are answered.

El-Yaniv and Wiener, "On the foundations of noise-free selective classification", JMLR 11 (2010);
area under the curve: Geifman, Uziel, El-Yaniv, ICLR 2019.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.bootstrap import draw_weights, number_lesions, percentile_interval
from hf_lesion.evaluation.predictions import Predictions

GRID = np.linspace(0.05, 1, 20)
DIGITS = 5

Floats = NDArray[np.float64]


def measure_risk(predictions: Predictions, *, seed: int = 0) -> dict[str, Any]:
    """Return the error rate among the most confident images at each coverage.

    Sure is who gives a high top probability. Images that are equally sure are in no order: each of
    them stands for their mean.

    Args:
        predictions: N answers next to the truth.
        seed: Draws the same resamples as the other intervals of this seed.

    Returns:
        `coverage`, `risk`, `low` and `high` (interval by bootstrap over lesions) at each of `GRID`,
        and `aurc`, the mean risk over every number of images.
    """
    references = predictions.references
    sureness = predictions.probabilities.max(axis=1)
    order = np.argsort(-sureness, kind="stable")
    is_wrong = metrics.predicted_classes(predictions.probabilities, references) != references
    _, group = np.unique(-sureness[order], return_inverse=True)
    errors = (np.bincount(group, is_wrong[order]) / np.bincount(group))[group]
    lesions = number_lesions(predictions.lesion_ids, len(references))
    parts = [_risk(weights[:, order], errors) for weights in draw_weights(lesions, seed=seed)]
    drawn = np.concatenate(parts) if parts else np.full((0, len(GRID)), np.nan)
    bounds = np.asarray([percentile_interval(column) for column in drawn.T])
    return {
        "coverage": GRID.round(2).tolist(),
        "risk": _risk(np.ones((1, len(order))), errors)[0].round(DIGITS).tolist(),
        "low": bounds[:, 0].round(DIGITS).tolist(),
        "high": bounds[:, 1].round(DIGITS).tolist(),
        "aurc": float((errors.cumsum() / np.arange(1, len(errors) + 1)).mean()),
    }


def _risk(weights: Floats, errors: Floats) -> Floats:
    """Return (R, grid) mean errors of the first share of the weights."""
    counts = weights.cumsum(axis=1)
    wrong = (weights * errors).cumsum(axis=1)
    rows = []
    for count, sums in zip(counts, wrong, strict=True):
        wanted = GRID * count[-1]
        covered = np.interp(wanted, np.r_[0.0, count], np.r_[0.0, sums])
        rows.append(covered / wanted)
    return np.asarray(rows)
