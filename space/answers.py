"""What a model says about one image: its opinion, a heatmap, or why there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from opinions import Opinion
from PIL import Image
from predictions import Reading

from hf_lesion.errors import InputError
from hf_lesion.explain.names import METHOD_NAMES
from hf_lesion.labels import CODES, LABEL2ID, NAMES

if TYPE_CHECKING:
    from hf_lesion.models.preprocessing import Box

PREDICTED, RUNNER_UP = "predicted", "runner-up"
METHODS = METHOD_NAMES
METHOD = "gradcam"
OPACITY, FULL = 50, 100  # per cent
LONGEST_SAID = 60  # characters of what a client sent that are said back to it


@dataclass(frozen=True)
class Answer:
    """What one model says about one image.

    Attributes:
        opinion: Its answer and what is shown as probabilities.
        target: The code of the diagnosis that was explained.
        picture: The image as it is shown: RGB, as in `predictions.Reading`.
        heatmap: (H, W) float32 in [0, 1] over the model's input; None if there is nothing to show.
        notice: Why there is no heatmap; empty if there is one.
        method: By which the heatmap was made.
        box: The part of the image that the model saw, as `Explanation.boxes` has it.
    """

    opinion: Opinion
    target: str
    picture: Image.Image
    heatmap: NDArray[np.float32] | None
    notice: str
    method: str = METHOD
    box: "Box | None" = None

    @property
    def is_cropped(self) -> bool:
        """Whether a part of the image was not seen, which the heatmap's picture shows in grey."""
        return self.box is not None and (max(self.box[:2]) > 0 or min(self.box[2:]) < 1)

    @property
    def label(self) -> str:
        """The code of the model's answer."""
        return self.opinion.label

    def overlay(self, opacity: float = OPACITY) -> Image.Image | None:
        """Return the heatmap over the picture; None if there is nothing to show.

        Args:
            opacity: Of the colours, in per cent.
        """
        from hf_lesion.explain.gradcam import overlay

        if self.heatmap is None:
            return None
        return overlay(self.picture, self.heatmap, self.box, opacity=opacity / 100)


def build_answer(reading: Reading, target: str = PREDICTED, *, method: str = METHOD) -> Answer:
    """Explain one class of an image that was classified.

    Args:
        reading: Of the image, by the model that is asked.
        target: A diagnosis code, `PREDICTED` for the model's answer or `RUNNER_UP` for the next.
        method: One of `METHODS`.

    Raises:
        InputError: If there is no such class or method.
    """
    check_target(target)
    check_method(method)
    opinion = reading.opinion
    code = _resolve(target, opinion)
    try:
        found = reading.heatmap(code, method)
    except InputError as error:
        # A network without a known target layer still classifies.
        return Answer(opinion, code, reading.picture, None, f"No heat map: {error}", method)
    notice = ""
    if found is None:
        notice = (
            f"No evidence for {NAMES[code]} in the last layer: no place in the image stands out "
            "for this class, so there is nothing to colour."
        )
    heatmap, box = found or (None, None)
    return Answer(opinion, code, reading.picture, heatmap, notice, method, box)


def build_answers(readings: Mapping[str, Reading], target: str) -> dict[str, Answer]:
    """Explain one class of an image by several models; arguments and errors as `build_answer`."""
    return {name: build_answer(reading, target) for name, reading in readings.items()}


def check_target(target: str) -> None:
    """Raise InputError unless this is a diagnosis code, `PREDICTED` or `RUNNER_UP`."""
    choose("class", target, (PREDICTED, RUNNER_UP, *CODES))


def check_method(method: str) -> None:
    """Raise InputError unless this is one of `METHODS`."""
    choose("method", method, tuple(METHODS))


def check_opacity(opacity: object) -> None:
    """Raise InputError unless this is a number of per cent."""
    if isinstance(opacity, int | float) and not isinstance(opacity, bool) and 0 <= opacity <= FULL:
        return
    raise InputError(f"Expected an opacity from 0 to {FULL}, got {_say(opacity)}.")


def choose(what: str, wanted: object, choices: Sequence[str]) -> None:
    """Raise InputError unless what a client sent, which may be anything, is one of the choices."""
    if not isinstance(wanted, str) or wanted not in choices:
        raise InputError(f"There is no {what} {_say(wanted)} here; there are {', '.join(choices)}.")


def _say(sent: object) -> str:
    said = repr(sent)
    return said if len(said) <= LONGEST_SAID else f"{said[:LONGEST_SAID]}…"


def _resolve(target: str, opinion: Opinion) -> str:
    if target in LABEL2ID:
        return target
    rank = 0 if target == PREDICTED else 1
    return CODES[int(np.argsort(-opinion.scores, kind="stable")[rank])]
