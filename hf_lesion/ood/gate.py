"""Out-of-distribution gate: rejects non-dermoscopic images and marks unsure predictions.

It uses features of the forward pass that predicts. `scripts/fit_gate.py` writes its parameters
(`gate.safetensors`) and record (`gate.json`: data and rejection rates) next to the weights. An
image is rejected by either of:

- a linear classifier on pooled features that separates dermoscopic from other images;
- the Mahalanobis distance to dermoscopic images (Lee et al., "A Simple Unified Framework for
  Detecting Out-of-Distribution Samples", NeurIPS 2018, by pytorch-ood), which is fitted without
  other images and therefore also rejects unforeseen kinds. It is compared with the distances of
  held-out images (a conformal p-value: Vovk et al., "Algorithmic Learning in a Random World",
  2005).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, Field
from pytorch_ood.detector import Mahalanobis
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hf_lesion.errors import InputError
from hf_lesion.io.files import write_json
from hf_lesion.io.records import read_record

GATE = "gate.safetensors"
GATE_RECORD = "gate.json"
SCHEMA_VERSION = "2"
Kind = Literal["accepted", "strange", "unsure", "unjudged"]
ACCEPTED: Kind = "accepted"
STRANGE: Kind = "strange"
UNSURE: Kind = "unsure"
UNJUDGED: Kind = "unjudged"
TINY = 1e-3
FIX = "Fit it again with scripts/fit_gate.py, or remove the file."
DISTANCE = ("mean", "scale", "directions", "centre", "precision", "reference")
CLASSIFIER = ("weight", "scores")


@dataclass(frozen=True)
class Verdict:
    """The gate's decision on one image."""

    kind: Kind  # "strange" is not dermoscopic; "unjudged" if the model has no gate
    # Share of held-out dermoscopic images that look at least as unusual, in [0, 1]: by distance or
    # by the classifier, whichever is smaller; NaN if unjudged.
    likeness: float
    confidence: float  # the highest probability, in [0, 1]
    # How often this verdict is wrong on test images: of dermoscopic images for "strange", of
    # correct predictions for "unsure"; None for "accepted" or if not measured.
    false_alarm_rate: float | None
    sentence: str  # the verdict in words


