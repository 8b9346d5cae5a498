"""Shifted and mirrored views of an image, whose heatmaps are aligned and averaged for a finer map.

The last feature map has about one cell per 32 pixels. A copy of the image that is shifted by a
fraction of a cell is sampled at other positions, so the mean over copies resolves more detail. The
heatmaps are averaged on their raw scale, without sharpening.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

SHIFT = 1 / 16  # of the side: a quarter of a cell at 128 pixels


class View(NamedTuple):
    """A view: the image shifted by `right` and `down` times `SHIFT`, then optionally mirrored."""

    right: int
    down: int
    is_mirrored: bool


VIEWS = tuple(
    View(right, down, is_mirrored)
    for is_mirrored in (False, True)
    for down in (-1, 1)
    for right in (-1, 1)
)


def show(pixel_values: torch.Tensor, view: View) -> torch.Tensor:
    """Return (B, 3, H, W) images as a view shows them, with reflected borders."""
    height, width = pixel_values.shape[-2:]
    down, right = _steps(height), _steps(width)
    padding = (right, right, down, down)
    padded = torch.nn.functional.pad(pixel_values, padding, mode="reflect")
    top, left = down * (1 + view.down), right * (1 + view.right)
    moved = padded[..., top : top + height, left : left + width]
    return moved.flip(-1) if view.is_mirrored else moved


def lay_back(maps: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """Return (…, H, W) maps of a view in the image's coordinates; NaN outside the view."""
    height, width = maps.shape[-2:]
    down, right = _steps(height), _steps(width)
    padding = [(0, 0)] * (maps.ndim - 2) + [(down, down), (right, right)]
    upright = maps[..., ::-1] if view.is_mirrored else maps
    padded = np.pad(upright, padding, constant_values=np.nan)
    top, left = down * (1 - view.down), right * (1 - view.right)
    return padded[..., top : top + height, left : left + width]


def _steps(side: int) -> int:
    return max(1, round(side * SHIFT))
