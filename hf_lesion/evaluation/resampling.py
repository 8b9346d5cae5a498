"""Bootstrap over lesions of many per-image measures at once: means, medians, paired differences.

The resamples are those of `hf_lesion.evaluation.bootstrap`, as weights of the images, so that a
thousand of them are one matrix product.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_lesion.evaluation import bootstrap
from hf_lesion.evaluation.bootstrap import LEVEL, RESAMPLES


@dataclass(frozen=True)
class Estimate:
    """A value and its percentile interval of level `LEVEL`; NaN where undefined."""

    value: float
    low: float
    high: float

    def rounded(self, digits: int = 4) -> list[float]:
        """Return value, low and high for a record."""
        return [round(number, digits) for number in (self.value, self.low, self.high)]


def estimate(
    values: ArrayLike,
    lesion_ids: Sequence[str] | None = None,
    *,
    medians: Collection[int] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Estimate]:
    """Return the mean of each column, or its median, with an interval.

    Args:
        values: (N, M) measures of N images; a NaN is left out of its column.
        lesion_ids: (N,) lesions; None draws single images.
        medians: The columns whose median is wanted. Only these may be infinite.
        resamples: How often to draw.
        seed: The same seed gives the same intervals.
    """
    table = np.asarray(values, dtype=np.float64)
    weights = draw_weights(len(table), lesion_ids, resamples=resamples, seed=seed)
    whole = _statistics(table, np.ones((1, len(table))), medians)[0]
    return _with_bounds(whole, _statistics(table, weights, medians))


def estimate_differences(
    first: ArrayLike,
    second: ArrayLike,
    lesion_ids: Sequence[str] | None = None,
    *,
    medians: Collection[int] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Estimate]:
    """Return the paired difference of each column, first minus second, on the same resamples.

    Args:
        first: (N, M) measures.
        second: (N, M) other measures of the same images.
        lesion_ids: As for `estimate`, and so are the rest. An image whose measure is NaN in either
            is left out of both.
        medians: Columns whose medians are compared.
        resamples: How often to draw.
        seed: Of the draws.
    """
    one, other = (np.asarray(table, dtype=np.float64) for table in (first, second))
    missing = np.isnan(one) | np.isnan(other)
    tables = [np.where(missing, np.nan, table) for table in (one, other)]
    weights = draw_weights(len(one), lesion_ids, resamples=resamples, seed=seed)
    ones = np.ones((1, len(one)))
    whole = [_statistics(table, ones, medians)[0] for table in tables]
    drawn = [_statistics(table, weights, medians) for table in tables]
    with np.errstate(invalid="ignore"):  # infinite medians differ by nothing that can be said
        return _with_bounds(whole[0] - whole[1], drawn[0] - drawn[1])


def draw_weights(
    images: int, lesion_ids: Sequence[str] | None, *, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Return (R, N): how often each image is in each resample; R is 0 for a single lesion."""
    lesions = bootstrap.number_lesions(lesion_ids, images)
    count = int(lesions.max(initial=-1)) + 1
    return _draw_counts(count, resamples if count > 1 else 0, seed)[:, lesions].astype(np.float64)


@lru_cache(maxsize=64)  # many maps are measured on the same images; a megabyte each
def _draw_counts(lesions: int, resamples: int, seed: int) -> NDArray[np.uint16]:
    """Return (R, L): how often each lesion is drawn."""
    if not resamples:
        return np.empty((0, lesions), dtype=np.uint16)
    drawn = bootstrap.draw_weights(np.arange(lesions), resamples=resamples, seed=seed)
    return np.concatenate([counts.astype(np.uint16) for counts in drawn])


def _statistics(
    table: NDArray[np.float64], weights: NDArray[np.float64], medians: Collection[int]
) -> NDArray[np.float64]:
    """Return (R, M) weighted means or medians of the columns; NaN where nothing was drawn."""
    columns = []
    for index, column in enumerate(table.T):
        known = ~np.isnan(column)
        reduce = _medians if index in medians else _means
        columns.append(reduce(column[known], weights[:, known]))
    return np.stack(columns, axis=1) if columns else np.empty((len(weights), 0))


def _means(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    totals = weights.sum(axis=1)
    return np.divide(weights @ values, totals, out=np.full(len(weights), np.nan), where=totals > 0)


def _medians(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(values):
        return np.full(len(weights), np.nan)
    order = np.argsort(values)
    climbed = np.cumsum(weights[:, order], axis=1)
    totals = climbed[:, -1:]
    places = (climbed >= totals / 2).argmax(axis=1)
    return np.where(totals[:, 0] > 0, values[order][places], np.nan)


def _with_bounds(whole: NDArray[np.float64], drawn: NDArray[np.float64]) -> list[Estimate]:
    tail = (1 - LEVEL) / 2
    found = []
    for value, column in zip(whole, drawn.T, strict=True):
        known = column[~np.isnan(column)]
        # The nearest drawn value: between infinite ones there is nothing to interpolate.
        low, high = (
            np.quantile(known, (tail, 1 - tail), method="nearest") if len(known) else (np.nan,) * 2
        )
        found.append(Estimate(float(value), float(low), float(high)))
    return found
