"""Predictions of the page: one forward pass for each image and model, kept for a short while.

Another class or method is answered from what was kept, and so are a report and a check of the map.
Nothing of it is ever written down. What is kept of an image is a picture of the size that is shown,
the pixels that the network saw, and its last feature map; never the image itself.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.calibration.thresholds import OperatingPoint
from hf_lesion.errors import InputError
from hf_lesion.explain.names import METHOD_NAMES
from hf_lesion.labels import CODES, LABEL2ID, MALIGNANT, NAMES

if TYPE_CHECKING:
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.models.preprocessing import Box
    from hf_lesion.ood.gate import Verdict
    from hf_lesion.prediction import Prediction

DISPLAY_PIXELS = 768  # the longer side of what is shown
KEPT_IMAGES = 8
KEPT_SECONDS = 300.0
PREDICTED, RUNNER_UP = "predicted", "runner-up"
METHODS: Mapping[str, str] = METHOD_NAMES
METHOD = "gradcam"
COLOUR_MAPS = {"inferno": "Inferno", "turbo": "Turbo"}
COLOURS = "inferno"
REJECTED, UNSURE = "strange", "unsure"
MELANOMA, MALIGNANCY = "melanoma", "malignant"
LITTLE = 0.01  # a class below this probability has a map that shows little
FAINT, FULL = 0.4, 0.75  # opacity where the map is 1: of such a class, and of any other
BLANK = 8  # of 255: the range of each colour in a blank image
IS_BLANK = "The image is blank: all of it has the same colour."
DIAGNOSIS_FIELDS = ("label", "name", "probabilities", "right_in_test", "melanoma_flagged")
LONGEST_SAID = 60  # characters of what a client sent that are said back to it
RANDOM_SEEDS = [0, 1, 2, 3]


@dataclass(frozen=True, eq=False)
class Result:
    """One model's result for one image.

    Attributes:
        probabilities: (C,) float32 that sum to 1, in the order of `CODES`: what a transformers
            pipeline gives.
        verdict: The gate's.
        share_right: How often results like this were right in the test, in [0, 1]; None if that
            was not measured.
        is_blank: Whether all pixels of the image have nearly the same colour.
    """

    probabilities: NDArray[np.float32]
    verdict: "Verdict"
    share_right: float | None = None
    is_blank: bool = False

    @property
    def label(self) -> str:
        """The code of the predicted diagnosis."""
        return CODES[int(self.probabilities.argmax())]

    @property
    def malignant(self) -> float:
        """The probability of the malignant diagnoses together."""
        return sum(self.probability(code) for code in MALIGNANT)

    @property
    def is_rejected(self) -> bool:
        """Whether no diagnosis is shown: of a blank image, and of what the gate rejects."""
        return self.is_blank or self.verdict.kind == REJECTED

    @property
    def gate(self) -> str:
        """The gate's verdict in one word: "accepted", "strange", "unsure" or "unjudged"."""
        return REJECTED if self.is_blank else self.verdict.kind

    @property
    def is_unsure(self) -> bool:
        """Whether the gate marks the result as one of low confidence."""
        return self.verdict.kind == UNSURE

    def probability(self, code: str | None = None) -> float:
        """Return the probability of a diagnosis; of the predicted one unless told."""
        return float(self.probabilities[CODES.index(code or self.label)])

    def order(self) -> list[str]:
        """Return all codes, the most probable first."""
        return [CODES[place] for place in np.argsort(-self.probabilities, kind="stable")]

    def reaches(self, point: OperatingPoint | None) -> bool | None:
        """Return whether the result reaches a threshold; None if there is no threshold."""
        if point is None:
            return None
        return bool(point.flags(self.probabilities[np.newaxis])[0])


