"""From a raw map to one in [0, 1] at the image's size, enlarged as pytorch-grad-cam does it."""

import cv2
import numpy as np
from numpy.typing import NDArray

# A map whose range is below this share of what its sums are made of is rounding error: sums of
# float32 products that cancel are off by about 1e-6 of their terms.
FLAT = 1e-5


def stretch(
    raw: NDArray[np.float32], terms: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return maps in [0, 1] at the image's size, and what 0 and 1 stand for.

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
    """Return the values of the cells that a heatmap was enlarged from.

    Enlarging bilinearly is a linear map that loses nothing, so its pseudo-inverse gives the cells
    back as they were.

    Args:
        heatmap: (H, W), enlarged by `stretch`.
        grid: h and w of the feature map, at most H and W.

    Returns:
        (h, w)
    """
    rows, columns = (
        np.linalg.pinv(cv2.resize(np.eye(cells, dtype=np.float32), (cells, pixels)))
        for cells, pixels in zip(grid, heatmap.shape, strict=True)
    )
    return np.asarray(rows @ heatmap @ columns.T, np.float32)


def find_flat(maps: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (…) whether (…, H, W) maps in [0, 1] are flat: no place stands out."""
    return np.asarray(maps.max(axis=(-2, -1)) == 0)
