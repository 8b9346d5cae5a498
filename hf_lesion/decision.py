"""From probabilities and features to a verdict: is this dermoscopy at all, and is the model sure?

A gate is fitted by `scripts/fit_gate.py` and lies beside the weights. It knows dermoscopic images
only: how far an image is from them is the Mahalanobis distance of what the network saw of it (Lee
et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018, by
pytorch-ood), and how unusual such a distance is it reads off validation images that it was not
fitted on (a conformal p-value: Vovk et al., "Algorithmic Learning in a Random World", 2005).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_ood.detector import Mahalanobis
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hf_lesion.errors import InputError
from hf_lesion.io.files import read_json_if_there

GATE = "gate.safetensors"
GATE_RECORD = "gate.json"
SCHEMA_VERSION = "1"
Kind = Literal["accepted", "strange", "unsure", "unjudged"]
ACCEPTED: Kind = "accepted"
STRANGE: Kind = "strange"
UNSURE: Kind = "unsure"
UNJUDGED: Kind = "unjudged"
TINY = 1e-3
FIX = "Fit it again with scripts/fit_gate.py, or remove the file."


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one image beside the model's answer.

    Attributes:
        kind: "accepted", "strange" (does not look like a dermoscopic image), "unsure", or
            "unjudged" where the model has no gate.
        likeness: Share of validation images that look at least as unusual as this one, in [0, 1];
            NaN if unjudged.
        confidence: The highest probability, in [0, 1].
        false_alarm_rate: How often the gate says this wrongly, measured on test images: of real
            dermoscopic images for "strange", of right answers for "unsure"; None for "accepted" or
            where it was not measured.
        sentence: The verdict in words, for a reader.
    """

    kind: Kind
    likeness: float
    confidence: float
    false_alarm_rate: float | None
    sentence: str


