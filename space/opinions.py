"""What a model makes of one image: its answer, the probabilities to be shown, the gate's word.

A model's own scores (what `pipeline()` gives) decide: its answer, thresholds and the gate go by
them. What is shown as a probability is corrected for how often training showed each diagnosis,
where the model came with that correction: see `hf_lesion.models.calibration`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.labels import CODES, MALIGNANT
from hf_lesion.manifest import WEIGHTS, file_sha256

if TYPE_CHECKING:
    from ensemble import Ensemble

    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.decision import Verdict

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
    corrected: "NDArray[np.floating] | None" = None
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
    def shown(self) -> "NDArray[np.floating]":
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


def ask(model: "LesionClassifier | Ensemble", image: Image.Image) -> Opinion:
    """Return what one model, or the ensemble of several, makes of an image."""
    from hf_lesion.classifier import LesionClassifier  # not before the page is served

    if isinstance(model, LesionClassifier):
        return _ask_one(model, image)
    return _ask_all(model.members.values(), image)


def _ask_one(classifier: "LesionClassifier", image: Image.Image) -> Opinion:
    probabilities, (verdict,) = classifier.judge([image])
    return Opinion(probabilities[0], _correct(classifier, probabilities), verdict)


def _ask_all(members: "Iterable[LesionClassifier]", image: Image.Image) -> Opinion:
    """Return the mean of several models, judged by the first that has a gate."""
    each = [_ask_one(member, image) for member in members]
    scores = np.mean([one.scores for one in each], axis=0)
    is_corrected = any(one.corrected is not None for one in each)
    corrected = np.mean([one.shown for one in each], axis=0) if is_corrected else None
    verdicts = [one.verdict for one in each if one.verdict is not None]
    gated = [verdict for verdict in verdicts if verdict.kind != UNJUDGED]
    return Opinion(scores, corrected, next(iter(gated or verdicts), None))


def _correct(
    classifier: "LesionClassifier", probabilities: NDArray[np.float32]
) -> "NDArray[np.floating] | None":
    found = classifier.calibration
    # Of other weights, it would correct what these do not do.
    if found is None or found.weights_sha256 != weights_sha256(Path(classifier.model.name_or_path)):
        return None
    return found.shown(probabilities)[0]


def weights_sha256(folder: Path) -> str | None:
    """Return the SHA-256 of a model's weights file; None if it can't be read."""
    file = folder / WEIGHTS
    try:
        return _sha256(file, file.stat().st_mtime_ns)
    except OSError:
        return None


@cache
def _sha256(file: Path, _changed: int) -> str:
    return file_sha256(file)
