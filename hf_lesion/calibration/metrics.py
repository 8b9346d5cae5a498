"""Calibration metrics: expected calibration error with its chance level, Brier score, log loss.

Expected calibration error over 15 bins of equal width (ECE; Guo et al., "On calibration of modern
neural networks", ICML 2017) of the top class is computed twice: at the dataset's mix of diagnoses,
and class-balanced, with weights that give every class the same total. The model's score is the
probability if the diagnoses were equally common, so calibration reduces the class-balanced error.

Both are above 0 even for a perfectly calibrated model, especially with few images. Each is
therefore reported with its chance level, the expected error of a perfectly calibrated model, which
is estimated from labels sampled from the model's own probabilities (consistency resampling; Bröcker
and Smith, "Increasing the reliability of reliability diagrams", Weather and Forecasting 22, 2007).
For the class-balanced error, labels are sampled from the probabilities at the dataset's mix,
p·π / Σ p·π, and weighted by class frequency in the sample. Labels are sampled independently for
each image although images of a lesion share theirs, so the true chance level is slightly higher.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
SIMULATIONS = 1000
CHUNK = 100  # simulations in memory at once
UPPER = 0.95  # of the simulations lie below the `upper` value
BAND = (0.025, 0.975)
SEED = 0
TINY = 1e-12

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


def measure_calibration(probabilities: Floats, references: Ids) -> dict[str, Any]:
    """Return how well (N, C) probabilities are calibrated, with the chance levels.

    Returns:
        `metrics`: ece, class_balanced_ece, brier, log_loss; `chance`: for either ECE its `mean` and
        `upper` (95 % of the draws lie below) if the model were perfectly calibrated;
        `reliability`: for each bin with an image `count`, `confidence`, `accuracy` and the band
        from `low` to `high` that 95 % of the draws lie in.
    """
    top, answers = probabilities.max(axis=1), probabilities.argmax(axis=1)
    is_right = answered_right(probabilities, references)
    bins = _Bins(top)
    drawn = [labels == answers for labels in _draw_labels(probabilities)]
    found = _summarise(bins, is_right, drawn)
    shares = np.bincount(references, minlength=probabilities.shape[1]) / len(references)
    balanced = [
        bins.errors(labels == answers, balancing_weights(labels))
        for labels in _draw_labels(at_mix(probabilities, shares))
    ]
    found["metrics"] |= {
        "class_balanced_ece": class_balanced_ece(probabilities, references),
        "brier": brier(probabilities, references),
        "log_loss": log_loss(probabilities, references),
    }
    found["chance"]["class_balanced_ece"] = _chance(np.concatenate(balanced))
    return found


def measure_reliability(shares: Floats, is_right: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the calibration of predicted shares of correct predictions, with the chance levels.

    `shares` are (N,) values in [0, 1], as from `Reliability.share_right`. The result has the same
    entries as that of `measure_calibration`, but of `metrics` only ece and brier.
    """
    generator = np.random.default_rng(SEED)
    drawn = [
        generator.random((min(CHUNK, SIMULATIONS - start), len(shares))) < shares
        for start in range(0, SIMULATIONS, CHUNK)
    ]
    found = _summarise(_Bins(shares), is_right, drawn)
    found["metrics"]["brier"] = float(((shares - is_right) ** 2).mean())
    return found


def answered_right(probabilities: Floats, references: Ids) -> NDArray[np.bool_]:
    """Return (N,) whether the reference has the top one of (N, C) probabilities; a tie is wrong."""
    rows = np.arange(len(references))
    others = np.array(probabilities, dtype=np.float64)
    others[rows, references] = -np.inf
    return np.asarray(probabilities[rows, references] > others.max(axis=1))


def balancing_weights(references: Ids) -> Floats:
    """Return (..., N) weights of mean 1 that give each class in (..., N) ids the same total."""
    present = np.eye(references.max() + 1)[references]
    counts = present.sum(axis=-2, keepdims=True)
    of_image = (present * counts).sum(axis=-1)
    return references.shape[-1] / ((counts > 0).sum(axis=-1) * of_image)


