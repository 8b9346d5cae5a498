"""Shifted and mirrored views of an image, whose heatmaps are aligned and averaged for a finer map.

The last feature map has about one cell per 32 pixels. A copy of the image that is shifted by a
fraction of a cell is sampled at other positions, so the mean over copies resolves more detail. The
heatmaps are averaged on their raw scale, without sharpening.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

SHIFT = 1 / 16  # of the side: a quarter of a cell at 128 pixels


@dataclass(frozen=True)
class View:
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
    down, right = _pixels(view.down, height), _pixels(view.right, width)
    padding = (abs(right), abs(right), abs(down), abs(down))
    padded = torch.nn.functional.pad(pixel_values, padding, mode="reflect")
    top, left = abs(down) + down, abs(right) + right
    moved = padded[..., top : top + height, left : left + width]
    return moved.flip(-1) if view.is_mirrored else moved


def lay_back(maps: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """Return (…, H, W) maps of a view in the image's coordinates; NaN outside the view."""
    height, width = maps.shape[-2:]
    upright = maps[..., ::-1] if view.is_mirrored else maps
    back = np.full(maps.shape, np.nan, np.float32)
    to_rows, from_rows = _overlap(_pixels(view.down, height), height)
    to_columns, from_columns = _overlap(_pixels(view.right, width), width)
    back[..., to_rows, to_columns] = upright[..., from_rows, from_columns]
    return back


def _pixels(steps: int, side: int) -> int:
    return steps * max(1, round(side * SHIFT))


def _overlap(shift: int, side: int) -> tuple[slice, slice]:
    """Return where in the image, and from where in the view, the shared part lies."""
    return (
        slice(max(0, shift), side + min(0, shift)),
        slice(max(0, -shift), side + min(0, -shift)),
    )
