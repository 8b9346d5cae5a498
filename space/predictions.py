"""Results of the page: one forward pass per image and model, cached for a short time.

Heatmaps of other classes or by other methods, reports, and checks of a heatmap are computed from
the cached result. Nothing is written to disk. For each image the cache holds a copy of the size
that is shown, the pixels that the network received, and its last feature map, but not the image
itself.
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
from hf_lesion.explain.names import METHOD_NAMES, PREDICTED, RUNNER_UP
from hf_lesion.labels import CODES, LABEL2ID, MALIGNANT, NAMES

if TYPE_CHECKING:
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.models.preprocessing import Box
    from hf_lesion.ood.gate import Verdict
    from hf_lesion.prediction import Prediction

DISPLAY_PIXELS = 768  # the longer side of what is shown
CACHED_IMAGES = 8
CACHED_SECONDS = 300.0
METHOD = "gradcam"
COLOUR_MAPS = {"inferno": "Inferno", "turbo": "Turbo"}
COLOURS = "inferno"
REJECTED, UNSURE = "strange", "unsure"
MELANOMA, MALIGNANCY = "melanoma", "malignant"
MIN_PROBABILITY = 0.01  # the heatmap of a less probable class means little
FAINT, FULL = 0.4, 0.75  # opacity where the map is 1: of such a class, and of any other
BLANK = 8  # of 255: the range of each colour in a blank image
IS_BLANK = "The image is blank: all of it has the same colour."
MAX_QUOTED = 60  # characters of a client's value that are quoted in an error
RANDOM_SEEDS = [0, 1, 2, 3]


@dataclass(frozen=True, eq=False)
class Result:
    """One model's result for one image."""

    probabilities: NDArray[np.float32]  # (C,) in the order of `CODES`, as from a pipeline
    verdict: "Verdict"  # of the gate
    # How often similar results were right on the test split, in [0, 1]; None if unmeasured.
    share_right: float | None = None
    is_blank: bool = False  # all pixels of the image have nearly the same colour

    @property
    def label(self) -> str:
        """The code of the predicted diagnosis."""
        return CODES[int(self.probabilities.argmax())]

    @property
    def malignant(self) -> float:
        """The summed probability of the malignant diagnoses."""
        return sum(self.probability(code) for code in MALIGNANT)

    @property
    def is_rejected(self) -> bool:
        """Whether the diagnosis is hidden: the image is blank or rejected by the gate."""
        return self.gate == REJECTED

    @property
    def gate(self) -> str:
        """The gate's verdict in one word: "accepted", "strange", "unsure" or "unjudged"."""
        return REJECTED if self.is_blank else self.verdict.kind

    @property
    def is_unsure(self) -> bool:
        """Whether the gate marks the result as one of low confidence."""
        return self.verdict.kind == UNSURE

    def probability(self, code: str | None = None) -> float:
        """Return the probability of a diagnosis, by default of the predicted one."""
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
class ExplainableResult(Result):
    """A result from which heatmaps can be computed."""

    picture: Image.Image = field(kw_only=True)  # RGB, `DISPLAY_PIXELS` on its longer side
    prediction: "Prediction" = field(kw_only=True)  # for this image alone


@dataclass(frozen=True, eq=False)
class Explanation:
    """A result with the heatmap of one class."""

    result: ExplainableResult
    target: str  # the code of the explained class
    method: str  # one of `METHOD_NAMES`
    heatmap: NDArray[np.float32] | None  # (H, W) in [0, 1] over the model's input
    notice: str = ""  # why there is no heatmap
    box: "Box | None" = None  # the part of the image that the model received
    grid: tuple[int, int] | None = None  # of the feature map that the heatmap was enlarged from

    @property
    def probability(self) -> float:
        """The probability of the explained class."""
        return self.result.probability(self.target)

    @property
    def is_improbable(self) -> bool:
        """Whether the class has a probability below `MIN_PROBABILITY`."""
        return self.probability < MIN_PROBABILITY

    @property
    def is_cropped(self) -> bool:
        """Whether the model did not receive a part of the image, which is shown in grey."""
        return self.box is not None and (max(self.box[:2]) > 0 or min(self.box[2:]) < 1)

    def overlay(self, colours: str = COLOURS) -> Image.Image | None:
        """Return the heatmap over the picture; None if there is no heatmap."""
        from hf_lesion.explain.overlay import overlay

        if self.heatmap is None:
            return None
        opacity = FAINT if self.is_improbable else FULL
        return overlay(
            self.result.picture, self.heatmap, self.box,
            opacity=opacity, colours=colours, grid=self.grid,
        )  # fmt: skip

    def map(self, colours: str = COLOURS) -> Image.Image | None:
        """Return the heatmap alone; None if there is no heatmap."""
        from hf_lesion.explain.overlay import draw_map

        if self.heatmap is None:
            return None
        return draw_map(
            self.heatmap, self.result.picture.size, self.box, colours=colours, grid=self.grid
        )


def classify(classifier: "LesionClassifier", image: Image.Image) -> Result:
    """Classify an image without keeping anything else of it."""
    return Result(**_result_fields(classifier(image), image))


def classify_explainable(classifier: "LesionClassifier", image: Image.Image) -> ExplainableResult:
    """Classify an image and keep what its heatmaps are computed from."""
    prediction = replace(classifier(image), images=())
    fields = _result_fields(prediction, image)
    return ExplainableResult(**fields, picture=resize(image), prediction=prediction)


def _result_fields(prediction: "Prediction", image: Image.Image) -> dict[str, Any]:
    reliability = prediction.reliability
    return {
        "probabilities": prediction.probabilities[0],
        "verdict": prediction.verdicts[0],
        "share_right": None if reliability is None else float(reliability[0]),
        "is_blank": bool((np.ptp(np.asarray(image), axis=(0, 1)) <= BLANK).all()),
    }


