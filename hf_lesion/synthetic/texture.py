"""Drawing primitives for synthetic skin: smooth noise, cells, spots and strokes.

Lengths are in units of 1/150 of the image's height, so that the same random numbers give the same
picture at every size.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Map = NDArray[np.float32]

# Standard deviation of white noise smoothed by a uniform cubic B-spline in two dimensions:
# the mean over a cell of the sum of squared weights is 151/315 per dimension.
SPLINE_STD = 151 / 315
STROKE_SUPERSAMPLE = 2


@dataclass(frozen=True)
class Patch:
    """A rectangle to be drawn on: its size in units and in pixels, and its random stream."""

    rng: np.random.Generator
    width: float
    height: float
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return round(self.height * self.scale), round(self.width * self.scale)

    def coordinates(self) -> tuple[Map, Map]:
        """Return x and y of every pixel's centre, (H, W) each, in units from the centre."""
        rows, columns = self.shape
        x = (np.arange(columns, dtype=np.float32) + 0.5) / self.scale - self.width / 2
        y = (np.arange(rows, dtype=np.float32) + 0.5) / self.scale - self.height / 2
        grid_x, grid_y = np.meshgrid(x, y)
        return grid_x.astype(np.float32), grid_y.astype(np.float32)


def noise(patch: Patch, cell: float) -> Map:
    """Return (H, W) smooth noise with features of `cell` units; mean 0, standard deviation 1."""
    rows, columns = patch.shape
    knots = _lattice(patch, cell)
    down = _spline_weights(rows, patch.scale * cell, knots[0])
    across = _spline_weights(columns, patch.scale * cell, knots[1])
    grid = patch.rng.standard_normal(knots, dtype=np.float32)
    return np.asarray(down @ grid @ across.T / np.float32(SPLINE_STD), np.float32)


def rough_noise(patch: Patch, cell: float, octaves: int = 3) -> Map:
    """Return noise with finer and weaker detail in each octave, standard deviation about 1."""
    total: Map = np.zeros(patch.shape, np.float32)
    for octave in range(octaves):
        total += noise(patch, cell / 2**octave) * np.float32(0.6**octave)
    return total / np.float32(math.sqrt(sum(0.36**octave for octave in range(octaves))))


def ridges(patch: Patch, cell: float, width: float) -> Map:
    """Return winding lines where noise passes through 0, (H, W) in [0, 1].

    The noise changes over `cell` units; lines are `width` of its standard deviations wide.
    """
    return np.exp(-((rough_noise(patch, cell, 2) / np.float32(width)) ** 2))


def wavy_lines(patch: Patch, angle: float, period: float, *, width: float = 0.09) -> Map:
    """Return roughly parallel lines that bend, appear and fade, (H, W) in [0, 1].

    `angle` (radians) is perpendicular to the lines, `period` their mean distance in units, `width`
    that of a line in periods.
    """
    x, y = patch.coordinates()
    bent = 0.8 * noise(patch, 14 * period) + 0.2 * noise(patch, 4 * period)
    place = (x * math.cos(angle) + y * math.sin(angle)) / np.float32(period) + bent
    place = place + np.float32(math.hypot(patch.width, patch.height) / period + 8)
    count = int(2 * math.hypot(patch.width, patch.height) / period) + 16
    number = np.clip(place, 1, count - 2).astype(np.intp)
    jitter = patch.rng.uniform(0.25, 0.75, count).astype(np.float32)
    strength = patch.rng.uniform(0.2, 1.0, count).astype(np.float32)
    away = (place - number - jitter[number]) / np.float32(width)
    broken = smooth_step(noise(patch, 3 * period), -1.2, 0.6)
    return np.exp(-(away**2)) * strength[number] * broken


def _lattice(patch: Patch, cell: float) -> tuple[int, int]:
    """Return rows and columns of a lattice with a margin; like all draws, independent of scale."""
    return math.ceil(patch.height / cell) + 4, math.ceil(patch.width / cell) + 4


@functools.lru_cache(maxsize=256)
def _spline_weights(pixels: int, cell_pixels: float, knots: int) -> Map:
    position = (np.arange(pixels) + 0.5) / cell_pixels
    away = np.abs(position[:, None] - (np.arange(knots) - 1)[None, :])
    near = 2 / 3 - away**2 + away**3 / 2
    far = np.clip(2 - away, 0, None) ** 3 / 6
    return np.where(away < 1, near, far).astype(np.float32)


