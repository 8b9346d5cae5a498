"""Calibration: whether a probability of 0.8 is right 8 times in 10, and how to make it so.

Expected calibration error over 15 bins of equal width (Guo et al., "On calibration of modern
neural networks", ICML 2017), class-wise too (Kull et al., "Beyond temperature scaling", NeurIPS
2019). Both are above 0 even for a perfectly calibrated model, the more so the fewer images there
are: so beside each stands what such a model would show by chance, from labels drawn out of its own
probabilities (consistency resampling; Bröcker and Smith, "Increasing the reliability of
reliability diagrams", Weather and Forecasting 22, 2007). Labels are drawn for each image by itself;
images of a lesion share theirs, so the true chance value is a little higher.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hf_lesion.evaluation import metrics
from hf_lesion.labels import CODES
from hf_lesion.models.calibration import log_of, softmax_of

BINS = 15
SIMULATIONS = 1000
CHUNK = 100  # simulations in memory at once
UPPER = 0.95  # of the simulations lie below the `upper` value
BAND = (0.025, 0.975)
SEED = 0
# Keeps the bias of a class that validation does not hold finite. The curvature of the loss in the
# bias of a class of one image in a hundred is about 0.01, so there it takes 2 % off.
RIDGE = 1e-4
FOLDS = 5

Floats = NDArray[np.float64]


def measure_calibration(
    probabilities: Floats, references: NDArray[np.int64], *, simulations: int = SIMULATIONS
) -> dict[str, Any]:
    """Return how well probabilities are calibrated, beside what chance would show.

    Args:
        probabilities: (N, C) values in the order of `CODES`.
        references: (N,) class ids.
        simulations: How often labels are drawn for the chance values.

    Returns:
        `metrics`: ece, classwise_ece, `ece_<code>`, brier, log_loss; `chance`: for each error its
        `mean` and `upper` (95 % of the draws lie below) if the model were perfectly calibrated;
        `reliability`: for each bin with an image `count`, `confidence`, `accuracy` and the `band`
        that 95 % of the draws lie in.
    """
    top, is_right = _top(probabilities, references)
    of_top = _Bins(top)
    errors = {"ece": of_top.error(is_right)}
    by_class = [_Bins(column) for column in probabilities.T]
    for index, code in enumerate(CODES):
        errors[f"ece_{code}"] = by_class[index].error(references == index)
    errors["classwise_ece"] = float(np.mean([errors[f"ece_{code}"] for code in CODES]))
    drawn, accuracies = _simulate(probabilities, of_top, by_class, simulations)
    low, high = np.quantile(accuracies, BAND, axis=0)
    return {
        "metrics": errors
        | {
            "brier": brier(probabilities, references),
            "log_loss": log_loss(probabilities, references),
        },
        "chance": {
            name: {
                "mean": float(values.mean()),
                "upper": float(np.quantile(values, UPPER)),
            }
            for name, values in drawn.items()
        },
        "reliability": {
            "count": of_top.counts.tolist(),
            "confidence": of_top.means(top).round(4).tolist(),
            "accuracy": of_top.means(is_right).round(4).tolist(),
            "low": low.round(4).tolist(),
            "high": high.round(4).tolist(),
        },
    }


def ece(probabilities: Floats, references: NDArray[np.int64]) -> float:
    """Return the expected calibration error of the top class, in [0, 1].

    Args:
        probabilities: (N, C) values.
        references: (N,) class ids. A tie for the top counts as wrong, as everywhere.
    """
    top, is_right = _top(probabilities, references)
    return _Bins(top).error(is_right)


def classwise_ece(probabilities: Floats, references: NDArray[np.int64]) -> Floats:
    """Return (C,) the calibration error of each class's probability against "is it this class?".

    Args:
        probabilities: (N, C) values.
        references: (N,) class ids.
    """
    return np.asarray(
        [_Bins(column).error(references == index) for index, column in enumerate(probabilities.T)]
    )


def brier(probabilities: Floats, references: NDArray[np.int64]) -> float:
    """Return the mean over images of the squared distance to the truth, in [0, 2] (Brier 1950)."""
    truth = np.eye(probabilities.shape[1])[references]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def log_loss(probabilities: Floats, references: NDArray[np.int64]) -> float:
    """Return the mean negative log-likelihood in nats; a probability of 0 counts as 1e-12."""
    return float(-log_of(probabilities)[np.arange(len(references)), references].mean())


def fit_temperature(logits: Floats, references: NDArray[np.int64]) -> float:
    """Return the T for which softmax(logits / T) has the least negative log-likelihood.

    Args:
        logits: (N, C) values; logarithms of probabilities do as well.
        references: (N,) class ids.
    """

    def loss(parameters: Floats) -> float:
        return log_loss(softmax_of(logits * np.exp(-parameters[0])), references)

    # By its logarithm, so that it stays above 0. Convex in 1/T: one minimum.
    found = minimize(loss, np.zeros(1), method="L-BFGS-B", bounds=[(-3.0, 3.0)])
    return float(np.exp(found.x[0]))


def fit_shown(
    probabilities: Floats, references: NDArray[np.int64]
) -> tuple[float, tuple[float, ...]]:
    """Return the slope and biases for which softmax(s·log p + b) fits best.

    Args:
        probabilities: (N, C) a model's answers.
        references: (N,) class ids.

    Returns:
        s and (C,) b, by the least negative log-likelihood with a slight pull of b towards 0.
    """
    logs = log_of(probabilities)

    def loss(parameters: Floats) -> float:
        slope, biases = np.exp(parameters[0]), parameters[1:]
        fitted = softmax_of(slope * logs + biases)
        return log_loss(fitted, references) + RIDGE * float((biases**2).sum())

    found = minimize(loss, np.zeros(1 + logs.shape[1]), method="L-BFGS-B")
    return float(np.exp(found.x[0])), tuple(map(float, found.x[1:]))


def cross_validate(
    logits: Floats, references: NDArray[np.int64], lesions: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """Return what each correction does on images of lesions that it was not fitted on.

    Args:
        logits: (N, C) before any correction.
        references: (N,) class ids.
        lesions: (N,) numbers from 0; a lesion's images are held out together.

    Returns:
        For `uncalibrated`, `temperature` and `shown` probabilities: ece, classwise_ece, their
        chance values (`chance_…`), brier, log_loss, and balanced_accuracy of the answer by them.
    """
    fold_of = np.random.default_rng(SEED).permutation(lesions.max() + 1)[lesions] % FOLDS
    plain = softmax_of(logits)
    found = {"uncalibrated": plain, "temperature": plain.copy(), "shown": plain.copy()}
    for fold in range(FOLDS):
        held = fold_of == fold
        if held.all() or not held.any():
            continue
        temperature = fit_temperature(logits[~held], references[~held])
        answers = softmax_of(logits / temperature)
        slope, biases = fit_shown(answers[~held], references[~held])
        found["temperature"][held] = answers[held]
        found["shown"][held] = softmax_of(slope * log_of(answers[held]) + np.asarray(biases))
    return {name: _summarise(values, references) for name, values in found.items()}


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

    def sums(self, rows: NDArray[Any]) -> Floats:
        """Return (..., bins) sums of (..., N) values."""
        ordered = np.asarray(rows, dtype=np.float64)[..., self.order]
        return np.add.reduceat(ordered, self.starts, axis=-1)

    def means(self, rows: NDArray[Any]) -> Floats:
        """Return (..., bins) means of (..., N) values."""
        return self.sums(rows) / self.counts

    def errors(self, outcomes: NDArray[Any]) -> Floats:
        """Return (...) calibration errors of (..., N) outcomes."""
        gaps = np.abs(self.sums(self.values) - self.sums(outcomes))
        return gaps.sum(axis=-1) / len(self.values)

    def error(self, outcomes: NDArray[Any]) -> float:
        """Return the calibration error of (N,) outcomes."""
        return float(self.errors(outcomes))


def _top(probabilities: Floats, references: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
    is_right = metrics.predicted_classes(probabilities, references) == references
    return probabilities.max(axis=1), is_right


def _draw_labels(probabilities: Floats, simulations: int) -> Iterator[NDArray[np.int64]]:
    """Yield (at most CHUNK, N) class ids, each drawn from its image's own probabilities."""
    generator = np.random.default_rng(SEED)
    edges = probabilities.cumsum(axis=1)[:, :-1] / probabilities.sum(axis=1, keepdims=True)
    for start in range(0, simulations, CHUNK):
        draws = generator.random((min(CHUNK, simulations - start), len(probabilities)))
        labels = np.zeros(draws.shape, dtype=np.int64)
        for edge in edges.T:
            labels += draws > edge
        yield labels


