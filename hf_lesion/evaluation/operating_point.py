"""Operating points: thresholds chosen on validation, and what they cost on other images.

What a reader wants to know depends on how rare the disease is where the model is used: so PPV and
the misses per 1,000 people are computed for a prevalence that the reader sets, by Bayes' rule from
sensitivity and specificity, which are taken to be the same there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_lesion.errors import InputError
from hf_lesion.evaluation.bootstrap import draw_weights, number_lesions, percentile_interval
from hf_lesion.evaluation.curves import build_curve
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.ranking import question_of
from hf_lesion.operating_points import OperatingPoint
from hf_lesion.questions import POINTS, TARGET_SENSITIVITY

PER = 1000

Floats = NDArray[np.float64]


def fit_point(
    predictions: Predictions, name: str, *, target: float = TARGET_SENSITIVITY
) -> OperatingPoint:
    """Return the highest threshold that finds at least `target` of the positives.

    It lies halfway between that score and the next lower one, so that rounding flips no image.

    Args:
        predictions: Answers on validation images.
        name: Of a question of `POINTS`.
        target: The sensitivity to reach, in (0, 1].

    Raises:
        InputError: If there is no positive or no negative image, or the target is none.
    """
    if not 0 < target <= 1:
        raise InputError(f"A sensitivity above 0 and up to 1 was expected, got {target}.")
    scores, truth = question_of(predictions, name)
    if truth.all() or not truth.any():
        raise InputError(
            f"The {name} threshold needs images of both kinds, but {int(truth.sum())} of "
            f"{len(truth)} images are of {', '.join(POINTS[name])}. Pass a larger validation set."
        )
    curve = build_curve(scores, truth)
    place = int(np.flatnonzero(curve.sensitivity >= target - 1e-12)[0])
    below = curve.thresholds[place + 1] if place + 1 < len(curve.thresholds) else 0.0
    return OperatingPoint(
        codes=POINTS[name],
        threshold=float(curve.thresholds[place] + below) / 2,
        target_sensitivity=target,
        images=len(truth),
        positives=int(truth.sum()),
        sensitivity=float(curve.sensitivity[place]),
        specificity=float(curve.specificity[place]),
    )


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
        predictions: N answers beside the truth.
        prevalence: Share of positives among the people that the reader has in mind.
        seed: Draws the same resamples as the other intervals of this seed.

    Returns:
        The point's own entries, `prevalence`, `positives`, `metrics` (sensitivity, specificity,
        ppv, misses_per_1000, false_alarms_per_1000) and `intervals.bounds`; NaN where undefined.
    """
    name = next(key for key, codes in POINTS.items() if codes == point.codes)
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


def rates(
    weights: Floats, flags: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Return (R,) sensitivity and (R,) specificity of flags; NaN where undefined.

    Args:
        weights: (R, N) how often each image counts.
        flags: (N,) whether it is flagged.
        truth: (N,) whether it should be.
    """
    return _ratio(weights, flags & truth, truth), _ratio(weights, ~flags & ~truth, ~truth)


def expect(sensitivity: Floats, specificity: Floats, prevalence: float) -> dict[str, Floats]:
    """Return what these rates mean among people of whom a share is ill.

    Args:
        sensitivity: (R,) values in [0, 1].
        specificity: (R,) values in [0, 1].
        prevalence: In [0, 1].

    Returns:
        (R,) values of sensitivity, specificity, ppv (share of the flagged who are ill; NaN where
        nobody is flagged), misses_per_1000 (ill and not flagged, of 1,000 people) and
        false_alarms_per_1000.
    """
    found = sensitivity * prevalence
    alarms = (1 - specificity) * (1 - prevalence)
    flagged = found + alarms
    ppv = np.divide(found, flagged, out=np.full(flagged.shape, np.nan), where=flagged > 0)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": ppv,
        "misses_per_1000": PER * (prevalence - found),
        "false_alarms_per_1000": PER * alarms,
    }


def _ratio(weights: Floats, part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Floats:
    counts = weights @ whole.astype(np.float64)
    return np.divide(
        weights @ part.astype(np.float64),
        counts,
        out=np.full(counts.shape, np.nan),
        where=counts > 0,
    )
