"""Discrimination between two groups: AUROC, average precision and rates, with intervals.

Two binary questions next to the seven diagnoses: malignant (mel, bcc or akiec), and melanoma.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_lesion.calibration.thresholds import OperatingPoint, expect, rates, sum_of
from hf_lesion.evaluation import curves
from hf_lesion.evaluation.bootstrap import RESAMPLES, Estimate, bootstrap
from hf_lesion.evaluation.metrics import AREAS
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.labels import CODES, LABEL2ID, LABEL_GROUPS, MALIGNANT

Statistic = Callable[[curves.Curve], NDArray[np.float64]]
STATISTICS: dict[str, Statistic] = {
    **AREAS,
    "sensitivity_at_90_specificity": lambda curve: curves.sensitivity_at(curve, 0.90),
    "sensitivity_at_95_specificity": lambda curve: curves.sensitivity_at(curve, 0.95),
    "specificity_at_95_sensitivity": lambda curve: curves.specificity_at(curve, 0.95),
}
DRAWN_POINTS = 60  # of a curve that is kept for drawing


def is_positive(predictions: Predictions, codes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return (N,) whether the reference of each image is one of these classes."""
    return np.isin(predictions.references, [LABEL2ID[code] for code in codes])


def measure_question(
    predictions: Predictions,
    name: str,
    statistics: Mapping[str, Statistic] = STATISTICS,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return how well the probabilities separate one of `LABEL_GROUPS` from the other classes.

    Args:
        predictions: N predictions with their references.
        name: Name of the group.
        statistics: Statistics of the curve by name.
        resamples: Number of resamples.
        seed: Seed of the resamples.
    """
    scores = sum_of(predictions.probabilities, LABEL_GROUPS[name])
    truth = is_positive(predictions, LABEL_GROUPS[name])

    def measure(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        curve = curves.build_curve(scores, truth, weights)
        return {key: statistic(curve) for key, statistic in statistics.items()}

    return bootstrap(measure, len(truth), predictions.lesion_ids, resamples=resamples, seed=seed)


def measure_point(
    point: OperatingPoint, predictions: Predictions, *, prevalence: float, seed: int = 0
) -> dict[str, Estimate]:
    """Return the rates at a threshold that was fixed elsewhere, as from `thresholds.expect`.

    Args:
        point: The threshold.
        predictions: N predictions with their references.
        prevalence: Share of positives among the people that the reader has in mind.
        seed: Seed of the resamples.
    """
    flags = point.flags(predictions.probabilities)
    truth = is_positive(predictions, point.codes)
    return bootstrap(
        lambda weights: expect(*rates(weights, flags, truth), prevalence),
        len(truth),
        predictions.lesion_ids,
        seed=seed,
    )


def thin_curves(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Return the ROC and precision-recall curves for drawing, of each class and of `malignant`."""
    groups: dict[str, tuple[str, ...]] = {code: (code,) for code in CODES}
    found = {}
    for name, codes in (groups | {"malignant": MALIGNANT}).items():
        scores, truth = sum_of(predictions.probabilities, codes), is_positive(predictions, codes)
        curve = curves.build_curve(scores, truth)
        found[name] = {
            "roc": curves.roc_points(curve, DRAWN_POINTS),
            "precision_recall": curves.precision_recall_points(curve, DRAWN_POINTS),
        }
    return found
