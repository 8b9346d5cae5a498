"""What a model says about one image: probabilities, a heatmap, or why there is none."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.explain.heatmap import overlay
from hf_lesion.inference import LesionClassifier
from hf_lesion.labels import CODES, NAMES

PREDICTED = "predicted"
DISPLAY_PIXELS = 768


@dataclass(frozen=True)
class Answer:
    """What one model says about one image.

    Attributes:
        probabilities: (C,) float32 that sum to 1, in the order of `CODES`.
        target: The code of the diagnosis that was explained.
        picture: The image as it is shown: RGB, at most `DISPLAY_PIXELS` on its longer side.
        overlay: The heatmap over `picture`; None if there is nothing to show.
        notice: Why there is no overlay; empty if there is one.
    """

    probabilities: NDArray[np.float32]
    target: str
    picture: Image.Image
    overlay: Image.Image | None
    notice: str

    @property
    def label(self) -> str:
        """The code of the most probable diagnosis."""
        return CODES[int(self.probabilities.argmax())]


def build_answer(classifier: LesionClassifier, image: Image.Image, target: str) -> Answer:
    """Classify one image and explain one class of it in a single forward pass.

    Args:
        classifier: The model to ask.
        image: RGB image of any size.
        target: A diagnosis code, or `PREDICTED` for the most probable one.
    """
    wanted = None if target == PREDICTED else [target]
    picture = image.copy()
    picture.thumbnail((DISPLAY_PIXELS, DISPLAY_PIXELS))
    try:
        explanation = classifier.explain([image], wanted)
    except InputError as error:
        # A network without a known target layer still classifies.
        probabilities = classifier.predict([image])[0]
        code = CODES[int(probabilities.argmax())] if wanted is None else target
        return Answer(probabilities, code, picture, None, f"No heat map: {error}")
    code = CODES[int(explanation.targets[0])]
    heatmap = explanation.heatmaps[0]
    if not heatmap.any():
        notice = (
            f"No evidence for {NAMES[code]} in the last layer: no place in the image stands out "
            "for this class, so there is nothing to colour."
        )
        return Answer(explanation.probabilities[0], code, picture, None, notice)
    return Answer(explanation.probabilities[0], code, picture, overlay(picture, heatmap), "")


def describe(answer: Answer) -> dict[str, Any]:
    """Return the classification as the API gives it: label, name and probabilities by code."""
    probabilities = {
        code: float(value) for code, value in zip(CODES, answer.probabilities, strict=True)
    }
    return {"label": answer.label, "name": NAMES[answer.label], "probabilities": probabilities}
