"""Reliability: share of correct predictions by top score, at the dataset's mix of diagnoses.

A score is the probability if the seven diagnoses were equally common, which they are not.
`reliability.json` next to the weights contains a monotone map from the top score to the share of
correct predictions: isotonic regression (Zadrozny and Elkan, "Transforming classifier scores into
accurate multiclass probability estimates", KDD 2002) over groups of equal size, fitted on
validation by `calibration.fit` and checked on test.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import model_validator

from hf_lesion.calibration.thresholds import FIX
from hf_lesion.io.records import Record, read_record

FILE = "reliability.json"


class Check(Record):
    """How well the map fits images that it was not fitted on.

    The chance levels of the expected calibration error are the mean that a perfect map would show
    on as many images, and the value that 95 % of perfectly calibrated maps are below.
    """

    source: str
    split: str
    fingerprint: str | None  # of the dataset
    images: int
    ece: float  # of the promised shares, in [0, 1]
    chance_ece: float
    chance_ece_upper: float


class Reliability(Record):
    """The map from top score to the share of correct predictions (`reliability.json`).

    The share is interpolated linearly between K increasing `scores`, and constant below the first
    and above the last.
    """

    schema_version: Literal[1] = 1
    scores: tuple[float, ...]
    shares: tuple[float, ...]  # of correct predictions, not falling
    weights_sha256: str
    fitted_on: dict[str, Any]  # source, split, fingerprint and number of images
    cross_validated: dict[str, float]  # ece, chance_ece and brier on held-out lesions
    checked_on: Check | None = None

    @model_validator(mode="after")
    def _check_map(self) -> "Reliability":
        if not self.scores or len(self.scores) != len(self.shares):
            raise ValueError("expected as many scores as shares, and at least one")
        for name, values in (("scores", self.scores), ("shares", self.shares)):
            if list(values) != sorted(values) or values[0] < 0 or values[-1] > 1:
                raise ValueError(f"expected rising {name} in [0, 1], got {values}")
        return self

    def share_right(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Return (N,) expected shares of correct predictions at these top scores, in [0, 1]."""
        top = np.asarray(probabilities, dtype=np.float64).max(axis=1)
        return np.interp(top, self.scores, self.shares)


def read_reliability(folder: Path) -> Reliability | None:
    """Read the map for a model's weights; None if there is none."""
    return read_record(folder / FILE, Reliability, fix=FIX)
