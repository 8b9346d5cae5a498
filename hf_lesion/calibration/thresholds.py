"""Thresholds on a sum of probabilities, chosen on validation.

`operating_points.json` in a model folder:

    {
      "schema_version": 1,
      "weights_sha256": "…",             the weights whose answers the thresholds are for
      "fitted_on": {"source": "ham10000_256", "split": "validation", "fingerprint": "…"},
      "points": {
        "malignant": {
          "codes": ["akiec", "bcc", "mel"],    an image's score is the sum of their probabilities
          "threshold": 0.31,                   flagged where the score is at least this
          "target_sensitivity": 0.9,           what the threshold was chosen for, on validation
          "images": 1494, "positives": 291,    of the validation split
          "sensitivity": 0.9003, "specificity": 0.71    there; on new images: see report.json
        },
        "melanoma": {"codes": ["mel"], …}
      }
    }
"""

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
    """A threshold on the sum of some classes' probabilities, and what it gave where it was chosen.

    An image is flagged where the sum is at least the threshold.
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
    weights_sha256: str
    fitted_on: dict[str, Any]
    points: dict[str, OperatingPoint]


def sum_of(probabilities: ArrayLike, codes: Sequence[str]) -> Floats:
    """Return (N,) the sum of some classes' probabilities, of (N, C) in the order of `CODES`."""
    values = np.asarray(probabilities, dtype=np.float64)
    return values[:, [LABEL2ID[code] for code in codes]].sum(axis=1)


def read_operating_points(folder: Path) -> OperatingPoints | None:
    """Read the thresholds for a model's weights; None if there are none.

    Raises:
        InputError: If the file is damaged; names it and the field.
    """
    return read_record(folder / FILE, OperatingPoints, fix=FIX)
