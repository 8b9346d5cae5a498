"""Description of a set of images in words: dataset, number, resolution and geometry.

The description is derived from the stored files, not from the options of their preparation.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from hf_lesion.data.checksums import read_checksums
from hf_lesion.data.sources import MASK_ENDING
from hf_lesion.synthetic.dataset import is_synthetic

NAME = "HAM10000"
OFFICIAL_TEST_NAME = "official ISIC 2018 Task 3 test set"
CUT, SQUASHED, SQUARE = "centre square of the frame", "frame squashed to a square", "square images"
FRAME_RATIO = 4 / 3  # of every published image of HAM10000: 600×450 pixels
RATIO_TOLERANCE = 0.01  # 341×256 is 4:3 rounded to pixels
# Median horizontal relative to vertical spread of the lesions of HAM10000: 1.10 in whole frames,
# 1.08 in centre squares, 0.83 in frames squashed to a square.
SQUASHED_BELOW = 0.95
FEWEST_MASKS = 30
WHITE = 127  # grey levels above belong to the lesion


def describe_dataset(table: pd.DataFrame, *, cut: bool, official: bool = False) -> dict[str, Any]:
    """Describe the images of a prepared dataset.

    Args:
        table: One row per image: `image_id`, `width` and `height` (pixels), `spread` as from
            `measure_spread`.
        cut: Whether the images were cropped to the centre square in preparation.
        official: Whether they are the official test set.

    Returns:
        "description" in words, "sizes" ([width, height, images], the most frequent first) and
        "spread", the median over the lesions; None with fewer than `FEWEST_MASKS` masks.
    """
    spreads = table["spread"].astype(float).dropna()
    spread = float(spreads.median()) if len(spreads) >= FEWEST_MASKS else None
    sizes = list(zip(table["width"].astype(int), table["height"].astype(int), strict=True))
    ids = list(table["image_id"])
    otherwise = f"{format_count(ids)} in the layout of {NAME}"
    named = name_images(ids, official=official, otherwise=otherwise)
    # How square images of HAM10000 were made from its 4:3 frames, judged by the spread.
    square = CUT if cut else SQUARE
    if named.startswith(NAME) and not cut and spread is not None:
        square = SQUASHED if spread < SQUASHED_BELOW else CUT
    counted = Counter(sizes).most_common()
    return {
        "description": f"{named}, {describe_sizes(sizes, square=square)}",
        "sizes": [[width, height, images] for (width, height), images in counted],
        "spread": None if spread is None else round(spread, 3),
    }


def name_images(ids: Sequence[str], *, official: bool, otherwise: str) -> str:
    """Return the dataset that image_ids belong to (or `otherwise`), and their number."""
    if official:
        return f"{OFFICIAL_TEST_NAME}, {format_count(ids)}"
    published = {stem for stem in read_checksums() if not stem.endswith(MASK_ENDING)}
    if published.issuperset(ids):
        part = "all" if len(ids) == len(published) else f"{len(ids):,} of its"
        return f"{NAME}, {part} {len(published):,} images"
    return f"drawn sample set, {format_count(ids)}" if is_synthetic(ids) else otherwise


def format_count(ids: Sequence[str]) -> str:
    """Return the number of images as text."""
    return f"{len(ids):,} image{'' if len(ids) == 1 else 's'}"


def describe_sizes(sizes: Iterable[tuple[int, int]], *, square: str = SQUARE) -> str:
    """Return the resolution and geometry of images, (width, height) in pixels, as text."""
    counted = Counter(sizes).most_common()
    by_area = sorted((size for size, _ in counted), key=lambda size: (size[0] * size[1], size))
    (most, _), *others = counted
    resolution = _format_size(most)
    if others:
        resolution = (
            f"{len(counted)} sizes from {_format_size(by_area[0])} to "
            f"{_format_size(by_area[-1])} px, mostly {resolution}"
        )
    return f"{resolution} px, {_describe_geometry(counted, square)}"


def measure_spread(mask: Image.Image, size: tuple[int, int]) -> float | None:
    """Return the ratio of a lesion's standard deviations in x and y; None if either is zero.

    Args:
        mask: Grey levels, white = lesion; covers the whole image.
        size: Width and height of the image in pixels.
    """
    places = np.nonzero(np.asarray(mask) > WHITE)
    if not len(places[0]):
        return None
    down, across = (place.std() for place in places)
    if not across or not down:
        return None
    return float(across / down * (size[0] / mask.width) / (size[1] / mask.height))


def _describe_geometry(counted: Sequence[tuple[tuple[int, int], int]], square: str) -> str:
    ratios = [width / height for (width, height), _ in counted]
    if set(ratios) == {1}:
        return square
    if max(ratios) - min(ratios) > 2 * RATIO_TOLERANCE:
        return "frames of several proportions"
    is_published = abs(ratios[0] - FRAME_RATIO) <= RATIO_TOLERANCE
    return "whole frame (4:3)" if is_published else f"frames of {ratios[0]:.2f}:1"


def _format_size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