@dataclass(frozen=True)
class Gate:
    """Everything that a verdict needs.

    Attributes:
        inputs: What is judged by: "colours" and names of layers, in the order of the D features.
        mean: (D,) of the fitted images.
        directions: (D, K) onto which the deviation from the mean, times `scale`, is projected.
        scale: (D,) one over the standard deviation.
        centre: (1, K + 1) mean of the projections and of the logarithm of what they leave out.
        precision: (K + 1, K + 1) inverse covariance of these.
        reference: (R,) distances of validation images in ascending order.
        refused_below: Least likeness of an image that is accepted.
        unsure_below: Least confidence of an answer that is given without a reservation.
        rates: False-alarm rate of each kind of verdict, as far as measured.
        weights_sha256: The weights that it was fitted on; None in a file of an earlier version,
            beside which `gate.json` says it.
    """

    inputs: tuple[str, ...]
    mean: torch.Tensor
    scale: torch.Tensor
    directions: torch.Tensor
    centre: torch.Tensor
    precision: torch.Tensor
    reference: torch.Tensor
    refused_below: float
    unsure_below: float = 0.0
    rates: Mapping[str, float] = field(default_factory=dict)
    weights_sha256: str | None = None

    def distances(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (N,) how far (N, D) features are from those of dermoscopic images."""
        points = project(torch.from_numpy(features), self.mean, self.scale, self.directions)
        return self._detector.predict_features(points).double().numpy()

    def likeness(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (N,) shares of validation images that are at least as far away, in [0, 1]."""
        distances = self.distances(features)
        nearer = np.searchsorted(self._references, distances, side="left")
        return 1 - nearer / len(self.reference)

    @cached_property
    def _detector(self) -> Mahalanobis:
        detector = Mahalanobis(None)
        detector.mu, detector.precision = self.centre, self.precision
        return detector

    @cached_property
    def _references(self) -> NDArray[np.float64]:
        return self.reference.double().numpy()

    def judge(
        self, probabilities: NDArray[np.floating], features: NDArray[np.float32]
    ) -> list[Verdict]:
        """Return the verdict on each of N images.

        Args:
            probabilities: (N, C), each row summing to 1.
            features: (N, D) of the same images.
        """
        likeness = self.likeness(features)
        sure = np.asarray(probabilities).max(axis=1, initial=0)
        return [self._verdict(*pair) for pair in zip(likeness, sure, strict=True)]

    def _verdict(self, likeness: float, confidence: float) -> Verdict:
        kind = ACCEPTED
        # Not written as "below": a distance that is no number must not pass.
        if not likeness >= self.refused_below:
            kind = STRANGE
        elif not confidence >= self.unsure_below:
            kind = UNSURE
        rate = self.rates.get(kind)
        return Verdict(kind, float(likeness), float(confidence), rate, describe(kind, rate))


def judge(
    gate: Gate | None,
    probabilities: NDArray[np.floating],
    seen: Mapping[str, NDArray[np.float32]],
) -> list[Verdict]:
    """Return the verdict on each of N images; without a gate each is "unjudged".

    Args:
        gate: The model's, or None.
        probabilities: (N, C), each row summing to 1.
        seen: (N, D) what the model saw, under each name of the gate's inputs.
    """
    if gate is None:
        sure = np.asarray(probabilities).max(axis=1, initial=0).tolist()
        words = describe(UNJUDGED, None)
        return [Verdict(UNJUDGED, float("nan"), each, None, words) for each in sure]
    features = np.concatenate([seen[name] for name in gate.inputs], axis=1)
    return gate.judge(probabilities, features)


def project(
    features: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor, directions: torch.Tensor
) -> torch.Tensor:
    """Return (N, K + 1): features along K directions, and the logarithm of what these leave out."""
    deviation = (features - mean) * scale
    along = deviation @ directions
    # The directions have lengths of their own (whitening): what is left out needs unit ones.
    units = directions / directions.norm(dim=0)
    left = deviation.square().sum(1) - (deviation @ units).square().sum(1)
    return torch.cat([along, 0.5 * (left.clamp_min(0) + TINY).log()[:, None]], dim=1)


def describe(kind: Kind, rate: float | None) -> str:
    """Return a verdict in words, with how often it is wrong where that is known."""
    if kind == STRANGE:
        text = "This does not look like a dermoscopic image, so the answer means nothing."
        often = "Of 100 real ones, about {} are refused like this."
    elif kind == UNSURE:
        text = (
            "The model is unsure: of validation images that it answered with so little confidence, "
            "it had half or more wrong."
        )
        often = "Of 100 right answers, about {} carry this note."
    elif kind == UNJUDGED:
        return "This model has no gate: nothing tells whether the image is of the kind it knows."
    else:
        return "Looks like the dermoscopic images that the model knows."
    return text if rate is None else f"{text} {often.format(round(100 * rate))}"


def write_gate(path: Path, gate: Gate) -> None:
    """Write a gate as safetensors: tensors, and all else as JSON in its header."""
    tensors = {name: getattr(gate, name).float().contiguous() for name in _TENSORS}
    about = {
        "inputs": list(gate.inputs),
        "refused_below": gate.refused_below,
        "unsure_below": gate.unsure_below,
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
            tensors = {name: stored.get_tensor(name) for name in _TENSORS}
        if header["schema_version"] != SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema_version {header['schema_version']}; this version of hf_lesion "
                f"reads {SCHEMA_VERSION}. {FIX}"
            )
        about = json.loads(header["gate"])
        about["inputs"] = tuple(about["inputs"])
        return Gate(**tensors, **about)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is no gate: {error}. {FIX}") from error


def find_gate(folder: Path) -> Gate | None:
    """Return the gate beside a model's weights, with the weights it was fitted on; None without.

    Raises:
        InputError: As `read_gate`, or if `gate.json` is damaged.
    """
    file = folder / GATE
    if not file.is_file():
        return None
    gate = read_gate(file)
    if gate.weights_sha256 is not None:
        return gate
    record = read_json_if_there(folder / GATE_RECORD, fix=FIX)
    return replace(gate, weights_sha256=record.get("model", {}).get("weights_sha256"))


_TENSORS = ("mean", "scale", "directions", "centre", "precision", "reference")
