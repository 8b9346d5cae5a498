"""Descriptions of images for strangers: which dataset, how many, of what resolution and geometry.

Everything is read off the stored files; nothing is assumed from how a dataset is said to be made.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from hf_lesion.data.checksums import read_checksums
from hf_lesion.data.images import MASK_ENDING
from hf_lesion.synthetic.dataset import is_synthetic

NAME = "HAM10000"
OFFICIAL_TEST_NAME = "official ISIC 2018 Task 3 test set"
CUT, SQUASHED, SQUARE = "centre square of the frame", "frame squashed to a square", "square images"
FRAME_RATIO = 4 / 3  # of every published image of HAM10000: 600×450 pixels
RATIO_TOLERANCE = 0.01  # 341×256 is 4:3 rounded to pixels
# Lesions of HAM10000 spread 1.10 times as far across as down (median over the masks of the whole
# frames), 1.08 in their centre squares, 0.83 in frames squashed to a square.
SQUASHED_BELOW = 0.95
FEWEST_MASKS = 30
WHITE = 127  # grey levels above it are lesion


def describe_dataset(table: pd.DataFrame, *, cut: bool, official: bool = False) -> dict[str, Any]:
    """Return what a prepared dataset shows.

    Args:
        table: One row per image: `image_id`, `width` and `height` (pixels), `spread` as from
            `measure_spread`.
        cut: Whether the images were cut to their centre square here.
        official: Whether they are the official test set.

    Returns:
        "description" in words, "sizes" ([width, height, images], the most frequent first) and
        "spread", the median over the lesions; None where fewer than `FEWEST_MASKS` are known.
    """
    spreads = table["spread"].astype(float).dropna()
    spread = float(spreads.median()) if len(spreads) >= FEWEST_MASKS else None
    sizes = list(zip(table["width"].astype(int), table["height"].astype(int), strict=True))
    ids = list(table["image_id"])
    otherwise = f"{count_words(ids)} in the layout of {NAME}"
    named = name_images(ids, official=official, otherwise=otherwise)
    square = CUT if cut else _say_square(spread) if named.startswith(NAME) else SQUARE
    counted = Counter(sizes).most_common()
    return {
        "description": f"{named}, {say_sizes(sizes, square=square)}",
        "sizes": [[width, height, images] for (width, height), images in counted],
        "spread": None if spread is None else round(spread, 3),
    }


def name_images(ids: Sequence[str], *, official: bool, otherwise: str) -> str:
    """Return of which dataset images are, and how many.

    Args:
        ids: Their image_ids.
        official: Whether they are the official test set.
        otherwise: What to say of images that are neither that, of HAM10000 nor drawn.
    """
    if official:
        return f"{OFFICIAL_TEST_NAME}, {count_words(ids)}"
    published = {stem for stem in read_checksums() if not stem.endswith(MASK_ENDING)}
    if published.issuperset(ids):
        part = "all" if len(ids) == len(published) else f"{len(ids):,} of its"
        return f"{NAME}, {part} {len(published):,} images"
    return f"drawn sample set, {count_words(ids)}" if is_synthetic(ids) else otherwise


def count_words(ids: Sequence[str]) -> str:
    """Return how many images there are, in words."""
    return f"{len(ids):,} image{'' if len(ids) == 1 else 's'}"


def say_sizes(sizes: Iterable[tuple[int, int]], *, square: str = SQUARE) -> str:
    """Return resolution and geometry of images in words.

    Args:
        sizes: Width and height of each in pixels.
        square: What to say of images that are square.
    """
    counted = Counter(sizes).most_common()
    by_area = sorted((size for size, _ in counted), key=lambda size: (size[0] * size[1], size))
    (most, _), *others = counted
    resolution = _say_size(most)
    if others:
        resolution = (
            f"{len(counted)} sizes from {_say_size(by_area[0])} to {_say_size(by_area[-1])} px, "
            f"mostly {resolution}"
        )
    return f"{resolution} px, {_say_geometry(counted, square)}"


def measure_spread(mask: Image.Image, size: tuple[int, int]) -> float | None:
    """Return how far a lesion spreads across, as a multiple of how far it spreads down.

    Args:
        mask: Grey, white = lesion; shows the whole image.
        size: Width and height of the image in pixels.

    Returns:
        The ratio of standard deviations of its pixels' places; None for a mask without any extent.
    """
    inside = np.asarray(mask) > WHITE
    across, down = (_deviation(inside.sum(axis=axis)) for axis in (0, 1))
    if not across or not down:
        return None
    return float(across / down * (size[0] / mask.width) / (size[1] / mask.height))


def _say_square(spread: float | None) -> str:
    """Return what square images of HAM10000 are, whose frames are wider than high."""
    if spread is None:
        return SQUARE
    return SQUASHED if spread < SQUASHED_BELOW else CUT


def _say_geometry(counted: Sequence[tuple[tuple[int, int], int]], square: str) -> str:
    squares = sum(images for (width, height), images in counted if width == height)
    total = sum(images for _, images in counted)
    if squares == total:
        return square
    ratios = [width / height for (width, height), _ in counted if width != height]
    if max(ratios) - min(ratios) > 2 * RATIO_TOLERANCE:
        frames = "frames of several proportions"
    elif abs(ratios[0] - FRAME_RATIO) <= RATIO_TOLERANCE:
        frames = "whole frame (4:3)"
    else:
        frames = f"frames of {ratios[0]:.2f}:1"
    return frames if not squares else f"{squares:,} of them square ({square}), the others {frames}"


def _say_size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _deviation(counts: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    """Return the standard deviation of places, given how often each occurs."""
    total = counts.sum()
    if not total:
        return 0.0
    places = np.arange(len(counts))
    mean = (counts * places).sum() / total
    return float(np.sqrt((counts * (places - mean) ** 2).sum() / total))
