"""AUROC, average precision and points of the curves, with intervals.

Two questions next to the seven diagnoses: is it malignant (mel, bcc or akiec), is it a melanoma?
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_lesion.calibration.thresholds import sum_of
from hf_lesion.evaluation import curves
from hf_lesion.evaluation.bootstrap import (
    RESAMPLES,
    draw_weights,
    number_lesions,
    percentile_interval,
)
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.labels import CODES, LABEL2ID, LABEL_GROUPS

Statistic = Callable[[curves.Curve], NDArray[np.float64]]
AREAS: dict[str, Statistic] = {
    "auroc": curves.auroc,
    "average_precision": curves.average_precision,
}
QUESTION_STATISTICS: dict[str, Statistic] = {
    **AREAS,
    "sensitivity_at_90_specificity": lambda curve: curves.sensitivity_at(curve, 0.90),
    "sensitivity_at_95_specificity": lambda curve: curves.sensitivity_at(curve, 0.95),
    "specificity_at_95_sensitivity": lambda curve: curves.specificity_at(curve, 0.95),
}
DRAWN_POINTS = 60  # of a curve that is kept for drawing


def question_of(
    predictions: Predictions, name: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (N,) scores and (N,) truth of one of the questions of `LABEL_GROUPS`."""
    codes = LABEL_GROUPS[name]
    truth = np.isin(predictions.references, [LABEL2ID[code] for code in codes])
    return sum_of(predictions.probabilities, codes), truth


def class_intervals(
    predictions: Predictions, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return the bootstrap intervals of AUROC and average precision, each class and their mean.

    Args:
        predictions: N answers next to the truth.
        resamples: How often lesions are drawn.
        seed: Draws the same resamples as the other intervals of this seed.
    """
    drawn: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    lesions = number_lesions(predictions.lesion_ids, len(predictions.references))
    for weights in draw_weights(lesions, resamples=resamples, seed=seed):
        parts: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        for index, code in enumerate(CODES):
            truth = predictions.references == index
            curve = curves.build_curve(predictions.probabilities[:, index], truth, weights)
            for name, statistic in AREAS.items():
                value = statistic(curve)
                drawn[f"{name}_{code}"].append(value)
                parts[name].append(value)
        for name, values in parts.items():
            drawn[f"macro_{name}"].append(curves.mean_of_defined(values))
    names = [
        *(f"{name}_{code}" for name in AREAS for code in CODES),
        *(f"macro_{n}" for n in AREAS),
    ]
    return {name: _interval(drawn[name]) for name in names}


def measure_question(
    predictions: Predictions,
    name: str,
    statistics: Mapping[str, Statistic] = QUESTION_STATISTICS,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Return how well the model answers one of the questions of `LABEL_GROUPS`, with intervals.

    Args:
        predictions: N answers next to the truth.
        name: Of the question.
        statistics: What to read off its curve.
        resamples: How often lesions are drawn.
        seed: As above.

    Returns:
        `positives`, `metrics` and `intervals.bounds` by the statistics' names; NaN where undefined.
    """
    scores, truth = question_of(predictions, name)
    whole = curves.build_curve(scores, truth)
    drawn: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    lesions = number_lesions(predictions.lesion_ids, len(truth))
    for weights in draw_weights(lesions, resamples=resamples, seed=seed):
        curve = curves.build_curve(scores, truth, weights)
        for key, statistic in statistics.items():
            drawn[key].append(statistic(curve))
    return {
        "positives": int(truth.sum()),
        "metrics": {key: float(statistic(whole)) for key, statistic in statistics.items()},
        "intervals": {"bounds": {key: list(_interval(drawn[key])) for key in statistics}},
    }


def drawn_curves(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Return the ROC and precision-recall curves for drawing, of each class and of `malignant`.

    Args:
        predictions: N answers next to the truth.
    """
    questions = {
        code: (predictions.probabilities[:, index], predictions.references == index)
        for index, code in enumerate(CODES)
    }
    questions["malignant"] = question_of(predictions, "malignant")
    found = {}
    for name, (scores, truth) in questions.items():
        curve = curves.build_curve(scores, truth)
        found[name] = {
            "roc": curves.roc_points(curve, DRAWN_POINTS),
            "precision_recall": curves.precision_recall_points(curve, DRAWN_POINTS),
        }
    return found


def _interval(parts: list[NDArray[np.float64]]) -> tuple[float, float]:
    return percentile_interval(np.concatenate(parts) if parts else np.empty(0))
