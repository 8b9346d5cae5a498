"""Thresholds on a sum of probabilities, chosen on validation (`operating_points.json`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator

from hf_lesion.io.records import Record, read_record
from hf_lesion.labels import LABEL2ID

FILE = "operating_points.json"
FIX = "Fit it again with scripts/pack_model.py --model DIR --dataset DIR."

Floats = NDArray[np.float64]


class OperatingPoint(Record):
    """A threshold on the sum of some classes' probabilities; an image that reaches it is flagged.

    Sensitivity and specificity are those of the images that it was chosen on.
    """

    codes: tuple[str, ...]
    threshold: float = Field(ge=0, le=1)
    target_sensitivity: float  # what the threshold was chosen for
    images: int  # that it was chosen on
    positives: int  # those of `codes` among them
    sensitivity: float
    specificity: float

    @field_validator("codes")
    @classmethod
    def _check_codes(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [code for code in codes if code not in LABEL2ID]:
            raise ValueError(f"unknown classes {', '.join(unknown)}")
        return codes

    def flags(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """Return (N,) whether each row of (N, C) probabilities reaches the threshold."""
        return sum_of(probabilities, self.codes) >= self.threshold


class OperatingPoints(Record):
    """All thresholds of one model by name (`operating_points.json`)."""

    schema_version: Literal[1] = 1
    weights_sha256: str  # the weights whose answers the thresholds are for
    fitted_on: dict[str, Any]  # source, split, fingerprint and number of images
    points: dict[str, OperatingPoint]


def sum_of(probabilities: ArrayLike, codes: Sequence[str]) -> Floats:
    """Return (N,) the sum of some classes' probabilities, of (N, C) in the order of `CODES`."""
    values = np.asarray(probabilities, dtype=np.float64)
    return values[:, [LABEL2ID[code] for code in codes]].sum(axis=1)


def read_operating_points(folder: Path) -> OperatingPoints | None:
    """Read the thresholds for a model's weights; None if there are none."""
    return read_record(folder / FILE, OperatingPoints, fix=FIX)
