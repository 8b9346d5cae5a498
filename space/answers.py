"""What a model says about one image: probabilities, a heatmap, or why there is none."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.labels import CODES, LABEL2ID, NAMES

if TYPE_CHECKING:
    from ensemble import Ensemble

    from hf_lesion.inference import LesionClassifier

PREDICTED, RUNNER_UP = "predicted", "runner-up"
# Those of hf_lesion.explain.methods, which takes seconds to import; a test compares.
METHODS = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
}
METHOD = "gradcam"
OPACITY = 50  # per cent
DISPLAY_PIXELS = 768


@dataclass(frozen=True)
class Answer:
    """What one model says about one image.

    Attributes:
        probabilities: (C,) float32 that sum to 1, in the order of `CODES`.
        target: The code of the diagnosis that was explained.
        picture: The image as it is shown: RGB, at most `DISPLAY_PIXELS` on its longer side.
        heatmap: (H, W) float32 in [0, 1] over the whole frame; None if there is nothing to show.
        notice: Why there is no heatmap; empty if there is one.
        method: By which the heatmap was made.
    """

    probabilities: NDArray[np.float32]
    target: str
    picture: Image.Image
    heatmap: NDArray[np.float32] | None
    notice: str
    method: str = METHOD

    @property
    def label(self) -> str:
        """The code of the most probable diagnosis."""
        return CODES[int(self.probabilities.argmax())]

    def overlay(self, opacity: float = OPACITY) -> Image.Image | None:
        """Return the heatmap over the picture; None if there is nothing to show.

        Args:
            opacity: Of the colours, in per cent.
        """
        from hf_lesion.explain.heatmap import overlay

        if self.heatmap is None:
            return None
        return overlay(self.picture, self.heatmap, opacity=opacity / 100)


def build_answer(
    classifier: "LesionClassifier | Ensemble",
    image: Image.Image,
    target: str = PREDICTED,
    *,
    method: str = METHOD,
) -> Answer:
    """Classify one image and explain one class of it in a single forward pass.

    Args:
        classifier: The model to ask.
        image: RGB image of any size.
        target: A diagnosis code, `PREDICTED` for the most probable one or `RUNNER_UP` for the next.
        method: One of `METHODS`.

    Raises:
        InputError: If there is no such class or method.
    """
    check_target(target)
    if method not in METHODS:
        raise InputError(f"There is no method {method!r}; there are {', '.join(METHODS)}.")
    picture = image.copy()
    picture.thumbnail((DISPLAY_PIXELS, DISPLAY_PIXELS))
    try:
        explanation = classifier.explain([image], [target], method)
    except InputError as error:
        # A network without a known target layer still classifies.
        probabilities = classifier.predict([image])[0]
        code = _resolve(target, probabilities)
        return Answer(probabilities, code, picture, None, f"No heat map: {error}", method)
    code = CODES[int(explanation.targets[0])]
    probabilities, heatmap = explanation.probabilities[0], explanation.heatmaps[0]
    if explanation.flat[0]:
        notice = (
            f"No evidence for {NAMES[code]} in the last layer: no place in the image stands out "
            "for this class, so there is nothing to colour."
        )
        return Answer(probabilities, code, picture, None, notice, method)
    return Answer(probabilities, code, picture, heatmap, "", method)


def check_target(target: str) -> None:
    """Raise InputError unless this is a diagnosis code, `PREDICTED` or `RUNNER_UP`."""
    if target not in (PREDICTED, RUNNER_UP, *LABEL2ID):
        raise InputError(
            f"There is no class {target!r}; there are {PREDICTED}, {RUNNER_UP}, {', '.join(CODES)}."
        )


def describe(answer: Answer) -> dict[str, Any]:
    """Return the classification as the API gives it: label, name and probabilities by code."""
    return {
        "label": answer.label,
        "name": NAMES[answer.label],
        "probabilities": by_code(answer.probabilities),
    }


def by_code(probabilities: NDArray[np.float32]) -> dict[str, float]:
    """Return (C,) probabilities by code."""
    return {code: float(value) for code, value in zip(CODES, probabilities, strict=True)}


def _resolve(target: str, probabilities: NDArray[np.float32]) -> str:
    if target in LABEL2ID:
        return target
    rank = 0 if target == PREDICTED else 1
    return CODES[int(np.argsort(-probabilities, kind="stable")[rank])]
