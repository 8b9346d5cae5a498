"""Explanations: heatmaps with the probabilities of the same forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_lesion.explain.gradcam import Heatmaps
from hf_lesion.explain.methods import GRADCAM
from hf_lesion.explain.placement import find_flat
from hf_lesion.labels import CODES
from hf_lesion.models.head import softmax
from hf_lesion.models.preprocessing import Box


@dataclass(frozen=True)
class Explanation:
    """Heatmaps and the probabilities of the same forward pass; "…" is N, or N and K classes.

    Attributes:
        heatmaps: (…, H, W) float32 in [0, 1] over the model's input, each stretched to its own
            range; all zero where it is flat.
        targets: (…) the class ids that were explained.
        probabilities: (N, C) float32.
        lows: (…) what 0 stands for, in the method's own units.
        highs: (…) what 1 stands for.
        boxes: The part of each of N images that fills the input, for `overlay`: its left, upper,
            right and lower edge as shares of the image's width and height.
        method: Of `explain.methods.METHODS`.
    """

    heatmaps: NDArray[np.float32]
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    lows: NDArray[np.float32]
    highs: NDArray[np.float32]
    boxes: tuple[Box, ...]
    method: str = GRADCAM

    @property
    def flat(self) -> NDArray[np.bool_]:
        """(…) whether the map is flat: the layer holds no evidence for this class."""
        return find_flat(self.heatmaps)

    @property
    def raw(self) -> NDArray[np.float32]:
        """(…, H, W) the maps on their raw scale, where those of one model compare."""
        lows, highs = self.lows[..., None, None], self.highs[..., None, None]
        return lows + self.heatmaps * (highs - lows)

    def first(self) -> "Explanation":
        """Return the explanation of the first of K classes alone: (N, K, …) becomes (N, …)."""
        kept = {
            name: getattr(self, name)[:, 0] for name in ("heatmaps", "targets", "lows", "highs")
        }
        return replace(self, **kept)


def explained(found: Heatmaps, boxes: Sequence[Box], method: str) -> Explanation:
    """Return the explanation of heatmaps that `hf_lesion.explain.gradcam` computed.

    Args:
        found: Heatmaps of B images.
        boxes: The part of each image that fills the input.
        method: By which they were made.
    """
    answers = softmax(found.logits)
    return Explanation(
        found.maps, found.targets, answers, found.lows, found.highs, tuple(boxes), method
    )


def join(parts: Sequence[Explanation]) -> Explanation:
    """Concatenate the explanations of one or more batches."""
    names = ("heatmaps", "targets", "probabilities", "lows", "highs")
    together: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in names
    }
    together["boxes"] = tuple(box for part in parts for box in part.boxes)
    return replace(parts[0], **together)


def explain_nothing(shape: tuple[int, ...], size: tuple[int, int], method: str) -> Explanation:
    """Return the explanation of no images.

    Args:
        shape: (0,), or (0, K) of K classes.
        size: Height and width of the maps.
        method: As for `Explanation`.
    """
    none, answers = np.empty(shape, np.float32), np.empty((0, len(CODES)), np.float32)
    maps = np.empty((*shape, *size), np.float32)
    return Explanation(maps, np.empty(shape, np.int64), answers, none, none, (), method)
