"""ROC and precision-recall curves, weighted and vectorised over resamples.

All functions take weights for whole batches of bootstrap resamples at once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
DIGITS = 4


@dataclass(frozen=True)
class Curve:
    """Counts from the highest score down, one column for each of G different scores."""

    thresholds: Floats  # (G,) scores, falling
    hits: Floats  # (..., G) weight of the positives that score at least the threshold
    alarms: Floats  # (..., G) weight of the negatives that do

    @property
    def sensitivity(self) -> Floats:
        """(..., G) share of the positives at or above each threshold; NaN without positives."""
        return ratio(self.hits, self.hits[..., -1:])

    @property
    def specificity(self) -> Floats:
        """(..., G) share of the negatives below each threshold; NaN without negatives."""
        return 1 - ratio(self.alarms, self.alarms[..., -1:])

    @property
    def precision(self) -> Floats:
        """(..., G) share of positives among what scores at least the threshold."""
        return ratio(self.hits, self.hits + self.alarms)


def build_curve(
    scores: ArrayLike, is_positive: NDArray[np.bool_], weights: NDArray[Any] | None = None
) -> Curve:
    """Return the curve of (N,) scores, higher for yes, against (N,) truths.

    An image counts as often as its (..., N) weights say; once without them.
    """
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    counts, truth = counts[..., order], is_positive[order]
    hits, alarms = (
        np.add.reduceat(counts * chosen, starts, axis=-1).cumsum(axis=-1)
        for chosen in (truth, ~truth)
    )
    return Curve(ordered[starts], hits, alarms)


def auroc(curve: Curve) -> Floats:
    """Return (...) the area under the ROC curve; ties count half; NaN without both classes."""
    rises, steps = _steps(curve.sensitivity), _steps(1 - curve.specificity)
    return (steps * (curve.sensitivity - rises / 2)).sum(axis=-1)


def average_precision(curve: Curve) -> Floats:
    """Return (...) the area under the precision-recall step curve; NaN without positives."""
    precision = np.nan_to_num(curve.precision)  # undefined where nothing was drawn yet: no step
    return (_steps(curve.sensitivity) * precision).sum(axis=-1)


def sensitivity_at(curve: Curve, specificity: float) -> Floats:
    """Return (...) the highest sensitivity of a threshold with at least this specificity.

    0 where even the highest score flags too many of the negatives; NaN without both kinds.
    """
    return _best(curve.sensitivity, curve.specificity, specificity)


def specificity_at(curve: Curve, sensitivity: float) -> Floats:
    """Return (...) the highest specificity of a threshold with at least this sensitivity."""
    return _best(curve.specificity, curve.sensitivity, sensitivity)


def thin_curve(x: Floats, y: Floats, points: int) -> dict[str, list[float]]:
    """Return at most `points` points of a monotonous line, evenly along it, to four digits.

    The first and last of the (G,) values are always among them; none if any value is NaN.
    """
    if np.isnan(x).any() or np.isnan(y).any():
        return {"x": [], "y": []}
    path = np.r_[0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
    chosen = np.unique(np.searchsorted(path, np.linspace(0, path[-1], points)))
    chosen = np.unique(np.r_[0, chosen.clip(0, len(x) - 1), len(x) - 1])
    return {"x": x[chosen].round(DIGITS).tolist(), "y": y[chosen].round(DIGITS).tolist()}


def _steps(values: Floats) -> Floats:
    return np.diff(values, axis=-1, prepend=0.0)


def _best(wanted: Floats, given: Floats, least: float) -> Floats:
    # The tolerance counts 9 of 10 as "at least 0.9" despite rounding.
    best = np.where(given >= least - 1e-12, wanted, 0.0).max(axis=-1)
    undefined = np.isnan(wanted).any(axis=-1) | np.isnan(given).any(axis=-1)
    return np.where(undefined, np.nan, best)


def ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """Return part / whole, NaN where the whole is 0."""
    parts = np.asarray(part, dtype=np.float64)
    wholes = np.broadcast_to(np.asarray(whole), parts.shape)
    return np.divide(parts, wholes, out=np.full(parts.shape, np.nan), where=wholes > 0)


def mean_of_defined(values: Floats) -> Floats:
    """Return the mean over the last axis, leaving out NaN; NaN if all are."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))
