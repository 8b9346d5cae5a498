"""How far an answer can be trusted: what was measured of such answers, thresholds, and the gate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from catalogue import Entry, dig
from opinions import Opinion

from hf_lesion.labels import CODES, NAMES
from hf_lesion.operating_points import OperatingPoint, sum_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MELANOMA = "melanoma"
LEAST_IMAGES = 10  # fewer answers of one confidence say nothing


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
class MelanomaPoint:
    """Whether this image reaches the melanoma threshold, and how good that is.

    Attributes:
        score: The model's own for melanoma.
        threshold: Fixed on validation, for the model's own scores.
        sensitivity: Share of melanomas that reach it.
        specificity: Share of all others that do not.
        split: On which both were measured.
    """

    score: float
    threshold: float
    sensitivity: float
    specificity: float
    split: str

    @property
    def flagged(self) -> bool:
        """Whether the image reaches the threshold."""
        return self.score >= self.threshold


@dataclass(frozen=True)
class Judgement:
    """What is to be said beside an answer; None where it was not measured.

    Attributes:
        confidence: What such answers were worth in the test.
        melanoma: The threshold for melanoma, and what it gave in the test.
    """

    confidence: Confidence | None = None
    melanoma: MelanomaPoint | None = None


def judge(entry: Entry | None, opinion: Opinion) -> Judgement:
    """Return what was measured of answers like this one.

    Args:
        entry: The model; None for the ensemble, of which nothing is measured.
        opinion: What it answered.
    """
    if entry is None:
        return Judgement()
    return Judgement(
        find_confidence(entry.report, opinion.score), _find_melanoma_point(entry, opinion)
    )


def find_confidence(report: Mapping[str, Any], top: float) -> Confidence | None:
    """Return how often the test's answers of this confidence were right.

    Args:
        report: Of all splits, as `scripts/score.py` wrote it.
        top: The model's own score of its answer.
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


def _find_melanoma_point(entry: Entry, opinion: Opinion) -> MelanomaPoint | None:
    point = entry.points.get(MELANOMA)
    if point is None:
        return None
    score = float(sum_of(opinion.scores[np.newaxis], point.codes)[0])
    return MelanomaPoint(score, point.threshold, *_rates(entry, point))


def _rates(entry: Entry, point: OperatingPoint) -> tuple[float, float, str]:
    measured = dig(entry.report, "test", "operating_points", MELANOMA, "metrics")
    sensitivity, specificity = dig(measured, "sensitivity"), dig(measured, "specificity")
    if isinstance(sensitivity, float) and isinstance(specificity, float):
        return sensitivity, specificity, "test"
    return point.sensitivity, point.specificity, "validation"


def as_dict(opinion: Opinion, judgement: Judgement) -> dict[str, Any]:
    """Return an answer and what is known of such answers, as the API gives them."""
    verdict, confidence, melanoma = opinion.verdict, judgement.confidence, judgement.melanoma
    return {
        "label": opinion.label,
        "name": NAMES[opinion.label],
        "probabilities": _by_code(opinion.scores),
        "corrected": None if opinion.corrected is None else _by_code(opinion.corrected),
        "right_in_test": confidence and confidence.right,
        "melanoma_flagged": melanoma and melanoma.flagged,
        "gate": verdict and verdict.kind,
        "gate_sentence": verdict and verdict.sentence,
    }


def _by_code(probabilities: "NDArray[np.floating]") -> dict[str, float]:
    return {code: float(value) for code, value in zip(CODES, probabilities, strict=True)}
