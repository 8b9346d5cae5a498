"""Bootstrap over lesions: confidence intervals of metrics and of paired differences.

Images of one lesion are alike, so whole lesions are drawn with replacement instead of images
(Field and Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69, 2007).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_lesion.evaluation import metrics

LEVEL = 0.95
RESAMPLES = 1000
SEED = 0  # fixed, so that all statistics use the same resamples
CHUNK = 100  # resamples in memory at once
PAIRED = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")

Floats = NDArray[np.float64]
Key = TypeVar("Key", str, int)


class Estimate(NamedTuple):
    """A value and its percentile interval of level `LEVEL`; NaN where undefined."""

    value: float
    low: float
    high: float

    def rounded(self, digits: int = 4) -> list[float]:
        """Return value, low and high for a record."""
        return [round(number, digits) for number in self]


def bootstrap(
    statistics: Callable[[Floats], Mapping[Key, Floats]],
    images: int,
    lesion_ids: Sequence[str] | None = None,
) -> dict[Key, Estimate]:
    """Return statistics of images with their percentile intervals over `RESAMPLES` resamples.

    Resamples in which a statistic is undefined are left out. The interval is undefined if this
    applies to all resamples, or if there is only one lesion. A statistic that does not vary has an
    interval of zero width, even for few images.

    Args:
        statistics: Maps (R, N) weights, the frequency of each image in each resample, to (R,)
            values of each statistic; NaN if undefined.
        images: The number of images N.
        lesion_ids: (N,) lesions; None resamples single images, whose intervals are too narrow if
            lesions have several.
    """
    lesions = number_lesions(lesion_ids, images)
    drawn = [statistics(part) for part in _draw_weights(lesions)]
    return {
        key: Estimate(
            float(value[0]),
            *_percentile_interval(np.concatenate([part[key] for part in drawn] or [np.empty(0)])),
        )
        for key, value in statistics(np.ones((1, images))).items()
    }


def estimate_metrics(
    probabilities: ArrayLike,
    references: ArrayLike,
    lesion_ids: Sequence[str] | None = None,
    *,
    names: Collection[str] | None = None,
) -> dict[str, Estimate]:
    """Return metrics of (N, 7) probabilities and (N,) class ids with their intervals.

    The names are those of `metrics.compute_metrics`, None for all; `lesion_ids` as for `bootstrap`.
    """
    scores, ids = metrics.check_scores(probabilities, references)
    return bootstrap(
        lambda weights: metrics.weighted_metrics(scores, ids, weights, names=names),
        len(ids),
        lesion_ids,
    )


def paired_differences(
    first: ArrayLike,
    second: ArrayLike,
    references: ArrayLike,
    lesion_ids: Sequence[str] | None = None,
) -> dict[str, Estimate]:
    """Return second minus first in each of `PAIRED`: two models' (N, 7) probabilities of N images.

    Both are measured on the same resamples, so that what is hard about an image cancels out: the
    interval is narrower than the two models' own intervals suggest. `lesion_ids`: see `bootstrap`.
    """
    scores, ids = metrics.check_scores(first, references)
    others, _ = metrics.check_scores(second, references)

    def differences(weights: Floats) -> dict[str, Floats]:
        before, after = (
            metrics.weighted_metrics(each, ids, weights, names=PAIRED) for each in (scores, others)
        )
        return {name: after[name] - before[name] for name in PAIRED}

    return bootstrap(differences, len(ids), lesion_ids)


def estimate(
    values: ArrayLike,
    lesion_ids: Sequence[str] | None = None,
    *,
    minus: ArrayLike | None = None,
    medians: Collection[int] = (),
) -> list[Estimate]:
    """Return the mean or median of each column, or its paired difference, with an interval.

    Args:
        values: (N, M) measures of N images; a NaN is left out of its column.
        lesion_ids: (N,) lesions; None draws single images.
        minus: (N, M) other measures of the same images, to be subtracted. An image whose measure
            is NaN in either is left out of both.
        medians: Columns whose median is wanted. Only these may be infinite.
    """
    table = np.asarray(values, dtype=np.float64)
    if minus is None:
        tables = [table]
    else:
        other = np.asarray(minus, dtype=np.float64)
        missing = np.isnan(table) | np.isnan(other)
        tables = [np.where(missing, np.nan, each) for each in (table, other)]

    def statistics(weights: Floats) -> dict[int, Floats]:
        found = [_reduce(each, weights, medians) for each in tables]
        with np.errstate(invalid="ignore"):  # the difference of infinite medians is undefined
            return dict(enumerate(found[0] if minus is None else found[0] - found[1]))

    return list(bootstrap(statistics, len(table), lesion_ids).values())


def as_entries(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Return the entries of a record: `metrics` and `intervals.bounds`, each by name."""
    return {
        "metrics": {name: one.value for name, one in estimates.items()},
        "intervals": {"bounds": {name: [one.low, one.high] for name, one in estimates.items()}},
    }


def number_lesions(lesion_ids: Sequence[str] | None, images: int) -> NDArray[np.int64]:
    """Return (N,) each image's lesion as a number from 0; each image its own where unknown."""
    if lesion_ids is None:
        return np.arange(images)
    if len(lesion_ids) != images:
        raise ValueError(
            f"{images} lesion ids were expected, one for each image, got {len(lesion_ids)}."
        )
    return np.unique(np.asarray(lesion_ids), return_inverse=True)[1]


def _draw_weights(lesions: NDArray[np.int64]) -> Iterator[Floats]:
    """Yield (at most CHUNK, N) weights; none for a single lesion, which tells nothing of others."""
    generator = np.random.default_rng(SEED)
    count = int(lesions.max(initial=-1)) + 1
    if count < 2:
        return
    for start in range(0, RESAMPLES, CHUNK):
        drawn = [
            np.bincount(generator.integers(count, size=count), minlength=count)
            for _ in range(min(CHUNK, RESAMPLES - start))
        ]
        yield np.asarray(drawn, dtype=np.float64)[:, lesions]


def _percentile_interval(values: Floats) -> tuple[float, float]:
    """Return the (lower, upper) percentiles of level `LEVEL` of (R,) values; NaN is left out."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    tail = (1 - LEVEL) / 2
    # There is nothing to interpolate between infinite values.
    method: Literal["linear", "nearest"] = "linear" if np.isfinite(defined).all() else "nearest"
    low, high = np.quantile(defined, (tail, 1 - tail), method=method)
    return float(low), float(high)


def _reduce(table: Floats, weights: Floats, medians: Collection[int]) -> Floats:
    """Return (M, R) weighted means or medians of the columns; NaN where nothing was drawn."""
    columns = np.full((table.shape[1], len(weights)), np.nan)
    for index, column in enumerate(table.T):
        known = ~np.isnan(column)
        values, counts = column[known], weights[:, known]
        totals = counts.sum(axis=1)
        drawn = totals > 0
        if index not in medians:
            np.divide(counts @ values, totals, out=columns[index], where=drawn)
        elif len(values):
            order = np.argsort(values)
            climbed = np.cumsum(counts[:, order], axis=1)
            places = (climbed >= climbed[:, -1:] / 2).argmax(axis=1)
            columns[index, drawn] = values[order][places][drawn]
    return columns