@dataclass(frozen=True, eq=False)
class Reading(Result):
    """A result with what its heatmaps are made of.

    Attributes:
        picture: The image as it is shown: RGB, `DISPLAY_PIXELS` on its longer side.
        prediction: The model's, for this image alone.
    """

    picture: Image.Image = field(kw_only=True)
    prediction: "Prediction" = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class Explained:
    """A result with the heatmap of one class.

    Attributes:
        result: The model's result.
        target: The code of the class that the heatmap is for.
        method: One of `METHODS`.
        heatmap: (H, W) float32 in [0, 1] over the model's input; None if there is nothing to show.
        notice: Why there is no heatmap; empty if there is one.
        box: The part of the image that the model saw, as `Explanation.boxes` has it.
        grid: Height and width of the feature map that the heatmap was enlarged from.
    """

    result: Reading
    target: str
    method: str
    heatmap: NDArray[np.float32] | None
    notice: str = ""
    box: "Box | None" = None
    grid: tuple[int, int] | None = None

    @property
    def shows_little(self) -> bool:
        """Whether the model gives the class less than `LITTLE`."""
        return self.result.probability(self.target) < LITTLE

    @property
    def is_cropped(self) -> bool:
        """Whether the model did not see a part of the image, which is shown in grey."""
        return self.box is not None and (max(self.box[:2]) > 0 or min(self.box[2:]) < 1)

    def overlay(self, colours: str = COLOURS) -> Image.Image | None:
        """Return the heatmap over the picture; None if there is nothing to show."""
        from hf_lesion.explain.overlay import overlay

        if self.heatmap is None:
            return None
        opacity = FAINT if self.shows_little else FULL
        return overlay(
            self.result.picture, self.heatmap, self.box,
            opacity=opacity, colours=colours, grid=self.grid,
        )  # fmt: skip

    def map(self, colours: str = COLOURS) -> Image.Image | None:
        """Return the heatmap alone; None if there is nothing to show."""
        from hf_lesion.explain.overlay import draw_map

        if self.heatmap is None:
            return None
        return draw_map(
            self.heatmap, self.result.picture.size, self.box, colours=colours, grid=self.grid
        )


def classify(classifier: "LesionClassifier", image: Image.Image) -> Result:
    """Classify an image, and keep nothing of it."""
    return Result(*_parts(classifier(image), image))


def read(classifier: "LesionClassifier", image: Image.Image) -> Reading:
    """Classify an image, and keep what its heatmaps are made of."""
    prediction = replace(classifier(image), images=())
    return Reading(*_parts(prediction, image), picture=resize(image), prediction=prediction)


def _parts(
    prediction: "Prediction", image: Image.Image
) -> "tuple[NDArray[np.float32], Verdict, float | None, bool]":
    return (
        prediction.probabilities[0],
        prediction.verdicts[0],
        None if prediction.reliability is None else float(prediction.reliability[0]),
        bool((np.ptp(np.asarray(image.convert("RGB")), axis=(0, 1)) <= BLANK).all()),
    )


def resize(image: Image.Image) -> Image.Image:
    """Return an image as it is shown: small ones are enlarged, so that a map is drawn finely."""
    scale = DISPLAY_PIXELS / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def explain(result: Reading, target: str = PREDICTED, method: str = METHOD) -> Explained:
    """Explain one class of an image that was classified.

    Args:
        result: The model's, for the image.
        target: A diagnosis code, or a rank: `PREDICTED` or `RUNNER_UP`.
        method: One of `METHODS`.

    Raises:
        InputError: If there is no such class or method.
    """
    check_choice("class", target, (PREDICTED, RUNNER_UP, *CODES))
    check_choice("method", method, tuple(METHODS))
    code = result.order()[(PREDICTED, RUNNER_UP).index(target)] if target not in CODES else target
    try:
        found = result.prediction.explain(code, method)
    except InputError as error:
        # A network without a known target layer still classifies.
        return Explained(result, code, method, None, f"No heatmap: {error}")
    if not found.heatmaps[0].any():
        notice = f"No heatmap: nothing in the image raised the score for {NAMES[code]}."
        return Explained(result, code, method, None, notice)
    trace = result.prediction.traces[0]
    assert not isinstance(trace, InputError)  # it was explained
    height, width = trace.activation.shape[-2:]
    box = found.boxes[0]
    return Explained(result, code, method, found.heatmaps[0], "", box, (height, width))