def at_mix(probabilities: Floats, shares: Floats) -> Floats:
    """Convert (N, C) probabilities for equally common classes to those for (C,) class shares."""
    mixed = probabilities * shares
    return mixed / np.maximum(mixed.sum(axis=1, keepdims=True), TINY)


def class_balanced_ece(probabilities: Floats, references: Ids) -> float:
    """Return the expected calibration error with equal class weights, in [0, 1]."""
    is_right = answered_right(probabilities, references)
    return float(_Bins(probabilities.max(axis=1)).errors(is_right, balancing_weights(references)))


def brier(probabilities: Floats, references: Ids) -> float:
    """Return the mean over images of the squared distance to the truth, in [0, 2] (Brier 1950)."""
    truth = np.eye(probabilities.shape[1])[references]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def log_loss(probabilities: Floats, references: Ids, weights: Floats | None = None) -> float:
    """Return the mean negative log-likelihood in nats; a probability of 0 counts as 1e-12."""
    own = probabilities[np.arange(len(references)), references]
    return float(-np.average(np.log(np.maximum(own, TINY)), weights=weights))


class _Bins:
    """N values in [0, 1] sorted into bins of equal width, each closed above; empty ones left out.

    As `sklearn.calibration.calibration_curve` does it.
    """

    def __init__(self, values: Floats):
        places = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], values)
        self.order = np.argsort(places, kind="stable")
        _, self.starts, self.counts = np.unique(
            places[self.order], return_index=True, return_counts=True
        )
        self.values = values

    def means(self, rows: NDArray[Any]) -> Floats:
        """Return (..., bins) means of (..., N) values."""
        return self._sums(rows) / self.counts

    def errors(self, outcomes: NDArray[Any], weights: Floats | None = None) -> Floats:
        """Return (...) calibration errors of (..., N) outcomes with (..., N) weights of mean 1."""
        gaps = self.values - outcomes
        weighted = gaps if weights is None else gaps * weights
        return np.abs(self._sums(weighted)).sum(axis=-1) / len(self.values)

    def _sums(self, rows: NDArray[Any]) -> Floats:
        ordered = np.asarray(rows, dtype=np.float64)[..., self.order]
        return np.add.reduceat(ordered, self.starts, axis=-1)


def _summarise(
    bins: _Bins, is_right: NDArray[np.bool_], drawn: list[NDArray[np.bool_]]
) -> dict[str, Any]:
    """Return `metrics`, `chance` and `reliability` of (N,) outcomes and (S, N) drawn ones."""
    low, high = np.quantile(np.concatenate([bins.means(part) for part in drawn]), BAND, axis=0)
    return {
        "metrics": {"ece": float(bins.errors(is_right))},
        "chance": {"ece": _chance(np.concatenate([bins.errors(part) for part in drawn]))},
        "reliability": {
            "count": bins.counts.tolist(),
            "confidence": bins.means(bins.values).round(4).tolist(),
            "accuracy": bins.means(is_right).round(4).tolist(),
            "low": low.round(4).tolist(),
            "high": high.round(4).tolist(),
        },
    }


def _chance(errors: Floats) -> dict[str, float]:
    return {"mean": float(errors.mean()), "upper": float(np.quantile(errors, UPPER))}


def _draw_labels(probabilities: Floats) -> Iterator[Ids]:
    """Yield (at most CHUNK, N) class ids, each drawn from its image's own probabilities."""
    generator = np.random.default_rng(SEED)
    edges = probabilities.cumsum(axis=1)[:, :-1] / probabilities.sum(axis=1, keepdims=True)
    for start in range(0, SIMULATIONS, CHUNK):
        draws = generator.random((min(CHUNK, SIMULATIONS - start), len(probabilities)))
        labels = np.zeros(draws.shape, dtype=np.int64)
        for edge in edges.T:
            labels += draws > edge
        yield labels
