"""Fits the gate of a model: on dermoscopic images alone, chosen by what it refuses of the rest.

No image that is to be refused takes part in the fit, so the gate can't learn what such images
happen to look like here: clothes, say. They only choose between a few candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_ood.detector import Mahalanobis
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import GroupKFold

from hf_lesion.decision import ACCEPTED, STRANGE, UNSURE, Gate, project

Blocks = Mapping[str, NDArray[np.float32]]
# Of validation images; a little below the 5 % that are aimed at, since other images vary.
REFUSED_SHARE = 0.035
FOLDS = 5
DIRECTIONS = 64
IMAGES_PER_DIRECTION = 10
REFERENCES = 1000
SMALLEST = 1e-6
LEAST_SPREAD = 1e-2  # of the largest whitened direction: below it is rounding
SEED = 0
# An answer that is right less often than this is called unsure.
RIGHT_AT_LEAST = 0.5


@dataclass(frozen=True)
class Seen:
    """What a model makes of N images.

    Attributes:
        probabilities: (N, C).
        blocks: Name → (N, D) what it saw, as from `taps.look`.
    """

    probabilities: NDArray[np.floating]
    blocks: Blocks


def candidates(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the inputs that gates are tried with.

    Args:
        names: "colours", then the model's layers from the first to the penultimate features.
    """
    colours, *layers = names
    found = {"colours": (colours,), "penultimate": (colours, layers[-1])}
    if len(layers) > 2:
        found["first two layers"] = (colours, *layers[:2])
    if len(layers) > 3:
        found["second and third layer"] = (colours, *layers[1:3])
    return found


def fit_gate(versions: Sequence[Blocks], groups: Sequence[str], inputs: tuple[str, ...]) -> Gate:
    """Fit a gate on dermoscopic images.

    Args:
        versions: What the model saw of the same N images, in each of several versions.
        groups: (N,) lesions: those of one lesion stay together in the cross-fit.
        inputs: What to judge by.

    Returns:
        A gate whose reference are distances of images of lesions that it was not fitted on.
    """
    stacked = [stack(blocks, inputs) for blocks in versions]
    held_out = [np.empty(len(groups)) for _ in stacked]
    folds = GroupKFold(min(FOLDS, len(set(groups))), shuffle=True, random_state=SEED)
    # Few images can't tell many directions. As many in every fold as in the end, or distances of
    # the two would not compare.
    fitted = sum(map(len, stacked)) * (FOLDS - 1) // FOLDS
    most = max(1, min(DIRECTIONS, fitted // IMAGES_PER_DIRECTION))
    for train, rest in folds.split(stacked[0], groups=list(groups)):
        part = _fit(np.concatenate([each[train] for each in stacked]), inputs, most)
        for distances, each in zip(held_out, stacked, strict=True):
            distances[rest] = part.distances(each[rest])
    every = np.sort(np.concatenate(held_out))
    places = np.linspace(0, len(every) - 1, min(REFERENCES, len(every))).round().astype(int)
    gate = _fit(np.concatenate(stacked), inputs, most)
    return replace(gate, reference=torch.from_numpy(every[places].astype(np.float32)))


def stack(blocks: Blocks, inputs: Sequence[str]) -> NDArray[np.float32]:
    """Return (N, D) features of a gate's inputs, in their order."""
    return np.concatenate([blocks[name] for name in inputs], axis=1)


def refused(gate: Gate, seen: Seen) -> float:
    """Return the share of images that a gate refuses as strange."""
    return float((gate.likeness(stack(seen.blocks, gate.inputs)) < gate.refused_below).mean())


def choose_gate(
    gates: Mapping[str, Gate], strangers: Mapping[str, Seen]
) -> tuple[str, dict[str, dict[str, float]]]:
    """Return the candidate that refuses most of the kind it refuses least, and all their shares.

    Args:
        gates: Candidate → gate.
        strangers: Kind → images that are no dermoscopy, none of which is measured on later.
    """
    shares = {
        name: {kind: refused(gate, seen) for kind, seen in strangers.items()}
        for name, gate in gates.items()
    }
    best = max(shares, key=lambda name: (min(shares[name].values()), _mean(shares[name])))
    return best, shares


def fit_unsure(probabilities: NDArray[np.floating], references: NDArray[np.int64]) -> float:
    """Return the confidence below which answers were more often wrong than right.

    How often an answer of some confidence is right is fitted by isotonic regression.

    Args:
        probabilities: (N, C) of validation images.
        references: (N,) class ids.

    Returns:
        In [0, 1]; 0 if even the least confident answers were mostly right.
    """
    sure = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == references).astype(np.float64)
    expected = IsotonicRegression(y_min=0, y_max=1).fit_transform(sure, right)
    good = expected > RIGHT_AT_LEAST
    if good.all():
        return 0.0
    return float(sure[good].min()) if good.any() else 1.0


def describe_verdicts(
    gate: Gate, seen: Seen, references: NDArray[np.int64]
) -> dict[str, float | int]:
    """Return how a gate treats dermoscopic images.

    Returns:
        `images`; the shares `refused` and `unsure`; `right_unsure`, of right answers that are
        called unsure; `accuracy`, `accuracy_unsure`, `accuracy_accepted`, NaN where there is none.
    """
    verdicts = gate.judge(seen.probabilities, stack(seen.blocks, gate.inputs))
    kinds = np.asarray([verdict.kind for verdict in verdicts])
    right = seen.probabilities.argmax(axis=1) == references
    return {
        "images": len(kinds),
        "refused": float((kinds == STRANGE).mean()),
        "unsure": float((kinds == UNSURE).mean()),
        "right_unsure": _share(kinds[right] == UNSURE),
        "accuracy": float(right.mean()),
        "accuracy_unsure": _share(right[kinds == UNSURE]),
        "accuracy_accepted": _share(right[kinds == ACCEPTED]),
    }


def with_rates(gate: Gate, measured: Mapping[str, Any]) -> Gate:
    """Return a gate that knows its false-alarm rates, as from `describe_verdicts`."""
    rates = {STRANGE: measured["refused"], UNSURE: measured["right_unsure"]}
    return replace(gate, rates={kind: rate for kind, rate in rates.items() if rate == rate})


def _fit(features: NDArray[np.float32], inputs: tuple[str, ...], most: int) -> Gate:
    """Fit mean, at most so many whitened directions, and distance; the reference is empty."""
    values = torch.from_numpy(features).double()
    mean = values.mean(0)
    scale = 1 / values.std(0).clamp_min(SMALLEST)
    deviation = (values - mean) * scale
    spread, axes = torch.linalg.eigh(deviation.T @ deviation / len(deviation))
    axes, spread = axes.flip(1)[:, :most], spread.flip(0)[:most]
    kept = spread > LEAST_SPREAD**2 * spread[0]
    axes, spread = axes[:, kept], spread[kept]
    directions = axes / spread.sqrt()
    mean, scale, directions = mean.float(), scale.float(), directions.float()
    points = project(torch.from_numpy(features), mean, scale, directions)
    detector = Mahalanobis(None).fit_features(points, torch.zeros(len(points), dtype=torch.long))
    return Gate(
        inputs=inputs,
        mean=mean,
        scale=scale,
        directions=directions,
        centre=detector.mu,
        # The library sums over the images; a mean keeps the distances' size free of their number.
        precision=detector.precision * len(points),
        reference=torch.empty(0),
        refused_below=REFUSED_SHARE,
    )


def _share(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _mean(shares: Mapping[str, float]) -> float:
    return float(np.mean(list(shares.values())))
