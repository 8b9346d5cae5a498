"""Placement of heatmaps: from the network's input back to the image, which may be cropped.

A box (`hf_lesion.models.preprocessing.Box`) is the part of an image that fills the input.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.models.preprocessing import Box

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
NOTABLE = 0.1  # a lesion of which more than this share lies outside of the box is counted
EXACT = 9  # decimals of a pixel: shares such as 75/600 are not exact
# A map whose range is below this share of what its sums are made of is rounding error: sums of
# float32 products that cancel are off by about 1e-6 of their terms.
FLAT = 1e-5


def place(heatmap: NDArray[np.float32], box: Box, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a heatmap placed on an image, enlarged by bicubic interpolation.

    The (H, W) map is over a network's input, `box` the part of the image that fills the input, and
    `size` the width and height of the image in pixels. The result is (height, width), NaN where the
    network did not see the image. Where the image was padded, the border is cut away.
    """
    width, height = size
    left, right = _span(box[0], box[2], width)
    upper, lower = _span(box[1], box[3], height)
    part = (left / width, upper / height, right / width, lower / height)
    placed = np.full((height, width), np.nan, np.float32)
    placed[upper:lower, left:right] = _cut(
        heatmap, box, part, (right - left, lower - upper), Image.Resampling.BICUBIC
    )
    return placed


def align(
    heatmaps: Sequence[NDArray[np.float32]], boxes: Sequence[Box]
) -> tuple[list[NDArray[np.float32]], Box]:
    """Return heatmaps of one image over the part of it that all networks saw, and that part.

    The maps are (H, W) each over the networks' inputs, whose place in the image `boxes` are; the
    results are all as large as the largest.
    """
    edges = np.asarray(boxes)
    left, upper = (float(edge) for edge in edges[:, :2].max(axis=0))
    right, lower = (float(edge) for edge in edges[:, 2:].min(axis=0))
    shared = (left, upper, right, lower)
    height, width = (max(one.shape[axis] for one in heatmaps) for axis in (0, 1))
    return [
        _cut(one, box, shared, (width, height), Image.Resampling.BILINEAR)
        for one, box in zip(heatmaps, boxes, strict=True)
    ], shared


def share_outside(mask: Image.Image, box: Box) -> float:
    """Return the share of a lesion, white in a mask, that a network does not see: outside its box.

    In [0, 1]; NaN if the mask is empty.
    """
    lesion = np.asarray(mask.convert("L")) > 127
    left, right = _span(box[0], box[2], mask.width)
    upper, lower = _span(box[1], box[3], mask.height)
    total = int(lesion.sum())
    return 1 - int(lesion[upper:lower, left:right].sum()) / total if total else math.nan


def _span(low: float, high: float, pixels: int) -> tuple[int, int]:
    """Return the first pixel whose centre lies between two shares, and the one after the last."""
    first, stop = (math.ceil(round(edge * pixels - 0.5, EXACT)) for edge in (low, high))
    first = min(max(first, 0), pixels - 1)
    return first, max(min(stop, pixels), first + 1)


def _cut(
    heatmap: NDArray[np.float32],
    box: Box,
    part: Box,
    size: tuple[int, int],
    resample: Image.Resampling,
) -> NDArray[np.float32]:
    """Return (height, width) values of a part of the image out of a map that fills a box of it."""
    height, width = heatmap.shape
    corners = []
    for axis, pixels in enumerate((width, height, width, height)):
        low, high = box[axis % 2], box[axis % 2 + 2]
        place_in_map = (part[axis] - low) / (high - low) * pixels
        corners.append(min(max(place_in_map, 0.0), float(pixels)))
    values = Image.fromarray(np.asarray(heatmap, dtype=np.float32))
    return np.asarray(values.resize(size, resample, box=tuple(corners)))


def stretch(
    raw: NDArray[np.float32], terms: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return maps scaled to [0, 1] at the image's size, with the raw values of 0 and 1.

    Args:
        raw: (B, h, w) maps; what is below zero speaks against the class and is cut off.
        terms: (B, h, w) sums of the absolute values of what was added up: what is rounding error.
        size: H and W.

    Returns:
        (B, H, W), (B,) and (B,). A flat map is all zero: no place stands out.
    """
    positive = np.maximum(np.nan_to_num(raw), 0)
    # cv2's bilinear, as pytorch-grad-cam enlarges them.
    large = np.stack([cv2.resize(one, size[::-1]) for one in positive])
    lows, highs = large.min(axis=(1, 2)), large.max(axis=(1, 2))
    is_flat = highs - lows <= FLAT * terms.max(axis=(1, 2))
    return to_unit(large, lows, highs, is_flat), lows, highs


def to_unit(
    raw: NDArray[np.float32],
    lows: NDArray[np.float32],
    highs: NDArray[np.float32],
    is_flat: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return (…, H, W) in [0, 1] between (…) lows and highs; zero where it is flat."""
    ranges = np.where(is_flat, 1, highs - lows)[..., None, None]
    maps = np.where(is_flat[..., None, None], 0, (raw - lows[..., None, None]) / ranges)
    return np.clip(maps, 0, 1).astype(np.float32)


def to_grid(heatmap: NDArray[np.float32], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Return the (h, w) values of the cells that an (H, W) heatmap was enlarged from by `stretch`.

    Enlarging bilinearly is a linear map that loses nothing, so its pseudo-inverse gives the cells
    back as they were.
    """
    rows, columns = (
        np.linalg.pinv(cv2.resize(np.eye(cells, dtype=np.float32), (cells, pixels)))
        for cells, pixels in zip(grid, heatmap.shape, strict=True)
    )
    return np.asarray(rows @ heatmap @ columns.T, np.float32)


def find_flat(maps: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (…) whether (…, H, W) maps in [0, 1] are flat: no place stands out."""
    return np.asarray(maps.max(axis=(-2, -1)) == 0)
