"""Discrimination between two groups: AUROC, average precision and rates, with intervals.

Two binary questions next to the seven diagnoses: malignant (mel, bcc or akiec), and melanoma.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_lesion.calibration.thresholds import OperatingPoint, sum_of
from hf_lesion.evaluation import curves
from hf_lesion.evaluation.bootstrap import Estimate, Floats, bootstrap
from hf_lesion.evaluation.metrics import AREAS
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.labels import CODES, LABEL2ID, LABEL_GROUPS, MALIGNANT

Statistic = Callable[[curves.Curve], Floats]
STATISTICS: dict[str, Statistic] = {
    **AREAS,
    "sensitivity_at_90_specificity": lambda curve: curves.sensitivity_at(curve, 0.90),
    "sensitivity_at_95_specificity": lambda curve: curves.sensitivity_at(curve, 0.95),
    "specificity_at_95_sensitivity": lambda curve: curves.specificity_at(curve, 0.95),
}
DRAWN_POINTS = 60  # of a curve that is kept for drawing
PER = 1000


def is_positive(predictions: Predictions, codes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return (N,) whether the reference of each image is one of these classes."""
    return np.isin(predictions.references, [LABEL2ID[code] for code in codes])


def measure_question(
    predictions: Predictions, name: str, statistics: Mapping[str, Statistic] = STATISTICS
) -> dict[str, Estimate]:
    """Return how well the probabilities separate one of `LABEL_GROUPS` from the other classes."""
    scores = sum_of(predictions.probabilities, LABEL_GROUPS[name])
    truth = is_positive(predictions, LABEL_GROUPS[name])

    def measure(weights: Floats) -> dict[str, Floats]:
        curve = curves.build_curve(scores, truth, weights)
        return {key: statistic(curve) for key, statistic in statistics.items()}

    return bootstrap(measure, len(truth), predictions.lesion_ids)


def measure_point(
    point: OperatingPoint, predictions: Predictions, *, prevalence: float
) -> dict[str, Estimate]:
    """Return the rates at a threshold chosen on other images; see `expect`.

    `prevalence` is the share of positives in the population of interest.
    """
    flags = point.flags(predictions.probabilities)
    truth = is_positive(predictions, point.codes)

    def measure(weights: Floats) -> dict[str, Floats]:
        sensitivity = curves.ratio(weights @ (flags & truth), weights @ truth)
        specificity = curves.ratio(weights @ (~flags & ~truth), weights @ ~truth)
        return expect(sensitivity, specificity, prevalence)

    return bootstrap(measure, len(truth), predictions.lesion_ids)


def expect(sensitivity: Floats, specificity: Floats, prevalence: float) -> dict[str, Floats]:
    """Return predictive values and errors at a given prevalence, by Bayes' rule.

    Sensitivity and specificity are assumed not to depend on the prevalence. `ppv` is the share of
    flagged cases that are positive, NaN if none is flagged; `misses_per_1000` are positives that
    are not flagged.
    """
    found = sensitivity * prevalence
    alarms = (1 - specificity) * (1 - prevalence)
    flagged = found + alarms
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": curves.ratio(found, flagged),
        "misses_per_1000": PER * (prevalence - found),
        "false_alarms_per_1000": PER * alarms,
    }


def thin_curves(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Return the ROC and precision-recall curves for drawing, of each class and of `malignant`.

    x is 1 - specificity, or recall; both are empty where the curve is undefined.
    """
    groups: dict[str, tuple[str, ...]] = {code: (code,) for code in CODES}
    found = {}
    for name, codes in (groups | {"malignant": MALIGNANT}).items():
        scores, truth = sum_of(predictions.probabilities, codes), is_positive(predictions, codes)
        curve = curves.build_curve(scores, truth)
        lines = {
            "roc": (np.r_[0.0, 1 - curve.specificity], np.r_[0.0, curve.sensitivity]),
            "precision_recall": (curve.sensitivity, curve.precision),
        }
        found[name] = {key: curves.thin_curve(*line, DRAWN_POINTS) for key, line in lines.items()}
    return found