def _simulate(
    probabilities: Floats, of_top: _Bins, by_class: list[_Bins], simulations: int
) -> tuple[dict[str, Floats], Floats]:
    """Return the errors by name, (simulations,) each, and (simulations, bins) accuracies."""
    top = probabilities.argmax(axis=1)
    parts: dict[str, list[Floats]] = {name: [] for name in ("ece", *(f"ece_{c}" for c in CODES))}
    accuracies = []
    for labels in _draw_labels(probabilities, simulations):
        is_right = labels == top
        parts["ece"].append(of_top.errors(is_right))
        accuracies.append(of_top.means(is_right))
        for index, code in enumerate(CODES):
            parts[f"ece_{code}"].append(by_class[index].errors(labels == index))
    drawn = {name: np.concatenate(values) for name, values in parts.items()}
    drawn["classwise_ece"] = np.mean([drawn[f"ece_{code}"] for code in CODES], axis=0)
    return drawn, np.concatenate(accuracies)


def _summarise(probabilities: Floats, references: NDArray[np.int64]) -> dict[str, float]:
    found = measure_calibration(probabilities, references)
    names = ("ece", "classwise_ece", "brier", "log_loss")
    summary = {name: found["metrics"][name] for name in names}
    for name in ("ece", "classwise_ece"):
        summary[f"chance_{name}"] = found["chance"][name]["mean"]
    balanced = metrics.compute_metrics(probabilities, references)["balanced_accuracy"]
    return summary | {"balanced_accuracy": balanced}
