"""What a model makes of one image: its scores, how often such results are right, the gate's word.

There is one scale: the model's own score, which `pipeline()` gives, is the probability if the seven
diagnoses were equally common. The answer, the bars, thresholds, the gate, the API and the CSV go by
it.
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
        reliability: How often results with such a top score were right in the test, in [0, 1]; None
            if that was not measured.
        verdict: The gate's; None without one.
    """

    scores: NDArray[np.float32]
    reliability: float | None = None
    verdict: "Verdict | None" = None

    @property
    def label(self) -> str:
        """The code of the model's answer: the highest score."""
        return CODES[int(self.scores.argmax())]

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
        """Return the score of a diagnosis; of the answer unless told."""
        return float(self.scores[CODES.index(code or self.label)])

    def order(self) -> list[str]:
        """Return all codes, the most probable first."""
        return [CODES[place] for place in np.argsort(-self.scores, kind="stable")]


def form_opinion(predictions: "Sequence[Prediction]") -> Opinion:
    """Return what one model, or the mean of several, makes of an image.

    Args:
        predictions: One for each network, of the same one image; the gate's word is that of the
            first which has a gate.
    """
    scores = np.mean([one.probabilities[0] for one in predictions], axis=0)
    # A model's reliability is measured of its own answers, not of a mean.
    known = predictions[0].reliability if len(predictions) == 1 else None
    verdicts = [one.verdicts[0] for one in predictions]
    gated = [verdict for verdict in verdicts if verdict.kind != UNJUDGED]
    reliability = None if known is None else float(known[0])
    return Opinion(scores, reliability, (gated or verdicts)[0])
