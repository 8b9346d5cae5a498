"""Temperature and logit adjustment: corrections of the logits, folded into the last layer.

The model's score, as `pipeline()` returns it, is the probability of a diagnosis if all seven were
equally common. Two corrections achieve this, both fitted on validation with equal class weights.

Logit adjustment (Menon et al., "Long-tail learning via logit adjustment", ICLR 2021) subtracts
τ·log π from the logits, where π is the share of each class in the training split and τ is how much
of that prior training has left in the logits: 1 after sampling every image equally often, 0.5 after
a square-root sampler; after a sampler that draws every class equally often 0 in theory and a little
more in practice, because the few images of rare classes are repeated.

A temperature T (Guo et al., "On calibration of modern neural networks", ICML 2017) then divides
the logits and changes no prediction. Both are folded into the last linear layer (W/T,
(b - τ·log π)/T), so that `pipeline()` is calibrated without code of this package.
`calibration.json` next to the weights records both values.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator
from scipy.special import softmax
from torch import nn

from hf_lesion.calibration.thresholds import FIX
from hf_lesion.errors import InputError
from hf_lesion.io.records import Record, read_record
from hf_lesion.labels import CODES
from hf_lesion.models.forward import find_head

FILE = "calibration.json"
TINY = 1e-12  # below float32's resolution of a probability: keeps the logarithm finite


class Calibration(Record):
    """The corrections that are folded into a model's weights (`calibration.json`)."""

    schema_version: Literal[2] = 2
    temperature: float = Field(gt=0)
    logit_adjustment: float  # τ; 0 for none
    offsets: dict[str, float]  # code → -τ·log π, added to the logit before the division by T
    weights_sha256: str  # of the weights they are folded into
    fitted_on: dict[str, Any]  # source, split, fingerprint and number of images
    cross_validated: dict[str, dict[str, float]]  # as from `fit.cross_validate`

    @field_validator("offsets")
    @classmethod
    def _check_codes(cls, offsets: dict[str, float]) -> dict[str, float]:
        if tuple(offsets) != CODES:
            raise ValueError(f"expected the classes {', '.join(CODES)}, got {', '.join(offsets)}")
        return offsets

    def as_trained(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Return (N, C) calibrated probabilities without any correction."""
        logs = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), TINY))
        offsets = np.asarray(list(self.offsets.values()))
        return np.asarray(softmax(self.temperature * logs - offsets, axis=1))


def logit_offsets(counts: ArrayLike, tau: float) -> NDArray[np.float64]:
    """Return (C,) -τ·log π of the class counts: what logit adjustment adds to the logits."""
    shares = np.asarray(counts, dtype=np.float64) / np.sum(counts)
    return -tau * np.log(shares)


def fold(model: nn.Module, *, offsets: ArrayLike, temperature: float) -> nn.Linear:
    """Turn a classifier's logits z into (z + offsets) / T, in its last linear layer, and return it.

    Raises:
        InputError: If the model does not end in a linear layer with biases.
    """
    head = find_head(model, len(CODES))
    if head.bias is None:
        raise InputError("The last linear layer has no biases: logits can't be adjusted in it.")
    with torch.no_grad():
        head.weight.div_(temperature)
        head.bias.add_(torch.as_tensor(np.asarray(offsets), dtype=head.bias.dtype))
        head.bias.div_(temperature)
    return head


def read_calibration(folder: Path) -> Calibration | None:
    """Read the calibration of a model's weights; None if there is none."""
    return read_record(folder / FILE, Calibration, fix=FIX)
