"""What a model makes of one image: its answer, the probabilities to be shown, the gate's word.

A model's own scores (what `pipeline()` gives) decide: its answer, thresholds and the gate go by
them. What is shown as a probability is corrected for how often training showed each diagnosis,
where the model came with that correction: see `hf_lesion.models.calibration`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hf_lesion.labels import CODES, MALIGNANT

if TYPE_CHECKING:
    from hf_lesion.ood.gate import Verdict
    from hf_lesion.prediction import Prediction

STRANGE, UNSURE, UNJUDGED = "strange", "unsure", "unjudged"


@dataclass(frozen=True)
class Opinion:
    """What one model makes of one image.

    Attributes:
        scores: (C,) float32 that sum to 1, in the order of `CODES`: the model's own.
        corrected: (C,) the same, corrected; None if the model came without a correction.
        verdict: The gate's; None without one.
    """

    scores: NDArray[np.float32]
    corrected: NDArray[np.floating] | None = None
    verdict: "Verdict | None" = None

    @property
    def label(self) -> str:
        """The code of the model's answer: the highest score."""
        return CODES[int(self.scores.argmax())]

    @property
    def score(self) -> float:
        """The score of the answer."""
        return float(self.scores.max())

    @property
    def shown(self) -> NDArray[np.floating]:
        """(C,) what is shown as probabilities."""
        return self.scores if self.corrected is None else self.corrected

    @property
    def likeliest(self) -> str:
        """The code of the highest probability, which is not always that of the answer."""
        return CODES[int(self.shown.argmax())]

    @property
    def malignant(self) -> float:
        """The probability of the malignant diagnoses together."""
        return sum(self.probability(code) for code in MALIGNANT)

    @property
    def is_strange(self) -> bool:
        """Whether the gate says that this is no dermoscopic image."""
        return self.verdict is not None and self.verdict.kind == STRANGE

    @property
    def is_unsure(self) -> bool:
        """Whether the gate says that the model does not know."""
        return self.verdict is not None and self.verdict.kind == UNSURE

    def probability(self, code: str | None = None) -> float:
        """Return what is shown as the probability of a diagnosis; of the answer unless told."""
        return float(self.shown[CODES.index(code or self.label)])

    def order(self) -> list[str]:
        """Return all codes, the most probable first."""
        return [CODES[place] for place in np.argsort(-self.shown, kind="stable")]


def form_opinion(predictions: "Sequence[Prediction]") -> Opinion:
    """Return what one model, or the mean of several, makes of an image.

    Args:
        predictions: One for each network, of the same one image; the gate's word is that of the
            first which has a gate.
    """
    scores = np.mean([one.probabilities[0] for one in predictions], axis=0)
    is_corrected = any(one.corrected is not None for one in predictions)
    shown = [one.probabilities if one.corrected is None else one.corrected for one in predictions]
    corrected = np.mean([one[0] for one in shown], axis=0) if is_corrected else None
    verdicts = [one.verdicts[0] for one in predictions]
    gated = [verdict for verdict in verdicts if verdict.kind != UNJUDGED]
    return Opinion(scores, corrected, (gated or verdicts)[0])
