"""Mask overlap: scores of heatmaps against lesion masks.

Energy-based pointing game: Wang et al., "Score-CAM" (CVPR workshops 2020). Pointing game: Zhang et
al., "Top-down neural attention by excitation backprop" (ECCV 2016), without their tolerance of 15
pixels. Mean inside over mean outside: Chanda et al., Nature Communications 15:524 (2024).
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

THRESHOLDS = (0.25, 0.5, 0.75)  # of the map's own maximum
ENERGY, POINTING, RATIO = "energy", "pointing", "ratio"
MEASURES = (
    ENERGY,
    POINTING,
    RATIO,
    *(f"iou_{threshold}" for threshold in THRESHOLDS),
    *(f"dice_{threshold}" for threshold in THRESHOLDS),
)


def place_masks(
    masks: Sequence[Image.Image], preprocess: Callable[[list[Image.Image]], torch.Tensor]
) -> NDArray[np.bool_]:
    """Return (B, H, W) masks, true inside the lesion, after the preprocessing that images undergo.

    The masks (at least one) are grey, white = lesion, in the frames of their images, of any sizes.
    """
    sizes = list(dict.fromkeys(mask.size for mask in masks))
    # The preprocessed values of black and white are used to undo the normalisation.
    ends = [Image.new("RGB", size, colour) for colour in ("black", "white") for size in sizes]
    grey = [mask.convert("L").convert("RGB") for mask in masks]
    values = preprocess([*ends, *grey])[:, 0]
    black, white = values[: len(sizes)], values[len(sizes) : 2 * len(sizes)]
    kinds = [sizes.index(mask.size) for mask in masks]
    shares = (values[len(ends) :] - black[kinds]) / (white[kinds] - black[kinds])
    return np.asarray(shares > 0.5)


def score_maps(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return every measure of every map.

    Args:
        maps: (N, H, W) in [0, 1].
        masks: (N, H, W), true inside the lesion.

    Returns:
        (N, M) in the order of `MEASURES`: share of the map's sum inside the lesion; 1 if its
        maximum is inside, else 0; ratio of its means inside and outside (infinite if the latter is
        0); intersection over union and Dice coefficient of the mask and the thresholded map. All
        NaN for a flat map, or a mask that covers nothing or everything.
    """
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    inside = masks.reshape(len(masks), -1)
    covered = inside.sum(axis=1)
    # Where several places share the maximum, the share of them that is inside.
    peaks = flat == flat.max(axis=1, keepdims=True)
    heat_inside, heat_outside = (flat * inside).sum(axis=1), (flat * ~inside).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = heat_inside / flat.sum(axis=1)
        pointing = (peaks & inside).sum(axis=1) / peaks.sum(axis=1)
        ratio = (heat_inside / covered) / (heat_outside / (~inside).sum(axis=1))
        marked = [flat >= threshold for threshold in THRESHOLDS]
        ious = [(one & inside).sum(axis=1) / (one | inside).sum(axis=1) for one in marked]
    dices = [2 * iou / (1 + iou) for iou in ious]
    scores = np.stack([energy, pointing, ratio, *ious, *dices], axis=1)
    is_senseless = ~flat.any(axis=1) | (covered == 0) | (covered == inside.shape[1])
    scores[is_senseless] = np.nan
    return scores
