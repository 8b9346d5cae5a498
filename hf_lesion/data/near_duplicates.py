"""Finding images that show the same skin under different lesion_ids.

Two steps, since neither suffices alone. A perceptual hash (Zauner, "Implementation and benchmarking
of perceptual image hash functions", 2010; by the `imagehash` library) is quick but takes any two
small dark spots for one. So the pairs with close hashes are compared in their fine detail, by
normalised cross-correlation over all shifts.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

HASH_SIDE = 16
HASH_BITS = HASH_SIDE**2
HASH_IMAGE = (64, 64)  # pixels; the library's own reduction for this hash
# Both limits were chosen by looking at HAM10000's closest pairs, so they say nothing on how many
# duplicates stay unseen. Of 256 bits, unrelated images differ in 128 ± 14. Five pairs that show the
# same skin differ in 16 to 76; so does one unrelated pair in 4,400.
HASH_DISTANCE = 76
# The five correlate by 0.73 to 0.98; of the 11,400 other pairs within the distance two reach 0.70,
# the higher 0.72. Every reported pair is for a person to look at.
DETAIL_CORRELATION = 0.70
MOST_CANDIDATES = 20_000  # keeps memory and time bounded on larger sets; HAM10000 has 11,400
BLOCK = 2048  # rows of the distance matrix at once: 16 MB

DETAIL_SIZE = (128, 96)  # pixels: a third less than the smallest copies of HAM10000
FINE, COARSE, NEIGHBOURHOOD = 0.7, 3.0, 5.0  # pixels: standard deviations of Gaussians
NOISE = 1.5  # grey levels: contrast below it is no detail

# The frame's own symmetries: a quarter turn would change its shape.
TURNS: tuple[Callable[[NDArray[np.float32]], NDArray[np.float32]], ...] = (
    lambda pixels: pixels,
    lambda pixels: pixels[:, ::-1],
    lambda pixels: pixels[::-1],
    lambda pixels: pixels[::-1, ::-1],
)
TURN_NAMES = ("same way up", "mirrored", "upside down", "turned by 180°")


@dataclass(frozen=True)
class Candidate:
    """Two images, by their number, whose hashes are close; `turn` is an index into `TURNS`."""

    first: int
    second: int
    turn: int
    distance: int


@dataclass(frozen=True)
class Candidates:
    """The closest pairs, and how many more were within the distance but left out."""

    pairs: tuple[Candidate, ...]
    left_out: int


@dataclass(frozen=True)
class NearDuplicate:
    """Two images that show the same skin: `distance` in bits, `correlation` in [-1, 1]."""

    first: int
    second: int
    turn: int
    distance: int
    correlation: float


def hash_image(image: Image.Image) -> NDArray[np.uint8]:
    """Return the perceptual hashes of an image, of its mirror images and of its half turn.

    Args:
        image: Any size and mode.

    Returns:
        (4, 32) bytes: 256 bits for each of `TURNS`.
    """
    pixels = np.asarray(image.convert("L").resize(HASH_IMAGE, Image.Resampling.LANCZOS))
    turned = [Image.fromarray(np.ascontiguousarray(turn(pixels))) for turn in TURNS]
    bits = [imagehash.phash(picture, hash_size=HASH_SIDE).hash.ravel() for picture in turned]
    return np.packbits(np.stack(bits), axis=1)


def find_candidates(
    hashes: NDArray[np.uint8], groups: NDArray[np.int64], contents: NDArray[np.int64]
) -> Candidates:
    """Return the pairs of images with close hashes, the closest first, each pair once.

    Args:
        hashes: (N, 4, 32) as from `hash_image`.
        groups: (N,) numbers of the lesions: pairs within one are left out.
        contents: (N,) numbers of the files' contents: pairs of identical files are left out.
    """
    kept = np.empty((0, 4), dtype=np.int64)  # first, second, turn, distance
    seen = 0
    for block in _close_pairs(hashes):
        first, second = block[:, 0], block[:, 1]
        other = (groups[first] != groups[second]) & (contents[first] != contents[second])
        seen += int(other.sum())
        kept = np.concatenate([kept, block[other]])
        if len(kept) > 2 * MOST_CANDIDATES:
            kept = _closest(kept)
    kept = _closest(kept)
    return Candidates(tuple(Candidate(*map(int, row)) for row in kept), seen - len(kept))


def extract_detail(image: Image.Image) -> NDArray[np.float32]:
    """Return an image's fine structure with its contrast evened out and its border faded.

    Args:
        image: Any size and mode.

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
    """Return the highest correlation of two details over all shifts, in [-1, 1]."""
    spectrum = np.fft.rfft2(first) * np.conj(np.fft.rfft2(second))
    return float(np.fft.irfft2(spectrum, s=first.shape).max())


def confirm(
    candidates: Iterable[Candidate], detail_of: Callable[[int], NDArray[np.float32]]
) -> list[NearDuplicate]:
    """Return the candidates whose fine detail agrees, the surest first.

    Args:
        candidates: Pairs with close hashes.
        detail_of: Gives the detail of an image by its number, as from `extract_detail`.
    """
    found = []
    for pair in candidates:
        correlation = correlate(detail_of(pair.first), TURNS[pair.turn](detail_of(pair.second)))
        if correlation >= DETAIL_CORRELATION:
            found.append(
                NearDuplicate(pair.first, pair.second, pair.turn, pair.distance, correlation)
            )
    return sorted(found, key=lambda pair: (-pair.correlation, pair.first, pair.second))


def _close_pairs(hashes: NDArray[np.uint8]) -> Iterator[NDArray[np.int64]]:
    """Yield (K, 4) blocks of first < second, the turn that brings them closest, the distance."""
    for row in range(0, len(hashes), BLOCK):
        ones = _signs(hashes[row : row + BLOCK, 0])
        for column in range(row, len(hashes), BLOCK):
            others = hashes[column : column + BLOCK]
            distances = np.stack([_distances(ones, _signs(others[:, t])) for t in range(4)])
            turn, least = distances.argmin(axis=0), distances.min(axis=0)
            first, second = np.nonzero(least <= HASH_DISTANCE)
            once = first + row < second + column
            first, second = first[once], second[once]
            places = (first + row, second + column, turn[first, second], least[first, second])
            yield np.stack(places, axis=1).astype(np.int64)


def _signs(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1


def _distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.int16]:
    # The product of signs counts equal minus unequal bits.
    return ((HASH_BITS - first @ second.T) / 2).astype(np.int16)


def _closest(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.lexsort((pairs[:, 1], pairs[:, 0], pairs[:, 3]))
    return pairs[order[:MOST_CANDIDATES]]
