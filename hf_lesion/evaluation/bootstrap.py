"""Bootstrap over lesions: confidence intervals of metrics and paired differences.

Images of one lesion are alike, so whole lesions are drawn, with replacement, and not images
(Field and Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69, 2007).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_lesion.evaluation import curves, metrics
from hf_lesion.labels import CODES

LEVEL = 0.95
RESAMPLES = 1000
CHUNK = 100  # resamples in memory at once
PAIRED = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")


def bootstrap_intervals(
    probabilities: ArrayLike,
    references: ArrayLike,
    lesion_ids: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return the percentile interval of level `LEVEL` of each metric that a confusion matrix gives.

    The interval says nothing about a metric that does not vary: a class that is always right gets
    (1, 1), however few its images are.

    Args:
        probabilities: (N, 7) values in [0, 1] in the order of `CODES`.
        references: (N,) class ids.
        lesion_ids: (N,) lesions; None draws single images, which gives intervals that are too
            narrow if a lesion has several.
        resamples: How often to draw.
        seed: The same seed gives the same intervals.

    Returns:
        (lower, upper) of accuracy, balanced_accuracy, macro_f1, `sensitivity_<code>` and
        `specificity_<code>`; NaN for a metric that is undefined in every resample, and for every
        metric of a single lesion, which tells nothing of others. Resamples in which a metric is
        undefined are left out for that metric.

    Raises:
        InputError: If probabilities or references are malformed.
    """
    scores, ids = metrics.check_scores(probabilities, references)
    lesions = number_lesions(lesion_ids, len(ids))
    cells = ids * len(CODES) + metrics.predicted_classes(scores, ids)
    confusions = _resample(cells, lesions, resamples=resamples, seed=seed)
    return {
        "accuracy": percentile_interval(metrics.accuracy(confusions)),
        "balanced_accuracy": percentile_interval(metrics.balanced_accuracy(confusions)),
        "macro_f1": percentile_interval(metrics.macro_f1(confusions)),
        **_class_intervals("sensitivity", metrics.sensitivity(confusions)),
        **_class_intervals("specificity", metrics.specificity(confusions)),
    }


