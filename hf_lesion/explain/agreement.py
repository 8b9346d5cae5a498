"""Agreement of two models: their heatmaps of one image compared."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hf_lesion.explain.placement import align
from hf_lesion.models.preprocessing import Box

TOP_SHARE = 0.2  # of the frame
# At an IoU of 1/3, half of each top fifth is shared; fifths placed at random share a fifth of their
# area, an IoU of 1/9.
LEAST_IOU = 1 / 3


@dataclass(frozen=True)
class Agreement:
    """Similarity of two heatmaps of one image; NaN if a map is flat."""

    pearson: float  # correlation over the pixels, in [-1, 1]
    iou: float  # intersection over union of the top fifths, in [0, 1]

    @property
    def is_apart(self) -> bool:
        """Whether they mark different regions: less than half of the top fifths is shared."""
        return self.iou < LEAST_IOU


def compare_maps(first: NDArray[np.float32], second: NDArray[np.float32]) -> Agreement:
    """Compare two (H, W) heatmaps of one image; the second is resized to the first's size."""
    if second.shape != first.shape:
        second = np.asarray(cv2.resize(second, first.shape[::-1]), np.float32)
    if not np.ptp(first) or not np.ptp(second):
        return Agreement(float("nan"), float("nan"))
    pearson = float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
    tops = [_top(values) for values in (first, second)]
    shared, either = (tops[0] & tops[1]).sum(), (tops[0] | tops[1]).sum()
    return Agreement(pearson, float(shared / either))


def compare_all(
    maps: Mapping[str, tuple[NDArray[np.float32], Box]],
) -> dict[tuple[str, str], Agreement]:
    """Return the agreement of each two models where both saw an image.

    Each has its (H, W) map of the image, and the box that the map fills.
    """
    found = {}
    for first, second in itertools.combinations(maps, 2):
        pair = maps[first], maps[second]
        shared, _ = align([heatmap for heatmap, _ in pair], [box for _, box in pair])
        found[first, second] = compare_maps(*shared)
    return found


def _top(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the `TOP_SHARE` of the pixels with the greatest values; ties go by position."""
    count = max(1, round(TOP_SHARE * values.size))
    top = np.zeros(values.size, dtype=bool)
    top[np.argsort(-values.ravel(), kind="stable")[:count]] = True
    return top.reshape(values.shape)
