"""Metrics of a seven-class lesion classifier: arrays in, floats out, undefined is NaN.

Balanced accuracy and the rule for ties follow the ISIC's own scorer, `isic-challenge-scoring`
(github.com/ImageMarkup/isic-challenge-scoring); areas under curves are those of `curves`.
"""

from collections.abc import Collection
from typing import Any

import evaluate
import numpy as np
import sklearn.metrics
from datasets import Features, Value
from datasets import Sequence as FixedSequence
from numpy.typing import ArrayLike, NDArray

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.evaluation import curves
from hf_lesion.evaluation.curves import mean_of_defined, ratio
from hf_lesion.labels import CODES

HEADLINES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "macro_average_precision")
PER_CLASS = ("sensitivity", "specificity", "auroc", "average_precision")
AREAS = {"auroc": curves.auroc, "average_precision": curves.average_precision}
# Rows of probabilities need not sum to exactly 1: a softmax in bfloat16 (8 bits of mantissa) is
# off by up to about 0.5 %. Logits that were passed by mistake are off by far more.
SUM_TOLERANCE = 0.01


class LesionMetrics(evaluate.Metric):
    """All metrics as one local `evaluate.Metric`: no name is looked up, nothing is fetched.

    `LesionMetrics().compute(predictions=probabilities, references=labels)` takes (N, 7)
    probabilities in the order of `CODES` and (N,) class ids, and returns what `compute_metrics`
    returns. Predictions are kept in memory: no cache file, no file lock.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"keep_in_memory": True, **options})

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Accuracy, balanced accuracy and per-class metrics of skin lesions.",
            citation="",
            inputs_description="predictions: probabilities by CODES; references: class ids.",
            features=Features(
                predictions=FixedSequence(Value("float64"), length=len(CODES)),
                references=Value("int64"),
            ),
        )

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, float]:
        return compute_metrics(predictions, references)


def compute_metrics(probabilities: ArrayLike, references: ArrayLike) -> dict[str, float]:
    """Return all metrics of this project by name, as a flat dictionary.

    Args:
        probabilities: (N, 7) values in [0, 1] in the order of `CODES`, each row summing to 1.
        references: (N,) class ids.

    Returns:
        The names of `HEADLINES`, then `<name>_<code>` for each name of `PER_CLASS` and each code.
        A `macro_` value is the mean over the classes for which the metric is defined; a value
        that is defined for no class is NaN.
    """
    scores, ids = check_scores(probabilities, references)
    found = weighted_metrics(scores, ids, np.ones((1, len(ids))))
    return {name: float(value[0]) for name, value in found.items()}


def weighted_metrics(
    scores: NDArray[np.float64],
    ids: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    names: Collection[str] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of images that count more or less than once, as in resamples.

    `weights` are (R, N) counts of the images, `names` those of `compute_metrics`, None for all; see
    `check_scores` for the other two. Values are (R,), NaN where undefined.
    """
    cells = np.zeros((len(ids), len(CODES) ** 2))
    cells[np.arange(len(ids)), ids * len(CODES) + predicted_classes(scores, ids)] = 1
    confusion = (weights @ cells).astype(np.int64).reshape(-1, len(CODES), len(CODES))
    found = {
        "accuracy": accuracy(confusion),
        "balanced_accuracy": balanced_accuracy(confusion),
        "macro_f1": macro_f1(confusion),
    }
    per_class = {"sensitivity": sensitivity(confusion), "specificity": specificity(confusion)}
    # Areas take long: only if one is wanted.
    if names is None or any(area in name for name in names for area in AREAS):
        built = [
            curves.build_curve(column, ids == index, weights)
            for index, column in enumerate(scores.T)
        ]
        for name, area in AREAS.items():
            per_class[name] = np.stack([area(curve) for curve in built], axis=-1)
            found[f"macro_{name}"] = mean_of_defined(per_class[name])
    for name, values in per_class.items():
        found |= {f"{name}_{code}": values[:, index] for index, code in enumerate(CODES)}
    return found if names is None else {name: found[name] for name in names}


