"""What is to be said beside an answer: the melanoma threshold, and the answer as the API has it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from catalogue import Entry, dig
from opinions import Opinion

from hf_lesion.calibration.thresholds import OperatingPoint, sum_of
from hf_lesion.labels import CODES, NAMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

MELANOMA = "melanoma"


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
        melanoma: The threshold for melanoma, and what it gave in the test.
    """

    melanoma: MelanomaPoint | None = None


def judge(entry: Entry | None, opinion: Opinion) -> Judgement:
    """Return what was measured of answers like this one.

    Args:
        entry: The model; None for the ensemble, of which nothing is measured.
        opinion: What it answered.
    """
    if entry is None:
        return Judgement()
    return Judgement(_find_melanoma_point(entry, opinion))


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
    verdict, melanoma = opinion.verdict, judgement.melanoma
    return {
        "label": opinion.label,
        "name": NAMES[opinion.label],
        "probabilities": _by_code(opinion.scores),
        "reliability": opinion.reliability,
        "melanoma_flagged": melanoma and melanoma.flagged,
        "gate": verdict and verdict.kind,
        "gate_sentence": verdict and verdict.sentence,
    }


def _by_code(probabilities: "NDArray[np.floating]") -> dict[str, float]:
    return {code: float(value) for code, value in zip(CODES, probabilities, strict=True)}