def check_map(classifier: "LesionClassifier", explained: Explained) -> tuple[float, float]:
    """Return the mean score of the class while pixels are hidden: by this map, and by random ones.

    The brightest pixels take the image's mean colour first (deletion, Petsiuk et al., BMVC 2018).

    Raises:
        InputError: If there is no heatmap to check.
    """
    import torch

    from hf_lesion.explain.baselines import random_maps
    from hf_lesion.explain.faithfulness import SHARES, measure_deletion

    if explained.heatmap is None:
        raise InputError(explained.notice)
    pixel_values = explained.result.prediction.pixel_values
    size = (int(pixel_values.shape[-2]), int(pixel_values.shape[-1]))
    maps = np.concatenate([explained.heatmap[np.newaxis], random_maps(RANDOM_SEEDS, size)])
    deletion = measure_deletion(
        lambda shown: torch.from_numpy(classifier.forward(shown)).softmax(dim=-1),
        pixel_values.expand(len(maps), -1, -1, -1),
        maps.astype(np.float32),
        np.full(len(maps), LABEL2ID[explained.target]),
    )
    areas = np.asarray(np.trapezoid(deletion, SHARES, axis=1))
    return float(areas[0]), float(areas[1:].mean())


def describe(result: Result, points: Mapping[str, OperatingPoint]) -> dict[str, Any]:
    """Return a result as the API gives it: no diagnosis of an image that is rejected."""
    gate = {
        "gate": result.gate,
        "gate_sentence": IS_BLANK if result.is_blank else result.verdict.sentence,
    }
    if result.is_rejected:
        return {**dict.fromkeys(DIAGNOSIS_FIELDS), **gate}
    probabilities = map(float, result.probabilities)
    values = (
        result.label,
        NAMES[result.label],
        dict(zip(CODES, probabilities, strict=True)),
        result.share_right,
        result.reaches(points.get(MELANOMA)),
    )
    return {**dict(zip(DIAGNOSIS_FIELDS, values, strict=True)), **gate}


def check_choice(what: str, wanted: object, choices: Sequence[str]) -> None:
    """Raise InputError unless what a client sent, which may be anything, is one of the choices."""
    if not isinstance(wanted, str) or wanted not in choices:
        said = repr(wanted)
        said = said if len(said) <= LONGEST_SAID else f"{said[:LONGEST_SAID]}…"
        raise InputError(f"There is no {what} {said} here; there are {', '.join(choices)}.")


@dataclass
class _Kept:
    """The results of one image by the networks' names, and until when they are kept."""

    until: float = 0.0
    results: dict[str, Reading] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Recent:
    """Results of the last few images, in memory only; safe to share between threads.

    Args:
        images: How many images' are kept.
        seconds: How long after they were last asked for.
    """

    def __init__(self, *, images: int = KEPT_IMAGES, seconds: float = KEPT_SECONDS):
        self._images, self._seconds = images, seconds
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def get(self, image: str, network: str, compute: Callable[[], Reading]) -> Reading:
        """Return the reading of an image by a network, computed unless it is kept.

        Who asks for what is being computed waits for it.

        Args:
            image: SHA-256 of the image.
            network: Its name.
            compute: Called without arguments.
        """
        with self._lock:
            kept = self._kept.setdefault(image, _Kept())
            kept.until = time.monotonic() + self._seconds
            self._kept.move_to_end(image)
            while len(self._kept) > self._images:
                self._kept.popitem(last=False)
            self._wake(self._seconds)
        try:
            with kept.lock:
                if network not in kept.results:
                    kept.results[network] = compute()
                return kept.results[network]
        except BaseException:
            if not kept.results:
                self._kept.pop(image, None)
            raise

    def __len__(self) -> int:
        """The number of images of which something is kept."""
        return len(self._kept)

    def _wake(self, seconds: float) -> None:
        """Have what is no longer to be kept dropped, whether anybody asks again or not."""
        if self._timer is None:
            self._timer = threading.Timer(seconds, self._drop)
            self._timer.daemon = True
            self._timer.start()

    def _drop(self) -> None:
        with self._lock:
            self._timer = None
            now = time.monotonic()
            while self._kept and next(iter(self._kept.values())).until <= now:
                self._kept.popitem(last=False)
            if self._kept:
                self._wake(next(iter(self._kept.values())).until - now)