def check_scores(
    probabilities: ArrayLike, references: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return scores and references as validated arrays for the functions of this module.

    Raises:
        InputError: If they are invalid for `compute_metrics`, naming the first rows, or N is 0.
    """
    scores, ids = np.asarray(probabilities, dtype=np.float64), np.asarray(references)
    _check_shapes(scores, ids)
    _check_rows(
        np.isfinite(scores).all(axis=1),
        "with finite probabilities",
        "The model has diverged: lower the learning rate, or check the weights.",
    )
    _check_rows(
        ((scores >= 0) & (scores <= 1)).all(axis=1)
        & (np.abs(scores.sum(axis=1) - 1) <= SUM_TOLERANCE),
        "of probabilities in [0, 1] that sum to 1",
        "Logits have to pass a softmax first.",
    )
    _check_rows(
        np.isin(ids, np.arange(len(CODES))),
        f"with a class id from 0 to {len(CODES) - 1}",
        "Unlabelled images cannot be scored: leave them out.",
    )
    return scores, ids.astype(np.int64)


def predicted_classes(probabilities: ArrayLike, references: ArrayLike) -> NDArray[np.int64]:
    """Return the class with the highest of (N, C) probabilities; a tie counts as wrong.

    The ISIC's scorer calls a tied image "undecided", which matches no reference. Here it becomes
    the first of the tied classes that is not the reference, so that every image stays in the
    (C, C) confusion matrix and a classifier cannot gain by not deciding. The (N,) references matter
    for ties only.
    """
    scores, ids = np.asarray(probabilities), np.asarray(references)
    is_top = scores == scores.max(axis=1, keepdims=True)
    is_tied = is_top.sum(axis=1) > 1
    is_top[is_tied, ids[is_tied]] = False
    return is_top.argmax(axis=1).astype(np.int64)


def confusion_matrix(probabilities: ArrayLike, references: ArrayLike) -> NDArray[np.int64]:
    """Return (C, C) counts of `predicted_classes`; rows are references, columns predictions."""
    predicted = predicted_classes(probabilities, references)
    labels = np.arange(len(CODES))
    counts = sklearn.metrics.confusion_matrix(np.asarray(references), predicted, labels=labels)
    return np.asarray(counts, dtype=np.int64)


def accuracy(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the fraction of images on the diagonal, in [0, 1]; NaN for no image.

    Like all reducers below, it takes (..., C, C) counts with a row for each reference, and keeps
    leading axes, such as bootstrap resamples.
    """
    return ratio(_hits(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def sensitivity(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (..., C) the fraction of each class that was predicted as that class (recall).

    NaN for a class with no reference.
    """
    return ratio(_hits(confusion), confusion.sum(axis=-1))


def specificity(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (..., C) the fraction of the images of other classes not predicted as each class.

    NaN for a class to which every reference belongs.
    """
    others = confusion.sum(axis=(-2, -1))[..., None] - confusion.sum(axis=-1)
    false_alarms = confusion.sum(axis=-2) - _hits(confusion)
    return ratio(others - false_alarms, others)


def balanced_accuracy(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean sensitivity over the classes present in the references."""
    return mean_of_defined(sensitivity(confusion))


def macro_f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean F1 score over the classes present in references or predictions."""
    named = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    return mean_of_defined(ratio(2 * _hits(confusion), named))


def _hits(confusion: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _check_shapes(scores: NDArray[np.float64], ids: NDArray[Any]) -> None:
    if scores.ndim != 2 or scores.shape[1] != len(CODES) or not len(scores):
        raise InputError(
            f"Probabilities of shape (N, {len(CODES)}) with N of at least 1 were expected, "
            f"got shape {scores.shape}. Pass one row for each image, columns in the order of CODES."
        )
    if ids.shape != scores.shape[:1]:
        raise InputError(
            f"References of shape {scores.shape[:1]} were expected, one class id for each row of "
            f"probabilities, got shape {ids.shape}."
        )


def _check_rows(is_good: ArrayLike, what: str, fix: str) -> None:
    good = np.asarray(is_good, dtype=bool)
    bad = np.flatnonzero(~good).tolist()
    if bad:
        raise InputError(
            f"Rows {what} were expected, but {len(bad)} of {len(good)} rows are not: "
            f"{list_offenders(bad)}. {fix}"
        )
