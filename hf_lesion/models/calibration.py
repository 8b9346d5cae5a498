"""What makes a model's probabilities mean what they say: fitted on validation, kept with the model.

Two corrections, kept apart on purpose.

A temperature T (Guo et al., "On calibration of modern neural networks", ICML 2017) divides the
logits. It keeps the order of the classes, so no answer changes, and it is folded into the last
linear layer (W/T, b/T): then `pipeline()` is calibrated without any code of ours.

Training that shows rare classes more often than they are makes their probabilities too high, for
every image alike; no temperature mends that. A bias for each class does: what is *shown* as a
probability is softmax(s·log p + b), with slope s and biases b from validation, p the model's
answer. It is not folded in, because it would change answers: on our first four models (validation,
cross-validated over lesions) it brought the class-wise calibration error from 0.03-0.07 down to
0.016 (0.013 by chance), and as a decision it would have cost 6 to 19 points of balanced accuracy,
since it names the rare classes, melanoma among them, about as rarely as they are. So the answer,
the operating points and every score of discrimination use p; a number that is read as a chance
uses the corrected one.

A third thing may be folded in before both, and does change answers: logit adjustment (Menon et
al., "Long-tail learning via logit adjustment", ICLR 2021) takes τ·log π from the logits, π the
share of each class in the training split. Training that shows every class equally often still
names rare ones too seldom on new images: it has seen the same few of them again and again.

`calibration.json` in a model folder keeps all of it, with what it did in cross-validation.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from hf_lesion.errors import InputError
from hf_lesion.io.files import write_json
from hf_lesion.labels import CODES
from hf_lesion.models.head import find_head

FILE = "calibration.json"
SCHEMA_VERSION = 1
TINY = 1e-12  # below float32's resolution of a probability: keeps the logarithm finite


@dataclass(frozen=True)
class Calibration:
    """The corrections of one model.

    Attributes:
        temperature: What the logits were divided by; already in the weights.
        slope: s of the shown probability.
        biases: (C,) b of the shown probability, in the order of `CODES`.
        weights_sha256: The weights whose answers `slope` and `biases` correct.
        fitted_on: source, split, fingerprint and number of images.
        cross_validated: What each correction did on images it was not fitted on.
        logit_adjustment: τ, already in the weights; 0 for none.
    """

    temperature: float
    slope: float
    biases: tuple[float, ...]
    weights_sha256: str
    fitted_on: dict[str, Any]
    cross_validated: dict[str, Any]
    logit_adjustment: float = 0.0

    def shown(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Return (N, C) probabilities corrected for how often training showed each class.

        Args:
            probabilities: (N, C) the model's answers, in the order of `CODES`.
        """
        return softmax_of(self.slope * log_of(probabilities) + np.asarray(self.biases))

    def without_temperature(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Return (N, C) the probabilities that the weights gave before the temperature."""
        return softmax_of(self.temperature * log_of(probabilities))


def log_of(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return the logarithm of probabilities, finite for 0 too."""
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), TINY))


def softmax_of(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, C) probabilities of (N, C) logits, in float64."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def fold_temperature(model: nn.Module, temperature: float) -> nn.Linear:
    """Divide the weights and biases of a classifier's last linear layer, in place.

    Args:
        model: A classifier of the seven diagnoses.
        temperature: T, above 0.

    Returns:
        The layer.

    Raises:
        InputError: If the model does not end in a linear layer.
        ValueError: If T is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"Expected a temperature above 0, got {temperature}.")
    head = find_head(model, len(CODES))
    with torch.no_grad():
        head.weight.div_(temperature)
        if head.bias is not None:
            head.bias.div_(temperature)
    return head


def fold_offsets(model: nn.Module, offsets: ArrayLike) -> nn.Linear:
    """Add numbers to the biases of a classifier's last linear layer, in place.

    Args:
        model: A classifier of the seven diagnoses.
        offsets: (C,) what is added to each logit.

    Returns:
        The layer.

    Raises:
        InputError: If the model does not end in a linear layer with biases.
    """
    head = find_head(model, len(CODES))
    if head.bias is None:
        raise InputError("The last linear layer has no biases: logits can't be adjusted in it.")
    with torch.no_grad():
        head.bias.add_(torch.as_tensor(np.asarray(offsets), dtype=head.bias.dtype))
    return head


def write_calibration(folder: Path, found: Calibration) -> Path:
    """Write `calibration.json` into a model folder and return its path."""
    record = asdict(found) | {
        "schema_version": SCHEMA_VERSION,
        "biases": dict(zip(CODES, found.biases, strict=True)),
    }
    write_json(folder / FILE, record)
    return folder / FILE


def read_calibration(folder: Path) -> Calibration | None:
    """Read the corrections beside a model's weights; None if there are none.

    Raises:
        InputError: As `parse_calibration`.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    with file.open(encoding="utf-8") as stream:
        return parse_calibration(stream, source=str(file))


def parse_calibration(stream: TextIO, *, source: str = FILE) -> Calibration:
    """Parse what `write_calibration` wrote.

    Args:
        stream: JSON text.
        source: Its name, for messages.

    Raises:
        InputError: If it is not JSON, of another version, or malformed.
    """
    try:
        record = dict(json.load(stream))
        if (version := record.pop("schema_version")) != SCHEMA_VERSION:
            raise ValueError(f"schema_version {version!r}, not {SCHEMA_VERSION}")
        biases = tuple(float(record["biases"][code]) for code in CODES)
        found = Calibration(**{**record, "biases": biases})
        if not np.isfinite([found.temperature, found.slope, *biases]).all():
            raise ValueError("a value is not finite")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{source} holds no calibration ({type(error).__name__}: {error}). Make it again with "
            "scripts/pack_model.py --dataset DIR."
        ) from error
    return found
