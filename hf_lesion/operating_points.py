"""Operating points: thresholds fixed on validation, stored beside the weights.

`operating_points.json` in a model folder, written by `scripts/pack_model.py`, read here:

    {
      "schema_version": 1,
      "weights_sha256": "…",             the weights whose answers the thresholds are for
      "fitted_on": {"source": "ham10000_sharp", "split": "validation", "fingerprint": "…"},
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

The probabilities are those of `LesionClassifier.predict` and of `pipeline()`, temperature included,
and not those corrected for how often a class was shown in training.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_lesion.errors import InputError
from hf_lesion.io.files import write_json
from hf_lesion.labels import LABEL2ID

FILE = "operating_points.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the sum of some classes' probabilities, and what it gave where it was fixed.

    Attributes:
        codes: The classes whose probabilities are added.
        threshold: In [0, 1]; an image is flagged where the sum is at least this.
        target_sensitivity: What the threshold was chosen for.
        images: How many images it was fixed on.
        positives: How many of them are of `codes`.
        sensitivity: Fraction of the positives that were flagged there.
        specificity: Fraction of the others that were not.
    """

    codes: tuple[str, ...]
    threshold: float
    target_sensitivity: float
    images: int
    positives: int
    sensitivity: float
    specificity: float

    def flags(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """Return (N,) whether each row of (N, C) probabilities reaches the threshold."""
        return sum_of(probabilities, self.codes) >= self.threshold


@dataclass(frozen=True)
class OperatingPoints:
    """All points of one model.

    Attributes:
        points: Name → point.
        weights_sha256: The weights whose answers they are for.
        fitted_on: source, split and fingerprint of the images they were fixed on.
    """

    points: dict[str, OperatingPoint]
    weights_sha256: str
    fitted_on: dict[str, Any]


def sum_of(probabilities: ArrayLike, codes: Sequence[str]) -> NDArray[np.float64]:
    """Return (N,) the sum of some classes' probabilities.

    Args:
        probabilities: (N, C) values in the order of `CODES`.
        codes: Which classes.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    return values[:, [LABEL2ID[code] for code in codes]].sum(axis=1)


def write_operating_points(folder: Path, found: OperatingPoints) -> Path:
    """Write `operating_points.json` into a model folder and return its path."""
    points = {name: asdict(point) for name, point in found.points.items()}
    record = {
        "schema_version": SCHEMA_VERSION,
        "weights_sha256": found.weights_sha256,
        "fitted_on": found.fitted_on,
        "points": points,
    }
    write_json(folder / FILE, record)
    return folder / FILE


def read_operating_points(folder: Path) -> OperatingPoints | None:
    """Read the points beside a model's weights; None if there are none.

    Raises:
        InputError: As `parse_operating_points`.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    with file.open(encoding="utf-8") as stream:
        return parse_operating_points(stream, source=str(file))


def parse_operating_points(stream: TextIO, *, source: str = FILE) -> OperatingPoints:
    """Parse what `write_operating_points` wrote.

    Args:
        stream: JSON text.
        source: Its name, for messages.

    Raises:
        InputError: If it is not JSON, of another version, or a point is malformed.
    """
    try:
        record = json.load(stream)
        if record["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version {record['schema_version']!r}, not {SCHEMA_VERSION}")
        points = {name: _parse_point(point) for name, point in record["points"].items()}
        return OperatingPoints(points, str(record["weights_sha256"]), dict(record["fitted_on"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{source} holds no operating points ({type(error).__name__}: {error}). Make it again "
            "with scripts/pack_model.py --dataset DIR."
        ) from error


def _parse_point(record: dict[str, Any]) -> OperatingPoint:
    point = OperatingPoint(**{**record, "codes": tuple(record["codes"])})
    if unknown := [code for code in point.codes if code not in LABEL2ID]:
        raise ValueError(f"unknown classes {', '.join(map(str, unknown))}")
    if not math.isfinite(point.threshold):
        raise ValueError(f"threshold {point.threshold}")
    return point
