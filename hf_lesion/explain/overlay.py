"""Overlays: a colour-mapped heatmap blended over its image, or on its own in the same place."""

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.explain.placement import place, to_grid
from hf_lesion.io.decoding import Source, load_image
from hf_lesion.models.preprocessing import Box, seen_box

COLOUR_MAPS = ("inferno", "turbo")
COLOUR_MAP = COLOUR_MAPS[0]
OPACITY = 0.75
UNSEEN = 0.4  # of its brightness is left to what the network did not see
FAINTEST, STEEPNESS = 0.3, 0.7  # values below the first are not coloured


def overlay(
    image: Source,
    heatmap: NDArray[np.float32],
    box: Box | None = None,
    *,
    opacity: float = OPACITY,
    colours: str = COLOUR_MAP,
    grid: tuple[int, int] | None = None,
) -> Image.Image:
    """Return the upright image with a heatmap in colour over the part that the network received.

    Opacity increases with the map; below `FAINTEST` the image keeps its own colours. Parts
    outside the network's input are dark and grey.

    Args:
        image: An image of any size, mode and orientation, as for `explain`.
        heatmap: (H, W) in [0, 1] over the network's input.
        box: The part of the image that fills the input, as in `Explanation.boxes`; None for the
            centre square, the default preprocessing.
        opacity: Opacity of the colours where the map is 1, in [0, 1]; 0 returns the image.
        colours: One of `COLOUR_MAPS`: matplotlib's inferno has even steps to the eye and is
            readable in grey and by colour-blind readers; turbo looks like most published heatmaps.
        grid: Height and width of the feature map that the heatmap was enlarged from: its cells are
            then joined by a bicubic surface rather than by straight lines.
    """
    picture = load_image(image)
    placed = _place(heatmap, box, picture.size, grid)
    strength = np.clip((np.nan_to_num(placed) - FAINTEST) / (1 - FAINTEST), 0, 1) ** STEEPNESS
    weight = Image.fromarray(np.round(255 * opacity * strength).astype(np.uint8))
    coloured = Image.composite(_colour(placed, colours), picture, weight)
    grey = picture.convert("L").point(lambda value: UNSEEN * value).convert("RGB")
    unseen = Image.blend(picture, grey, min(1.0, opacity / OPACITY))
    return Image.composite(unseen, coloured, Image.fromarray(np.isnan(placed)))


def draw_map(
    heatmap: NDArray[np.float32],
    size: tuple[int, int],
    box: Box | None = None,
    *,
    colours: str = COLOUR_MAP,
    grid: tuple[int, int] | None = None,
) -> Image.Image:
    """Return a heatmap alone in colour, as large as its image; black outside the input.

    Arguments are as for `overlay`; `size` is the width and height of the image in pixels.
    """
    placed = _place(heatmap, box, size, grid)
    seen = Image.fromarray(~np.isnan(placed))
    return Image.composite(_colour(placed, colours), Image.new("RGB", size), seen)


def _place(
    heatmap: NDArray[np.float32],
    box: Box | None,
    size: tuple[int, int],
    grid: tuple[int, int] | None,
) -> NDArray[np.float32]:
    cells = heatmap if grid is None else to_grid(heatmap, grid)
    return place(cells, box or seen_box("centre", size), size)


def _colour(placed: NDArray[np.float32], colours: str) -> Image.Image:
    values = np.clip(np.nan_to_num(placed), 0, 1)
    return Image.fromarray(matplotlib.colormaps[colours](values, bytes=True)[..., :3])