def cells(patch: Patch, size: float, *, warp: float = 0.0) -> tuple[Map, Map, NDArray[np.intp]]:
    """Divide the patch into irregular cells around jittered grid points (Worley noise).

    The centres are `size` units apart on average; coordinates are bent by `warp` cells beforehand.

    Returns:
        (H, W) distances to the nearest and second nearest centre, in cells, and (H, W) the index of
        the nearest one.
    """
    x, y = patch.coordinates()
    x, y = (x + patch.width / 2) / size + 1, (y + patch.height / 2) / size + 1
    if warp:
        x, y = x + warp * noise(patch, 2.5 * size), y + warp * noise(patch, 2.5 * size)
    rows, columns = _lattice(patch, size)
    jitter = patch.rng.uniform(0.1, 0.9, (2, rows, columns)).astype(np.float32)
    centre_x = (jitter[0] + np.arange(columns, dtype=np.float32)).ravel()
    centre_y = (jitter[1] + np.arange(rows, dtype=np.float32)[:, None]).ravel()
    column = np.clip(x.astype(np.intp), 1, columns - 2)
    own = np.clip(y.astype(np.intp), 1, rows - 2) * columns + column
    first = np.full(patch.shape, np.inf, np.float32)
    second = first.copy()
    nearest = np.zeros(patch.shape, np.intp)
    for step in (down * columns + across for down in (-1, 0, 1) for across in (-1, 0, 1)):
        index = own + step
        away = (centre_x.take(index) - x) ** 2 + (centre_y.take(index) - y) ** 2
        np.copyto(nearest, index, where=away < first)
        second = np.minimum(np.maximum(away, first), second)
        first = np.minimum(away, first)
    return np.sqrt(first), np.sqrt(second), nearest


def network(patch: Patch, size: float, line: float = 0.22, *, warp: float = 0.15) -> Map:
    """Return a mesh of lines, (H, W) in [0, 1], like a pigment network.

    A mesh is `size` units wide; a line is `line` meshes wide, and bent by `warp` meshes.
    """
    first, second, _ = cells(patch, size, warp=warp)
    return np.exp(-(((second - first) / np.float32(line)) ** 2))


def clods(patch: Patch, size: float, filling: float, *, warp: float = 0.15) -> tuple[Map, Map]:
    """Return round clods on an irregular lattice, like globules, lacunae or follicles.

    They are `size` units apart on average; `filling` is their radius and `warp` the bend of the
    lattice, both relative to that distance. From a filling of 0.6 they touch.

    Returns:
        (H, W) values in [0, 1], high within a clod, and (H, W) shades in [0.4, 1.3], constant
        within a clod.
    """
    first, _, nearest = cells(patch, size, warp=warp)
    shades = patch.rng.uniform(0.4, 1.3, math.prod(_lattice(patch, size))).astype(np.float32)
    swollen = np.float32(filling) * (0.75 + 0.35 * shades[::-1][nearest])
    return np.exp(-((first / swollen) ** 4)), shades[nearest]


def spots(
    patch: Patch,
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
    *,
    sharpness: float = 2.0,
) -> Map:
    """Return round or oval spots, (H, W) in [0, 1].

    Centres are (N, 2) x and y from the patch's centre, radii (N,), both in units. A sharpness of 2
    is a soft Gaussian; 8 has a sharp rim.
    """
    x, y = patch.coordinates()
    total = np.zeros(patch.shape, np.float32)
    for (centre_x, centre_y), radius in zip(centres, radii, strict=True):
        stretch, turn = patch.rng.uniform(0.75, 1.3), patch.rng.uniform(0, math.pi)
        columns = slice(*_window(patch.width, patch.scale, centre_x, radius))
        rows = slice(*_window(patch.height, patch.scale, centre_y, radius))
        from_x, from_y = x[rows, columns] - centre_x, y[rows, columns] - centre_y
        along = (from_x * math.cos(turn) + from_y * math.sin(turn)) * stretch
        across = (from_y * math.cos(turn) - from_x * math.sin(turn)) / stretch
        squared = (along**2 + across**2) / radius**2
        spot = np.exp(-(squared ** (sharpness / 2)))
        total[rows, columns] = np.maximum(total[rows, columns], spot)
    return total


def _window(length: float, scale: float, centre: float, radius: float) -> tuple[int, int]:
    reach = 2.8 * radius
    start = math.floor((centre - reach + length / 2) * scale)
    end = math.ceil((centre + reach + length / 2) * scale)
    return max(0, start), max(0, end)


def strokes(
    patch: Patch, lines: Sequence[NDArray[np.float64]], widths: Sequence[float], *, taper: float = 0
) -> Map:
    """Return curved strokes, (H, W) in [0, 1].

    `lines` are (N, 2) points of each stroke, x and y in units from the centre; `widths` are those
    at their start, in units. With a `taper` of 0 they keep it, with 1 they end in a point.
    """
    rows, columns = patch.shape
    zoom = STROKE_SUPERSAMPLE
    sheet = Image.new("L", (columns * zoom, rows * zoom))
    pen = ImageDraw.Draw(sheet)
    for line, width in zip(lines, widths, strict=True):
        pixels = (line + np.array([patch.width, patch.height]) / 2) * patch.scale * zoom
        for index in range(len(pixels) - 1):
            left = 1 - taper * index / (len(pixels) - 1)
            thick = max(1.0, width * left * patch.scale * zoom)
            # Thinner than a pixel: fainter instead.
            shade = round(255 * min(1.0, width * left * patch.scale * zoom / thick))
            ends = [tuple(pixels[index]), tuple(pixels[index + 1])]
            pen.line(ends, fill=shade, width=round(thick))
    return np.asarray(sheet.reduce(zoom), np.float32) / np.float32(255)


def smooth_step(values: Map, start: float, end: float) -> Map:
    """Return 0 where `values` are beyond `start`, 1 beyond `end`, and a smooth ramp between."""
    ramp = np.clip((values - start) / (end - start), 0, 1)
    step: Map = ramp * ramp * (3 - 2 * ramp)
    return step
