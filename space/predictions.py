"""Predictions of the page: one forward pass for each image and network, kept for a short while.

Another class, method or opacity is answered from what was kept, and so are a report and a test of
the map. Nothing of it is ever written down. What is kept of an image is a picture of the size that
is shown, the pixels that the networks saw, and their last feature maps; never the image itself.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from opinions import Opinion, form_opinion
from PIL import Image

from hf_lesion.errors import InputError

if TYPE_CHECKING:
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.models.preprocessing import Box
    from hf_lesion.prediction import Prediction

DISPLAY_PIXELS = 768
KEPT_IMAGES = 8
KEPT_SECONDS = 300.0


@dataclass(frozen=True, eq=False)
class Reading:
    """One image as one network, or several together, saw it.

    Attributes:
        picture: The image as it is shown: RGB, at most `DISPLAY_PIXELS` on its longer side.
        predictions: One for each network.
    """

    picture: Image.Image
    predictions: "tuple[Prediction, ...]"

    @property
    def opinion(self) -> Opinion:
        """The answer, and what is shown as probabilities."""
        return form_opinion(self.predictions)

    def heatmap(self, code: str, method: str) -> "tuple[NDArray[np.float32], Box] | None":
        """Return (H, W) in [0, 1] and the box of the image that it fills; None if it is flat.

        Of several networks it is their mean; one that can't be explained is left out of it as long
        as another one can.

        Args:
            code: Of a diagnosis.
            method: One of `answers.METHODS`.

        Raises:
            InputError: If no network can be explained.
        """
        maps, trouble = [], None
        for prediction in self.predictions:
            try:
                found = prediction.explain(code, method)
                maps.append((found.heatmaps[0], found.boxes[0]))
            except InputError as error:
                trouble = error
        if trouble is not None and not maps:
            raise trouble
        heatmap, box = maps[0] if len(maps) == 1 else average_maps(maps)
        return (heatmap, box) if heatmap.any() else None


def read(classifier: "LesionClassifier", image: Image.Image) -> Reading:
    """Classify an image, and keep what its heatmaps are made of."""
    return Reading(shrink(image), (replace(classifier(image), images=()),))


def join(readings: Sequence[Reading]) -> Reading:
    """Return what several networks together make of the same image."""
    return Reading(readings[0].picture, tuple(p for one in readings for p in one.predictions))


def average_maps(
    maps: "Sequence[tuple[NDArray[np.float32], Box]]",
) -> "tuple[NDArray[np.float32], Box]":
    """Return the mean of several networks' maps of one image, stretched to [0, 1].

    Every map counts alike: each is on its own scale, and theirs do not compare.

    Args:
        maps: At least one, (H, W) in [0, 1] each, with the box of the image that it fills.

    Returns:
        A map as fine as the finest, and the box that all networks saw.
    """
    from hf_lesion.explain.placement import align

    aligned, box = align([one for one, _ in maps], [own for _, own in maps])
    mean = np.mean(aligned, axis=0)
    return (mean / (mean.max() or 1)).astype(np.float32), box


def shrink(image: Image.Image) -> Image.Image:
    """Return an image as it is shown."""
    picture = image.copy()
    picture.thumbnail((DISPLAY_PIXELS, DISPLAY_PIXELS))
    return picture


@dataclass
class _Kept:
    """The readings of one image by the networks' names, and until when they are kept."""

    until: float = 0.0
    readings: dict[str, Reading] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Recent:
    """Readings of the last few images, in memory only; safe to share between threads.

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
                if network not in kept.readings:
                    kept.readings[network] = compute()
                return kept.readings[network]
        except BaseException:
            if not kept.readings:
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
