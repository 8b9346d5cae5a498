"""How far an answer can be trusted: what was measured of such answers, thresholds, and the gate."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from catalogue import WEIGHTS, Entry, dig
from numpy.typing import NDArray

from hf_lesion.errors import InputError
from hf_lesion.labels import CODES
from hf_lesion.manifest import file_sha256

if TYPE_CHECKING:
    from hf_lesion.decision import Verdict
    from hf_lesion.operating_points import OperatingPoint

MELANOMA = "melanoma"
LEAST_IMAGES = 10  # fewer answers of one confidence say nothing
STRANGE, UNSURE = "strange", "unsure"


@dataclass(frozen=True)
class Confidence:
    """What became of the test's answers that were about as confident as this one.

    Attributes:
        right: The share of them that was right, in [0, 1].
        images: How many there were.
        split: On which they were counted.
    """

    right: float
    images: int
    split: str


@dataclass(frozen=True)
class Judgement:
    """What is to be said beside an answer; None where it was not measured.

    Attributes:
        confidence: What such answers were worth in the test.
        corrected: (C,) probabilities corrected for how often training showed each class.
        melanoma: The threshold for melanoma, and what it gave in the test.
        verdict: The gate's; None without one.
    """

    confidence: Confidence | None = None
    corrected: NDArray[np.float64] | None = None
    melanoma: "MelanomaPoint | None" = None
    verdict: "Verdict | None" = None

    @property
    def is_strange(self) -> bool:
        """Whether the gate says that this is no dermoscopic image."""
        return self.verdict is not None and self.verdict.kind == STRANGE

    @property
    def is_unsure(self) -> bool:
        """Whether the gate says that the model does not know."""
        return self.verdict is not None and self.verdict.kind == UNSURE


@dataclass(frozen=True)
class MelanomaPoint:
    """Whether this image reaches the melanoma threshold, and how good that is.

    Attributes:
        flagged: Whether it does.
        threshold: Fixed on validation.
        sensitivity: Share of melanomas that reach it.
        specificity: Share of all others that do not.
        split: On which both were measured.
    """

    flagged: bool
    threshold: float
    sensitivity: float
    specificity: float
    split: str


def judge(
    entry: Entry | None, probabilities: NDArray[np.float32], verdict: "Verdict | None"
) -> Judgement:
    """Return what was measured of answers like this one.

    Args:
        entry: The model; None for the ensemble, of which nothing is measured.
        probabilities: (C,) what it answered.
        verdict: What its gate says.
    """
    if entry is None:
        return Judgement(verdict=verdict)
    return Judgement(
        confidence=find_confidence(entry.report, float(probabilities.max())),
        corrected=_correct(entry, probabilities),
        melanoma=_flag_melanoma(entry, probabilities),
        verdict=verdict,
    )


def find_confidence(report: Mapping[str, Any], top: float) -> Confidence | None:
    """Return how often the test's answers of this confidence were right.

    Args:
        report: Of all splits, as `scripts/score.py` wrote it.
        top: Probability of the most probable diagnosis.
    """
    bins = dig(report, "test", "calibration", "answers", "reliability")
    try:
        counts, means, right = (
            np.asarray(bins[name], float) for name in ("count", "confidence", "accuracy")
        )
        usable = np.flatnonzero(counts >= LEAST_IMAGES)
        place = usable[np.abs(means[usable] - top).argmin()]
        return Confidence(float(right[place]), int(counts[place]), "test")
    except (TypeError, KeyError, ValueError, IndexError):
        return None


def weights_sha256(entry: Entry) -> str | None:
    """Return the SHA-256 of a model's weights file; None if it can't be read."""
    file = entry.source / WEIGHTS
    try:
        return _sha256(file, file.stat().st_mtime_ns)
    except OSError:
        return None


@cache
def _sha256(file: Path, _changed: int) -> str:
    return file_sha256(file)


def _correct(entry: Entry, probabilities: NDArray[np.float32]) -> NDArray[np.float64] | None:
    from hf_lesion.models.calibration import read_calibration

    try:
        found = read_calibration(entry.source)
    except (InputError, OSError):
        return None
    # Of other weights, it would correct what these do not do.
    if found is None or found.weights_sha256 != weights_sha256(entry):
        return None
    return found.shown(probabilities[np.newaxis])[0]


def _flag_melanoma(entry: Entry, probabilities: NDArray[np.float32]) -> MelanomaPoint | None:
    from hf_lesion.operating_points import read_operating_points

    try:
        found = read_operating_points(entry.source)
    except (InputError, OSError):
        return None
    if found is None or found.weights_sha256 != weights_sha256(entry):
        return None
    point = found.points.get(MELANOMA)
    if point is None:
        return None
    sensitivity, specificity, split = _rates(entry, point)
    flagged = bool(point.flags(probabilities[np.newaxis])[0])
    return MelanomaPoint(flagged, point.threshold, sensitivity, specificity, split)


def _rates(entry: Entry, point: "OperatingPoint") -> tuple[float, float, str]:
    measured = dig(entry.report, "test", "operating_points", MELANOMA, "metrics")
    sensitivity, specificity = dig(measured, "sensitivity"), dig(measured, "specificity")
    if isinstance(sensitivity, float) and isinstance(specificity, float):
        return sensitivity, specificity, "test"
    return point.sensitivity, point.specificity, "validation"


def as_dict(judgement: Judgement) -> dict[str, Any]:
    """Return a judgement as the API gives it."""
    verdict, corrected = judgement.verdict, judgement.corrected
    return {
        "right_in_test": judgement.confidence and judgement.confidence.right,
        "corrected": None
        if corrected is None
        else {code: float(value) for code, value in zip(CODES, corrected, strict=True)},
        "melanoma_flagged": judgement.melanoma and judgement.melanoma.flagged,
        "gate": verdict and verdict.kind,
        "gate_sentence": verdict and verdict.sentence,
    }