@dataclass(frozen=True)
class Gate:
    """What a verdict is computed from."""

    inputs: tuple[str, ...]  # names of the features, in the order of the D columns
    mean: torch.Tensor  # (E,) of dermoscopic images; the distance uses the first E ≤ D columns
    scale: torch.Tensor  # (E,) one over the standard deviation
    directions: torch.Tensor  # (E, K) on which deviations from the mean, times scale, are projected
    centre: torch.Tensor  # (1, K + 1) mean of the projections and of the logarithm of the residual
    precision: torch.Tensor  # (K + 1, K + 1) inverse covariance of these
    reference: torch.Tensor  # (R,) distances of held-out dermoscopic images, ascending
    refused_below: float  # least likeness by distance of an accepted image
    unsure_below: float = 0.0  # least confidence of an answer without a reservation
    weight: torch.Tensor | None = None  # (D,) of the classifier; None for distance alone
    offset: float = 0.0  # an image is rejected if features @ weight + offset > 0
    scores: torch.Tensor | None = None  # (S,) of held-out dermoscopic images, ascending
    rates: Mapping[str, float] = field(default_factory=dict)  # false alarms by kind, if measured
    weights_sha256: str | None = None  # the weights that it was fitted on

    def distances(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (N,) distances of (N, D) features from dermoscopic images."""
        columns = torch.from_numpy(features[:, : len(self.mean)])
        points = project(columns, self.mean, self.scale, self.directions)
        return self._detector.predict_features(points).double().numpy()

    def classify(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (N,) scores, above 0 for non-dermoscopic images; minus infinity if it has none."""
        if self.weight is None:
            return np.full(len(features), -np.inf)
        found: NDArray[np.float64] = features @ self.weight.double().numpy() + self.offset
        return found

    def likeness(
        self, distances: NDArray[np.float64], scores: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return (N,) shares of held-out images at least as unusual, by distance or by score."""
        by_distance = _share_above(self._references, distances)
        if self.scores is None:
            return by_distance
        return np.minimum(by_distance, _share_above(self.scores.double().numpy(), scores))

    def decide(
        self, distances: NDArray[np.floating], scores: NDArray[np.floating]
    ) -> NDArray[np.bool_]:
        """Return (N,) whether images with these distances and scores are rejected."""
        # Negated, so that NaN is rejected.
        return ~((distances <= self.distance_limit) & (scores <= 0))

    def rejects(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return (N,) whether images with (N, D) features are rejected as non-dermoscopic."""
        return self.decide(self.distances(features), self.classify(features))

    @cached_property
    def distance_limit(self) -> float:
        """The largest distance at which an image is accepted; infinity if there is no limit.

        At least a share `refused_below` of the held-out images is as unusual.
        """
        count = len(self._references)
        shares = 1 - np.arange(count + 1) / count  # by the number of nearer held-out images
        nearer = int((shares >= self.refused_below).sum()) - 1
        return float(self._references[nearer]) if nearer < count else float("inf")

    @cached_property
    def _detector(self) -> Mahalanobis:
        detector = Mahalanobis(None)
        detector.mu, detector.precision = self.centre, self.precision
        return detector

    @cached_property
    def _references(self) -> NDArray[np.float64]:
        return self.reference.double().numpy()


def judge(
    gate: Gate | None,
    probabilities: NDArray[np.floating],
    features: Mapping[str, NDArray[np.float32]],
) -> list[Verdict]:
    """Return the verdict on each of N images; without a gate each is "unjudged".

    By (N, C) probabilities and (N, D) features under each name of the gate's inputs.
    """
    confidence = np.asarray(probabilities).max(axis=1, initial=0)
    if gate is None:
        kinds, likeness = np.full(len(confidence), UNJUDGED), np.full(len(confidence), np.nan)
    else:
        columns = stack(features, gate.inputs)
        distances, scores = gate.distances(columns), gate.classify(columns)
        likeness = gate.likeness(distances, scores)
        accepted = np.where(confidence >= gate.unsure_below, ACCEPTED, UNSURE)
        kinds = np.where(gate.decide(distances, scores), STRANGE, accepted)
    rates = {} if gate is None else gate.rates
    rows = zip(kinds.tolist(), likeness.tolist(), confidence.tolist(), strict=True)
    return [
        Verdict(kind, like, sure, rates.get(kind), describe(kind, rates.get(kind)))
        for kind, like, sure in rows
    ]


def stack(
    features: Mapping[str, NDArray[np.float32]], inputs: tuple[str, ...]
) -> NDArray[np.float32]:
    """Return (N, D) features of a gate's inputs, in their order."""
    return np.concatenate([features[name] for name in inputs], axis=1)


def project(
    features: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor, directions: torch.Tensor
) -> torch.Tensor:
    """Return (N, K + 1): features along K directions, and the logarithm of the residual."""
    deviation = (features - mean) * scale
    along = deviation @ directions
    # The directions have lengths of their own (whitening); the residual needs unit vectors.
    units = directions / directions.norm(dim=0)
    left = deviation.square().sum(1) - (deviation @ units).square().sum(1)
    return torch.cat([along, 0.5 * (left.clamp_min(0) + TINY).log()[:, None]], dim=1)


def describe(kind: Kind, rate: float | None) -> str:
    """Return a verdict in words, with how often it is wrong if that is known."""
    if kind == STRANGE:
        text = "Not recognised as a dermoscopic image: the prediction is not meaningful."
        often = "About {} of 100 dermoscopic images are rejected by mistake."
    elif kind == UNSURE:
        text = (
            "Low confidence: on validation, such predictions were wrong much more often than "
            "the others."
        )
        often = "About {} of 100 correct predictions are marked like this."
    elif kind == UNJUDGED:
        return "No gate: it is unknown whether the image is dermoscopic."
    else:
        return "Recognised as dermoscopic."
    return text if rate is None else f"{text} {often.format(round(100 * rate))}"


def write_gate(path: Path, gate: Gate) -> None:
    """Write a gate as safetensors: tensors, and all else as JSON in its header."""
    names = DISTANCE if gate.weight is None else (*DISTANCE, *CLASSIFIER)
    tensors = {name: getattr(gate, name).float().contiguous() for name in names}
    about = {
        "inputs": list(gate.inputs),
        "refused_below": gate.refused_below,
        "unsure_below": gate.unsure_below,
        "offset": gate.offset,
        "rates": dict(gate.rates),
        "weights_sha256": gate.weights_sha256,
    }
    header = {"format": "pt", "schema_version": SCHEMA_VERSION, "gate": json.dumps(about)}
    save_file(tensors, path, metadata=header)


def read_gate(path: Path) -> Gate:
    """Read what `write_gate` wrote.

    Raises:
        InputError: If the file is damaged or of another version.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            header: dict[str, Any] = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if header["schema_version"] != SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema_version {header['schema_version']}; this version of hf_lesion "
                f"reads {SCHEMA_VERSION}. {FIX}"
            )
        about = json.loads(header["gate"])
        about["inputs"] = tuple(about["inputs"])
        return Gate(**tensors, **about)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not a gate: {error}. {FIX}") from error


def find_gate(folder: Path) -> Gate | None:
    """Return the gate next to a model's weights, or None; raises as `read_gate`."""
    file = folder / GATE
    return read_gate(file) if file.is_file() else None


class Rejection(BaseModel):
    """How many images of one source the gate rejects."""

    images: int
    refused: float | None  # share in [0, 1]
    interval: tuple[float | None, float | None] | None = None  # 95 %, over lesions or patients
    refused_if_unknown: float | None = None  # by a gate fitted without any image of this source

    @property
    def text(self) -> str:
        """The share with its interval, for a reader."""
        if self.refused is None:
            return "–"
        if self.interval is None or None in self.interval:
            return f"{self.refused:.1%}"
        return f"{self.refused:.1%} [{self.interval[0]:.1%}, {self.interval[1]:.1%}]"


class DermoscopyRejection(Rejection):
    """A gate's decisions on dermoscopic images."""

    unsure: float | None = None  # share of images marked as unsure
    right_unsure: float | None = None  # share of correct predictions marked as unsure
    accuracy: float | None = None
    accuracy_unsure: float | None = None  # of the images marked as unsure
    accuracy_accepted: float | None = None  # of the accepted images
    by_class: dict[str, Rejection] = {}


class Source(BaseModel):
    """Images that a gate was fitted on: a split, a folder or a kind of drawn images."""

    name: str
    images: int
    versions: int  # of each image: the original, and randomly changed ones
    purpose: str


class MeasuredModel(BaseModel):
    """The model that a gate belongs to."""

    name: str = ""
    weights_sha256: str | None = None


class GateRecord(BaseModel):
    """The content of `gate.json`: data, rejection rates and risk-coverage curve of a gate."""

    schema_version: int = 2
    summary: str = ""  # what it was fitted and measured on, in sentences
    fitted_on: list[Source] = []
    inputs: list[str] = []
    refused_below: float | None = None
    unsure_below: float | None = None
    # By source. "test" is the test split; no other source was used for fitting.
    dermoscopic: dict[str, DermoscopyRejection] = Field(
        validation_alias=AliasChoices("dermoscopic", "real")
    )
    other: dict[str, Rejection] = Field(validation_alias=AliasChoices("other", "strange"))
    risk_coverage: dict[str, Any] | None = None  # of `evaluation.risk_coverage` on test
    data: dict[str, Any] = {}  # origin of the test images, with their fingerprint
    model: MeasuredModel = MeasuredModel()
    provenance: dict[str, Any] = {}


def read_gate_record(folder: Path) -> GateRecord | None:
    """Read `gate.json` of a model's folder; None if there is none."""
    return read_record(folder / GATE_RECORD, GateRecord, fix=FIX)


def write_gate_record(folder: Path, record: GateRecord) -> None:
    """Write `gate.json` to a folder."""
    write_json(folder / GATE_RECORD, record.model_dump())


def _share_above(held_out: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) shares of ascending held-out values that are at least as large as each value."""
    found: NDArray[np.float64] = 1 - np.searchsorted(held_out, values, side="left") / len(held_out)
    return found
