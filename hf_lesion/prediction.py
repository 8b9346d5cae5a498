"""Predictions: a classifier's results for a few images, with the data to explain them."""

import contextlib
import operator
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.explain.gradcam import (
    GRADCAM,
    PREDICTED,
    RANKS,
    Explanation,
    Target,
    Trace,
    check_method,
    explain_nothing,
    join,
)
from hf_lesion.explain.overlay import OPACITY, overlay
from hf_lesion.labels import CODES, LABEL2ID
from hf_lesion.models.preprocessing import Box
from hf_lesion.ood.gate import Verdict

Targets = Target | Sequence[Target] | None
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Prediction:
    """A classifier's results for N images, from one forward pass.

    The images, the network's inputs and its last feature maps are kept, so explaining another class
    or method costs one backward pass through the layers above the feature map, and changing the
    opacity costs none. Safe to share between threads.

    Attributes:
        images: The N images as they were read, upright RGB.
        pixel_values: (N, 3, S, S) float32 inputs of the network.
        boxes: The part of each image that fills the input, as in `Explanation.boxes`.
        probabilities: (N, C) float32; rows sum to 1.
        reliability: (N,) float64 shares of correct predictions at these top scores; None if the
            model has no `reliability.json`.
        verdicts: The gate's verdict on each image.
        targets: Class that `heatmaps` explains in each image: class id, "predicted" or "runner-up".
        method: Heatmap method of `heatmaps`.
        traces: The forward passes by batch, or the error if they can't be explained.
    """

    images: tuple[Image.Image, ...] = field(repr=False)
    pixel_values: torch.Tensor = field(repr=False)
    boxes: tuple[Box, ...] = field(repr=False)
    probabilities: NDArray[np.float32]
    reliability: NDArray[np.float64] | None
    verdicts: tuple[Verdict, ...]
    targets: tuple[Target, ...]
    method: str
    traces: tuple[Trace | InputError, ...] = field(repr=False)
    _found: dict[tuple[object, ...], Explanation] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def labels(self) -> list[str]:
        """The codes of the N predicted diagnoses."""
        return [CODES[label] for label in self.probabilities.argmax(axis=1)]

    @property
    def heatmaps(self) -> NDArray[np.float32]:
        """(N, H, W) in [0, 1], each over its image's box; all zero where it is flat.

        Raises:
            InputError: If the network can't be explained.
        """
        return self.explain(self.targets, self.method).heatmaps

    def explain(self, targets: Targets = None, method: str = GRADCAM) -> Explanation:
        """As `LesionClassifier.explain`, without another forward pass."""
        check_method(method)
        count = len(self.probabilities)
        wanted = tuple(target for _, target in pair(range(count), targets, count))
        with self._lock:
            if (wanted, method) not in self._found:
                self._found[wanted, method] = self._explain(wanted, method)
            return self._found[wanted, method]

    def overlay(self, row: int = 0, *, opacity: float = OPACITY) -> Image.Image:
        """Return one of the N images with its heatmap blended over it, by `opacity` in [0, 1]."""
        return overlay(self.images[row], self.heatmaps[row], self.boxes[row], opacity=opacity)

    def _explain(self, wanted: Sequence[Target], method: str) -> Explanation:
        rows = iter([([target], box) for target, box in zip(wanted, self.boxes, strict=True)])
        parts = []
        for traced in self.traces:
            if isinstance(traced, InputError):
                raise traced
            columns, boxes = zip(*(next(rows) for _ in traced.logits), strict=True)
            found = traced.explain(columns, method).first()
            parts.append(replace(found, boxes=boxes))
        height, width = self.pixel_values.shape[-2:]
        return join(parts) if parts else explain_nothing((0,), (height, width), method)


def pair(
    items: Iterable[Item], targets: Targets, count: int | None
) -> Iterator[tuple[Item, Target]]:
    """Yield each item with the class to explain in it.

    Args:
        items: Images, or placeholders for them.
        targets: One class for all, or one for each; None is the predicted class.
        count: How many items there are; None if that is not known before the last one.

    Raises:
        InputError: If a class is unknown, or there are not as many classes as items.
    """
    if _is_one(targets):
        one = class_of(PREDICTED if targets is None else cast(Target, targets))
        yield from ((item, one) for item in items)
        return
    wanted = [class_of(target) for target in cast(Sequence[Target], targets)]
    if count is not None and count != len(wanted):
        raise InputError(f"Expected one target per image ({count}), got {len(wanted)}.")
    try:
        yield from zip(items, wanted, strict=True)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Expected one target per image, got {len(wanted)}.") from error


def class_of(target: Target) -> Target:
    """Return the class id of a diagnosis given as id or code; a rank as it is."""
    return target if isinstance(target, str) and target in RANKS else class_id(target)


def class_id(target: int | str) -> int:
    """Return the class id of a diagnosis given as id or code.

    Raises:
        InputError: If it is neither.
    """
    if isinstance(target, str):
        if target in LABEL2ID:
            return LABEL2ID[target]
    else:
        # Any integer: NumPy's, or a tensor of one. Not a float, which int() would cut.
        with contextlib.suppress(TypeError):
            if 0 <= (found := operator.index(target)) < len(CODES):
                return found
    raise InputError(
        f"Unknown class {target!r}: expected an id from 0 to {len(CODES) - 1} "
        f"or one of {', '.join(CODES)}."
    )


def _is_one(targets: object) -> bool:
    """Tell whether this is one class for all images, not a sequence of classes."""
    return (
        isinstance(targets, str)
        or not isinstance(targets, Iterable)
        or getattr(targets, "ndim", 1) == 0  # an array or tensor of one number
    )