def paired_differences(
    first: ArrayLike,
    second: ArrayLike,
    references: ArrayLike,
    lesion_ids: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:
    """Return the paired differences between two models on the same images.

    Both are measured on the same resamples, so that what is hard about an image cancels out: the
    interval is narrower than the two models' own intervals suggest.

    Args:
        first: (N, 7) probabilities of one model.
        second: (N, 7) probabilities of the other, of the same images in the same order.
        references: (N,) class ids.
        lesion_ids: (N,) lesions; None draws single images.
        resamples: How often to draw.
        seed: The same seed gives the same intervals.

    Returns:
        (difference, lower, upper) of accuracy, balanced_accuracy, macro_f1 and macro_auroc; second
        minus first, NaN where undefined.

    Raises:
        InputError: If probabilities or references are malformed.
    """
    scores, ids = metrics.check_scores(first, references)
    others, _ = metrics.check_scores(second, references)
    lesions = number_lesions(lesion_ids, len(ids))
    whole = _differences(scores, others, ids, np.ones((1, len(ids))))
    drawn = [
        _differences(scores, others, ids, weights)
        for weights in draw_weights(lesions, resamples=resamples, seed=seed)
    ]
    found = {
        name: np.concatenate([part[name] for part in drawn] or [np.empty(0)]) for name in PAIRED
    }
    return {
        name: (float(whole[name][0]), *percentile_interval(np.asarray(found[name])))
        for name in PAIRED
    }


def bootstrap_statistic(
    statistic: Callable[[NDArray[np.int64]], float],
    images: int,
    lesion_ids: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of level `LEVEL` of any statistic of the images.

    Args:
        statistic: From row numbers, in which a drawn lesion's rows come as often as it was drawn,
            to a value; NaN where it is undefined.
        images: N, how many rows there are.
        lesion_ids: (N,) lesions; None draws single images.
        resamples: How often to draw.
        seed: The same seed gives the same interval.

    Returns:
        (lower, upper); NaN if there is but one lesion, or no resample in which it is defined.
    """
    lesions = number_lesions(lesion_ids, images)
    count = int(lesions.max()) + 1
    if count < 2:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    rows = np.arange(images)
    values = []
    for _ in range(resamples):
        drawn = np.bincount(generator.integers(count, size=count), minlength=count)
        values.append(statistic(np.repeat(rows, drawn[lesions])))
    return percentile_interval(np.asarray(values))


def _differences(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    ids: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    before, after = (_measure(scores, ids, weights) for scores in (first, second))
    return {name: after[name] - before[name] for name in PAIRED}


def _measure(
    scores: NDArray[np.float64], ids: NDArray[np.int64], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return (R,) values of each of `PAIRED`, with (R, N) weights of the images."""
    cells = ids * len(CODES) + metrics.predicted_classes(scores, ids)
    confusions = _count_cells(cells, weights)
    areas = [
        curves.auroc(curves.build_curve(column, ids == index, weights))
        for index, column in enumerate(scores.T)
    ]
    return {
        "accuracy": metrics.accuracy(confusions),
        "balanced_accuracy": metrics.balanced_accuracy(confusions),
        "macro_f1": metrics.macro_f1(confusions),
        "macro_auroc": curves.mean_of_defined(areas),
    }


def _count_cells(cells: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (R, C, C) confusion matrices of (N,) cells with (R, N) weights."""
    of_cell = np.zeros((len(cells), len(CODES) ** 2))
    of_cell[np.arange(len(cells)), cells] = 1
    counts = (weights @ of_cell).astype(np.int64)
    return counts.reshape(-1, len(CODES), len(CODES))


def draw_weights(
    lesions: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0
) -> Iterator[NDArray[np.float64]]:
    """Yield (at most CHUNK, N) weights: how often each image occurs in each resample of lesions.

    Nothing is yielded for a single lesion, which tells nothing of others.

    Args:
        lesions: (N,) each image's lesion, numbered from 0.
        resamples: How often to draw.
        seed: The same seed draws the same resamples, whatever is measured on them.
    """
    generator = np.random.default_rng(seed)
    count = int(lesions.max()) + 1
    if count < 2:
        return
    for start in range(0, resamples, CHUNK):
        drawn = [
            np.bincount(generator.integers(count, size=count), minlength=count)
            for _ in range(min(CHUNK, resamples - start))
        ]
        yield np.asarray(drawn, dtype=np.float64)[:, lesions]


def number_lesions(lesion_ids: Sequence[str] | None, images: int) -> NDArray[np.int64]:
    """Return (N,) each image's lesion as a number from 0; each its own where they are unknown.

    Raises:
        ValueError: If there is not one lesion for each image.
    """
    if lesion_ids is None:
        return np.arange(images)
    if len(lesion_ids) != images:
        raise ValueError(
            f"{images} lesion ids were expected, one for each image, got {len(lesion_ids)}."
        )
    return np.unique(np.asarray(lesion_ids), return_inverse=True)[1]


def _resample(
    cells: NDArray[np.int64], lesions: NDArray[np.int64], *, resamples: int, seed: int
) -> NDArray[np.int64]:
    """Return (resamples, C, C) confusion matrices, each of as many lesions as there are.

    Args:
        cells: (N,) each image's place in the flattened confusion matrix.
        lesions: (N,) each image's lesion, numbered from 0.
        resamples: How often to draw.
        seed: Of the generator.
    """
    parts = [
        _count_cells(cells, weights)
        for weights in draw_weights(lesions, resamples=resamples, seed=seed)
    ]
    classes = len(CODES)
    return np.concatenate(parts) if parts else np.zeros((resamples, classes, classes), np.int64)


def _class_intervals(name: str, values: NDArray[np.float64]) -> dict[str, tuple[float, float]]:
    return {
        f"{name}_{code}": percentile_interval(values[:, index]) for index, code in enumerate(CODES)
    }


def percentile_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the (lower, upper) percentiles of level `LEVEL` of (R,) values; NaN is left out."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    tail = (1 - LEVEL) / 2
    lower, upper = np.quantile(defined, (tail, 1 - tail))
    return float(lower), float(upper)


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
    weights = _weigh_images(len(table), lesion_ids, resamples=resamples, seed=seed)
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
    weights = _weigh_images(len(one), lesion_ids, resamples=resamples, seed=seed)
    ones = np.ones((1, len(one)))
    whole = [_statistics(table, ones, medians)[0] for table in tables]
    drawn = [_statistics(table, weights, medians) for table in tables]
    with np.errstate(invalid="ignore"):  # infinite medians differ by nothing that can be said
        return _with_bounds(whole[0] - whole[1], drawn[0] - drawn[1])


def _weigh_images(
    images: int, lesion_ids: Sequence[str] | None, *, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Return (R, N): how often each image is in each resample; R is 0 for a single lesion."""
    lesions = number_lesions(lesion_ids, images)
    count = int(lesions.max(initial=-1)) + 1
    return _draw_counts(count, resamples if count > 1 else 0, seed)[:, lesions].astype(np.float64)


@lru_cache(maxsize=64)  # many maps are measured on the same images; a megabyte each
def _draw_counts(lesions: int, resamples: int, seed: int) -> NDArray[np.uint16]:
    """Return (R, L): how often each lesion is drawn."""
    if not resamples:
        return np.empty((0, lesions), dtype=np.uint16)
    drawn = draw_weights(np.arange(lesions), resamples=resamples, seed=seed)
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
