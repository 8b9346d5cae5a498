"""Fit and evaluation of a gate, on features as returned by `LesionClassifier.look`.

Dermoscopic and other images are used in the same two versions, original and after `retake`, so that
size, sharpness and compression do not separate them. Rejection rates are measured on images that
the gate was not fitted on: other images by cross-fitting, dermoscopic ones on the test split.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from pytorch_ood.detector import Mahalanobis
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from torchvision.transforms.v2.functional import jpeg

from hf_lesion.labels import CODES
from hf_lesion.ood.gate import (
    ACCEPTED,
    STRANGE,
    UNSURE,
    DermoscopyRejection,
    Gate,
    Rejection,
    Source,
    judge,
    project,
    stack,
)

# Shares of held-out dermoscopic images that each part of the gate rejects, chosen on validation.
BY_CLASSIFIER, BY_DISTANCE = 0.02, 0.005
BY_CLASSIFIER_OF_A_CLASS = 0.04  # half of what is aimed at: classes of validation are small
DISTANCE_LAYERS = 2  # early stages: later ones vary with the diagnosis
# C of the logistic regression. On the shipped EfficientNet, with thresholds from validation, 0.1
# rejects 99 % of phone photos of patients that were left out, and 0.01 rejects 98 %.
INVERSE_PENALTY = 0.1
ITERATIONS = 1000
FOLDS = 3
DIRECTIONS = 64
IMAGES_PER_DIRECTION = 10
REFERENCES = 1000
SMALLEST = 1e-6
LEAST_SPREAD = 1e-2  # of the largest whitened direction: below it is rounding
SEED = 0
REJECTED = "other images to be rejected"
DRAWN = "drawn: "  # begins the name of a source of drawn pictures
# An answer is unsure if answers of its confidence are right less often than this, …
RIGHT_AT_LEAST = 0.5
# … but not more than this share of validation images: a little below the 15 % that are aimed at.
UNSURE_AT_MOST = 0.12
# How `retake` changes images.
RATIOS = (1.0, 4 / 3)  # width to height
SIDES = (96, 241)  # pixels, of the shorter side
BLURRED = 0.3  # share of images
BLUR = (0.3, 1.2)  # pixels
LIGHT, TINT = (0.9, 1.1), (0.97, 1.03)
QUALITIES = (50, 96)
# Photos of one patient in PAD-UFES-20 are named PAT_<patient>_<lesion>_<image>.
PATIENT = re.compile(r"[A-Za-z]+_\d+(?=_)")

Interval = Callable[[NDArray[np.bool_], Sequence[str]], tuple[float, float]]


@dataclass(frozen=True)
class Observed:
    """What a model returned for N images."""

    probabilities: NDArray[np.floating]  # (N, C)
    features: Mapping[str, NDArray[np.float32]]  # (N, D) by name
    groups: Sequence[str]  # N lesions or patients, whose images are kept together
    references: NDArray[np.int64]  # (N,) class ids; -1 for other images

    def __len__(self) -> int:
        return len(self.probabilities)

    def select(self, rows: NDArray[np.integer]) -> "Observed":
        """Return some of the images."""
        return Observed(
            self.probabilities[rows],
            {name: found[rows] for name, found in self.features.items()},
            [self.groups[row] for row in rows],
            self.references[rows],
        )


def retake(image: Image.Image, *, seed: int) -> Image.Image:
    """Return an RGB image as if taken with another camera and saved by another program.

    Framing, size, sharpness, compression and, slightly, lighting are random, to remove differences
    in how two collections of images were stored.
    """
    rng = np.random.default_rng(seed)
    ratio, side = float(rng.choice(RATIOS)), int(rng.integers(*SIDES))
    image = ImageOps.fit(image, (round(side * ratio), side), Image.Resampling.BICUBIC)
    if rng.random() < BLURRED:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(*BLUR)))
    light = rng.uniform(*LIGHT) * rng.uniform(*TINT, 3)
    values = np.clip(np.round(np.asarray(image, np.float32) * light), 0, 255)
    changed: Image.Image = jpeg(
        Image.fromarray(values.astype(np.uint8)), int(rng.integers(*QUALITIES))
    )
    return changed


def group_of(name: str) -> str:
    """Return the patient of a photo that is named as in PAD-UFES-20; otherwise the name itself."""
    found = PATIENT.match(name.rsplit("/", 1)[-1])
    return found[0] if found else name


def fit_gate(
    layers: Sequence[str], dermoscopic: Observed, others: Mapping[str, Observed], held_out: Observed
) -> Gate:
    """Fit a gate, without `rates` and `weights_sha256`.

    Args:
        layers: "colours", then the network's stages, then its last linear layer.
        dermoscopic: Training images, in every version.
        others: Source → images to be rejected, in every version. Sources have equal weights.
        held_out: Validation images, on which the thresholds are chosen.
    """
    inputs = tuple(layers[:-1])
    near = inputs[: 1 + DISTANCE_LAYERS]
    gate = _fit_distance(stack(dermoscopic.features, near), near)
    gate = replace(
        gate,
        inputs=inputs,
        reference=_subsample(gate.distances(stack(held_out.features, near))),
        unsure_below=fit_unsure(held_out),
    )
    return _fit_classifier(gate, dermoscopic, others, held_out)


def fit_unsure(held_out: Observed) -> float:
    """Return the confidence below which predictions are marked as unsure; 0 for none.

    The probability that a prediction of a given confidence is correct is fitted by isotonic
    regression. Predictions that are more likely wrong than right are unsure, but at most a share
    `UNSURE_AT_MOST` of the images.
    """
    confidence = held_out.probabilities.max(axis=1)
    right = _is_right(held_out).astype(np.float64)
    expected = IsotonicRegression(y_min=0, y_max=1).fit_transform(confidence, right)
    good = expected > RIGHT_AT_LEAST
    if good.all():
        return 0.0
    lowest = float(confidence[good].min()) if good.any() else 1.0
    return min(lowest, float(np.quantile(confidence, UNSURE_AT_MOST)))


def measure_dermoscopic(gate: Gate, images: Observed, interval: Interval) -> DermoscopyRejection:
    """Return a gate's decisions on dermoscopic images that it was not fitted on.

    `interval` returns the interval of the share of true values, from (N,) flags and their groups.
    """
    verdicts = judge(gate, images.probabilities, images.features)
    kinds = np.asarray([verdict.kind for verdict in verdicts])
    right, rejected = _is_right(images), kinds == STRANGE
    classes = {code: images.references == index for index, code in enumerate(CODES)}
    groups = np.asarray(images.groups)
    return DermoscopyRejection(
        **_count(rejected, groups, interval),
        unsure=_share(kinds == UNSURE),
        right_unsure=_share(kinds[right] == UNSURE),
        accuracy=_share(right),
        accuracy_unsure=_share(right[kinds == UNSURE]),
        accuracy_accepted=_share(right[kinds == ACCEPTED]),
        by_class={
            code: Rejection(**_count(rejected[rows], groups[rows], interval))
            for code, rows in classes.items()
            if rows.any()
        },
    )


def measure_others(
    layers: Sequence[str],
    dermoscopic: Observed,
    others: Mapping[str, Sequence[Observed]],
    held_out: Observed,
    interval: Interval,
) -> dict[str, Rejection]:
    """Return the cross-fitted rejection rates of non-dermoscopic images by source.

    Each image is judged by a gate fitted without the images of its group; for `refused_if_unknown`,
    by one fitted without any image of its source. `others` maps a source to the same images in each
    version, original and retaken, which are measured separately, as "source" and "source, retaken".
    """
    known = {source: [np.zeros(len(one), bool) for one in each] for source, each in others.items()}
    split = GroupKFold(FOLDS, shuffle=True, random_state=SEED).split
    folds = {
        source: list(split(each[0].groups, groups=np.asarray(each[0].groups)))
        for source, each in others.items()
    }
    for fold in range(FOLDS):
        train = {
            source: join([one.select(folds[source][fold][0]) for one in each])
            for source, each in others.items()
        }
        gate = fit_gate(layers, dermoscopic, train, held_out)
        for source, each in others.items():
            rows = folds[source][fold][1]
            for rejected, one in zip(known[source], each, strict=True):
                rejected[rows] = gate.rejects(stack(one.select(rows).features, gate.inputs))
    joined = {source: join(each) for source, each in others.items()}
    found: dict[str, Rejection] = {}
    for source, each in others.items():
        without = {name: one for name, one in joined.items() if name != source}
        gate = fit_gate(layers, dermoscopic, without, held_out)
        for version, (rejected, one) in enumerate(zip(known[source], each, strict=True)):
            unknown = gate.rejects(stack(one.features, gate.inputs))
            found[source + (", retaken" if version else "")] = Rejection(
                **_count(rejected, np.asarray(one.groups), interval),
                refused_if_unknown=_share(unknown),
            )
    return found


def join(parts: Sequence[Observed]) -> Observed:
    """Return several sets of images as one."""
    return Observed(
        np.concatenate([part.probabilities for part in parts]),
        {
            name: np.concatenate([part.features[name] for part in parts])
            for name in parts[0].features
        },
        [group for part in parts for group in part.groups],
        np.concatenate([part.references for part in parts]),
    )


def list_sources(
    dermoscopic: Sequence[Observed],
    others: Mapping[str, Sequence[Observed]],
    held_out: Mapping[str, Observed],
) -> list[Source]:
    """Return the sources a gate is fitted on: all but `held_out` in each version."""
    parts = [("train", dermoscopic, "dermoscopic images to be accepted")]
    parts += [(name, one, REJECTED) for name, one in others.items()]
    parts += [(name, [one], "thresholds") for name, one in held_out.items()]
    return [
        Source(name=name, images=len(one[0]), versions=len(one), purpose=purpose)
        for name, one, purpose in parts
    ]


def summarise(sources: Sequence[Source]) -> str:
    """Return in sentences what a gate was fitted on and how its rejections were measured."""
    accepted, *rest = sources
    rejected = [one for one in rest if one.purpose == REJECTED]
    drawn = [one for one in rejected if one.name.startswith(DRAWN)]
    photos = [one for one in rejected if one not in drawn]
    named = [f"{one.images:,} photos of {one.name}" for one in photos]
    named.append(f"{sum(one.images for one in drawn):,} drawn images of {len(drawn)} kinds")
    thresholds = [f"{one.images:,} images of {one.name}" for one in rest if one not in rejected]
    without = (
        ""
        if photos
        else " No photos were provided, so their rejection rate, above all of skin, is unknown."
    )
    return (
        f"It was fitted on {accepted.images:,} dermoscopic images of the {accepted.name} split "
        f"against {' and '.join(named)}, all of them also with size, sharpness, compression and "
        f"light changed at random (“retaken”). Its thresholds were chosen on "
        f"{' and '.join(thresholds)}. Dermoscopic images were measured on the test split, which "
        "took no part in this; other images by gates that were fitted without the images of the "
        f"same patient ({FOLDS}-fold).{without}"
    )


def with_rates(gate: Gate, measured: DermoscopyRejection) -> Gate:
    """Return a gate that knows its false-alarm rates."""
    rates: dict[str, float | None] = {STRANGE: measured.refused, UNSURE: measured.right_unsure}
    known = {kind: rate for kind, rate in rates.items() if rate is not None and rate == rate}
    return replace(gate, rates=known)


def _fit_classifier(
    gate: Gate, dermoscopic: Observed, others: Mapping[str, Observed], held_out: Observed
) -> Gate:
    """Add the classifier, its threshold folded into the offset."""
    parts = [stack(one.features, gate.inputs) for one in (dermoscopic, *others.values())]
    labels = np.repeat(np.arange(len(parts)) > 0, [len(part) for part in parts])
    # Half of the weight is dermoscopic; the sources share the other half.
    shares = [1.0] + [1 / len(others)] * len(others)
    weights = np.concatenate(
        [np.full(len(part), share / len(part)) for part, share in zip(parts, shares, strict=True)]
    )
    scaler = StandardScaler()
    features = scaler.fit_transform(np.concatenate(parts).astype(np.float64))
    found = LogisticRegression(C=INVERSE_PENALTY, max_iter=ITERATIONS)
    found.fit(features, labels, sample_weight=weights * len(weights) / weights.sum())
    weight = torch.from_numpy(found.coef_[0] / scaler.scale_).float()
    offset = float(found.intercept_[0] - found.coef_[0] @ (scaler.mean_ / scaler.scale_))
    gate = replace(gate, weight=weight, offset=offset)
    scores = gate.classify(stack(held_out.features, gate.inputs))
    # Few dermoscopic images exceed it, of all and of each class.
    threshold = max(
        float(np.quantile(scores, 1 - BY_CLASSIFIER)),
        *(
            float(np.quantile(scores[held_out.references == each], 1 - BY_CLASSIFIER_OF_A_CLASS))
            for each in np.unique(held_out.references)
        ),
    )
    return replace(gate, offset=offset - threshold, scores=_subsample(scores - threshold))


def _fit_distance(features: NDArray[np.float32], inputs: tuple[str, ...]) -> Gate:
    """Fit mean, whitened directions and distance; the reference is empty."""
    # Few images can't tell many directions.
    most = max(1, min(DIRECTIONS, len(features) // IMAGES_PER_DIRECTION))
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
        # The library sums over the images; with a mean, distances do not depend on their number.
        precision=detector.precision * len(points),
        reference=torch.empty(0),
        refused_below=BY_DISTANCE,
    )


def _subsample(values: NDArray[np.float64]) -> torch.Tensor:
    """Return at most `REFERENCES` of the values, evenly spaced in their order, ascending."""
    places = np.linspace(0, len(values) - 1, min(REFERENCES, len(values))).round().astype(int)
    return torch.from_numpy(np.sort(values)[places].astype(np.float32))


def _is_right(images: Observed) -> NDArray[np.bool_]:
    return np.asarray(images.probabilities.argmax(axis=1) == images.references)


def _count(
    flags: NDArray[np.bool_], groups: NDArray[np.str_], interval: Interval
) -> dict[str, Any]:
    return {
        "images": len(flags),
        "refused": _share(flags),
        "interval": interval(flags, groups.tolist()),
    }


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")
