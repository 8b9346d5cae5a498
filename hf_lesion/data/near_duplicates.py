"""Near-duplicates: images that show the same skin under different lesion_ids.

The search has two steps. A perceptual hash (Zauner, "Implementation and benchmarking of perceptual
image hash functions", 2010; computed by the `imagehash` library) is fast but confuses lesions of
similar shape. Pairs with close hashes are therefore compared in their fine detail, by normalised
cross-correlation over all shifts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

HASH_SIDE = 16
HASH_BITS = HASH_SIDE**2
HASH_IMAGE = (64, 64)  # pixels; the size to which `imagehash` reduces images for this hash
# Both limits were chosen by inspecting the closest pairs of HAM10000; the recall is unknown. Of 256
# bits, unrelated images differ in 128 ± 14. Five pairs that show the same skin differ in 16 to 76,
# as does one unrelated pair in 4,400.
HASH_DISTANCE = 76
# The correlation of the five pairs is 0.73 to 0.98; of the 11,400 other pairs within the distance
# two reach 0.70 (at most 0.72). Reported pairs are meant to be reviewed by a person.
DETAIL_CORRELATION = 0.70
MOST_CANDIDATES = 20_000  # bounds the time on larger sets; HAM10000 has 11,400
BLOCK = 2048  # rows of the distance matrix computed at once: 16 MB

DETAIL_SIZE = (128, 96)  # pixels (width, height); smaller than every copy of HAM10000
FINE, COARSE, NEIGHBOURHOOD = 0.7, 3.0, 5.0  # pixels: standard deviations of Gaussians
NOISE = 1.5  # grey levels; contrast below it is treated as noise

# The symmetries of a rectangular frame; a quarter turn would change its shape.
ORIENTATIONS: tuple[Callable[[NDArray[np.float32]], NDArray[np.float32]], ...] = (
    lambda pixels: pixels,
    lambda pixels: pixels[:, ::-1],
    lambda pixels: pixels[::-1],
    lambda pixels: pixels[::-1, ::-1],
)
ORIENTATION_NAMES = ("same way up", "mirrored", "upside down", "turned by 180°")


@dataclass(frozen=True)
class Candidate:
    """A pair of row numbers with close hashes.

    `orientation` is an index into `ORIENTATIONS`, `distance` is in bits.
    """

    first: int
    second: int
    orientation: int
    distance: int


@dataclass(frozen=True)
class NearDuplicate(Candidate):
    """A pair of images that show the same skin; `correlation` of their details in [-1, 1]."""

    correlation: float


def hash_image(image: Image.Image) -> NDArray[np.uint8]:
    """Return (4, 32) bytes: a perceptual hash of 256 bits for each of `ORIENTATIONS`."""
    pixels = np.asarray(image.convert("L").resize(HASH_IMAGE, Image.Resampling.LANCZOS))
    turned = [Image.fromarray(np.ascontiguousarray(turn(pixels))) for turn in ORIENTATIONS]
    bits = [imagehash.phash(picture, hash_size=HASH_SIDE).hash.ravel() for picture in turned]
    return np.packbits(np.stack(bits), axis=1)


def find_candidates(
    hashes: NDArray[np.uint8], groups: NDArray[np.int64], contents: NDArray[np.int64]
) -> tuple[list[Candidate], int]:
    """Return the pairs with close hashes, the closest first, and how many more were dropped.

    Args:
        hashes: (N, 4, 32) as from `hash_image`.
        groups: (N,) index of the lesion of each image; pairs within one lesion are excluded.
        contents: (N,) index of the file content; pairs of identical files are excluded.
    """
    pairs = np.concatenate(list(_close_pairs(hashes)))
    first, second = pairs[:, 0], pairs[:, 1]
    pairs = pairs[(groups[first] != groups[second]) & (contents[first] != contents[second])]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], pairs[:, 3]))[:MOST_CANDIDATES]
    return [Candidate(*map(int, row)) for row in pairs[order]], len(pairs) - len(order)


def extract_detail(image: Image.Image) -> NDArray[np.float32]:
    """Return the fine structure of an image, with local contrast normalised and a Hann window.

    Returns:
        (96, 128) with mean 0 and norm 1; all zero for an image without detail.
    """
    resized = image.convert("L").resize(DETAIL_SIZE, Image.Resampling.LANCZOS)
    grey = np.asarray(resized, dtype=np.float32)
    fine = gaussian_filter(grey, FINE) - gaussian_filter(grey, COARSE)
    contrast = np.sqrt(gaussian_filter(fine**2, NEIGHBOURHOOD))
    height, width = grey.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    even = fine / (contrast + NOISE) * window
    even -= even.mean()
    norm = np.linalg.norm(even)
    return np.asarray(even / norm if norm > 0 else even * 0, dtype=np.float32)


def correlate(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the maximum correlation of two details over all shifts, in [-1, 1]."""
    spectrum = np.fft.rfft2(first) * np.conj(np.fft.rfft2(second))
    return float(np.fft.irfft2(spectrum, s=first.shape).max())


def confirm_candidates(
    candidates: Iterable[Candidate], details: Mapping[int, NDArray[np.floating]]
) -> list[NearDuplicate]:
    """Return the candidates whose fine detail correlates, the highest correlation first.

    `details` are those of the images by row number, as from `extract_detail`.
    """
    found = []
    for pair in candidates:
        turn = ORIENTATIONS[pair.orientation]
        one, other = (details[n].astype(np.float32) for n in (pair.first, pair.second))
        correlation = correlate(one, turn(other))
        if correlation >= DETAIL_CORRELATION:
            found.append(NearDuplicate(**vars(pair), correlation=correlation))
    return sorted(found, key=lambda pair: (-pair.correlation, pair.first, pair.second))


def _close_pairs(hashes: NDArray[np.uint8]) -> Iterator[NDArray[np.int64]]:
    """Yield (K, 4) blocks of first < second, the closest orientation and its distance in bits."""
    for row in range(0, len(hashes), BLOCK):
        ones = _signs(hashes[row : row + BLOCK, 0])
        for column in range(row, len(hashes), BLOCK):
            others = hashes[column : column + BLOCK]
            distances = np.stack([_distances(ones, _signs(others[:, t])) for t in range(4)])
            closest, least = distances.argmin(axis=0), distances.min(axis=0)
            first, second = np.nonzero(least <= HASH_DISTANCE)
            once = first + row < second + column
            first, second = first[once], second[once]
            places = (first + row, second + column, closest[first, second], least[first, second])
            yield np.stack(places, axis=1).astype(np.int64)


def _signs(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1


def _distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.int16]:
    # The inner product of signs is the number of equal bits minus the number of unequal bits.
    return ((HASH_BITS - first @ second.T) / 2).astype(np.int16)