def resize(image: Image.Image) -> Image.Image:
    """Resize an image for display; small ones are enlarged so that heatmaps are drawn smoothly."""
    scale = DISPLAY_PIXELS / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def explain(
    result: ExplainableResult, target: str = PREDICTED, method: str = METHOD
) -> Explanation:
    """Explain one class of a classified image.

    `target` is a diagnosis code, or a rank: `PREDICTED` or `RUNNER_UP`. An unknown one, or an
    unknown method, is an InputError.
    """
    check_choice("class", target, (PREDICTED, RUNNER_UP, *CODES))
    check_choice("method", method, tuple(METHOD_NAMES))
    code = result.order()[(PREDICTED, RUNNER_UP).index(target)] if target not in CODES else target
    try:
        found = result.prediction.explain(code, method)
    except InputError as error:
        # A network without a known target layer can still classify.
        return Explanation(result, code, method, None, f"No heatmap: {error}")
    if not found.heatmaps[0].any():
        notice = f"No heatmap: nothing in the image raised the score for {NAMES[code]}."
        return Explanation(result, code, method, None, notice)
    trace = result.prediction.traces[0]
    assert not isinstance(trace, InputError)  # `explain` would have raised it
    height, width = trace.activation.shape[-2:]
    return Explanation(
        result, code, method, found.heatmaps[0], box=found.boxes[0], grid=(height, width)
    )


def check_heatmap(classifier: "LesionClassifier", explanation: Explanation) -> tuple[float, float]:
    """Return the area under the deletion curve of a heatmap, and the mean of random maps.

    The brightest pixels are replaced by the image's mean colour first (deletion, Petsiuk et al.,
    BMVC 2018).

    Raises:
        InputError: If there is no heatmap to check.
    """
    import torch

    from hf_lesion.explain.baselines import random_maps
    from hf_lesion.explain.faithfulness import SHARES, measure_deletion

    if explanation.heatmap is None:
        raise InputError(explanation.notice)
    pixel_values = explanation.result.prediction.pixel_values
    size = (int(pixel_values.shape[-2]), int(pixel_values.shape[-1]))
    maps = np.concatenate([explanation.heatmap[np.newaxis], random_maps(RANDOM_SEEDS, size)])
    deletion = measure_deletion(
        lambda pixels: torch.from_numpy(classifier.forward(pixels)).softmax(dim=-1),
        pixel_values.expand(len(maps), -1, -1, -1),
        maps.astype(np.float32),
        np.full(len(maps), LABEL2ID[explanation.target]),
    )
    areas = np.asarray(np.trapezoid(deletion, SHARES, axis=1))
    return float(areas[0]), float(areas[1:].mean())


def describe(result: Result, points: Mapping[str, OperatingPoint]) -> dict[str, Any]:
    """Return a result as the API gives it, without a diagnosis if the image is rejected."""
    found: dict[str, Any] = {
        "label": result.label,
        "name": NAMES[result.label],
        "probabilities": dict(zip(CODES, map(float, result.probabilities), strict=True)),
        "right_in_test": result.share_right,
        "melanoma_flagged": result.reaches(points.get(MELANOMA)),
    }
    if result.is_rejected:
        found = dict.fromkeys(found)
    sentence = IS_BLANK if result.is_blank else result.verdict.sentence
    return {**found, "gate": result.gate, "gate_sentence": sentence}


def check_choice(kind: str, value: object, choices: Sequence[str]) -> None:
    """Raise InputError unless a client's value, which may be of any type, is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        quoted = repr(value)
        quoted = quoted if len(quoted) <= MAX_QUOTED else f"{quoted[:MAX_QUOTED]}…"
        raise InputError(f"Unknown {kind} {quoted}; expected one of {', '.join(choices)}.")


@dataclass
class _CachedImage:
    """The results for one image by model name, and when they expire."""

    expires: float = 0.0
    results: dict[str, ExplainableResult] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class ResultCache:
    """In-memory results of the most recently requested images; thread-safe.

    At most `images` are kept, each for `seconds` after its last request.
    """

    def __init__(self, *, images: int = CACHED_IMAGES, seconds: float = CACHED_SECONDS):
        self._max_images, self._seconds = images, seconds
        self._images: OrderedDict[str, _CachedImage] = OrderedDict()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def get(
        self, image: str, model: str, compute: Callable[[], ExplainableResult]
    ) -> ExplainableResult:
        """Return a model's result for an image, named by its SHA-256; compute it if need be.

        Concurrent requests for the same image wait for one another.
        """
        with self._lock:
            cached = self._images.setdefault(image, _CachedImage())
            cached.expires = time.monotonic() + self._seconds
            self._images.move_to_end(image)
            while len(self._images) > self._max_images:
                self._images.popitem(last=False)
            self._start_timer(self._seconds)
        try:
            with cached.lock:
                if model not in cached.results:
                    cached.results[model] = compute()
                return cached.results[model]
        except BaseException:
            if not cached.results:
                self._images.pop(image, None)
            raise

    def __len__(self) -> int:
        """The number of cached images."""
        return len(self._images)

    def _start_timer(self, seconds: float) -> None:
        """Make sure that expired images are removed even without further requests."""
        if self._timer is None:
            self._timer = threading.Timer(seconds, self._remove_expired)
            self._timer.daemon = True
            self._timer.start()

    def _remove_expired(self) -> None:
        with self._lock:
            self._timer = None
            now = time.monotonic()
            while self._images and next(iter(self._images.values())).expires <= now:
                self._images.popitem(last=False)
            if self._images:
                self._start_timer(next(iter(self._images.values())).expires - now)
