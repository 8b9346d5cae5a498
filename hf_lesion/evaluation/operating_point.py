"""Thresholds on new images: sensitivity, specificity and PPV with bootstrap intervals."""

from typing import Any

import numpy as np

from hf_lesion.calibration.thresholds import OperatingPoint, expect, rates
from hf_lesion.evaluation.bootstrap import draw_weights, number_lesions, percentile_interval
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.ranking import question_of
from hf_lesion.labels import LABEL_GROUPS


def measure_point(
    point: OperatingPoint,
    predictions: Predictions,
    *,
    prevalence: float,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what a threshold does on these images, with intervals by bootstrap over lesions.

    Args:
        point: The threshold, fixed elsewhere.
        predictions: N predictions with their references.
        prevalence: Share of positives among the people that the reader has in mind.
        seed: Draws the same resamples as the other intervals of this seed.

    Returns:
        The point's own entries, `prevalence`, `positives`, `metrics` (sensitivity, specificity,
        ppv, misses_per_1000, false_alarms_per_1000) and `intervals.bounds`; NaN where undefined.
    """
    name = next(key for key, codes in LABEL_GROUPS.items() if codes == point.codes)
    _, truth = question_of(predictions, name)
    flags = point.flags(predictions.probabilities)
    whole = rates(np.ones((1, len(truth))), flags, truth)
    found = {key: float(values[0]) for key, values in expect(*whole, prevalence).items()}
    lesions = number_lesions(predictions.lesion_ids, len(truth))
    parts = [rates(weights, flags, truth) for weights in draw_weights(lesions, seed=seed)]
    sensitivity, specificity = (
        np.concatenate([part[side] for part in parts] or [np.empty(0)]) for side in (0, 1)
    )
    drawn = expect(sensitivity, specificity, prevalence)
    return {
        "codes": list(point.codes),
        "threshold": point.threshold,
        "target_sensitivity": point.target_sensitivity,
        "prevalence": prevalence,
        "positives": int(truth.sum()),
        "metrics": found,
        "intervals": {"bounds": {key: list(percentile_interval(drawn[key])) for key in found}},
    }
