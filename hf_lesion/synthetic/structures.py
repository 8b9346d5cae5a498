"""Structures that several drawn diagnoses share: outline, areas, dots, streaks and vessels."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_lesion.synthetic.texture import Map, Patch, noise, rough_noise, smooth_step, spots, strokes


@dataclass
class Border:
    """A lesion's outline on a patch."""

    depth: Map  # (H, W): 0 on the outline, 1 at the centre, negative outside, in mean radii
    radius: float  # mean radius in units


def build_border(
    patch: Patch,
    radius: float,
    *,
    elongation: float,
    irregularity: float,
    ragged: float = 0.0,
    warp: float = 0.0,
) -> Border:
    """Build an outline: an ellipse with low-frequency noise in its polar radius.

    Args:
        patch: Where to draw; the lesion lies in its centre.
        radius: Mean radius in units.
        elongation: Long axis over short axis, at least 1.
        irregularity: 0 is an ellipse; 0.3 is deeply notched.
        ragged: How far the rim is moth-eaten at a small scale, in radii.
        warp: How far the whole shape is bent, in radii: bays and lobes without symmetry.
    """
    x, y = patch.coordinates()
    if warp:
        x = x + np.float32(warp * radius) * noise(patch, 0.8 * radius)
        y = y + np.float32(warp * radius) * noise(patch, 0.8 * radius)
    stretch = np.float32(math.sqrt(elongation))
    x, y = x / stretch, y * stretch
    angle = np.arctan2(y, x)
    outline = np.full(patch.shape, radius, np.float32)
    for waves in range(2, 9):
        strength = radius * irregularity * patch.rng.normal() / waves**1.1
        outline += np.float32(strength) * np.cos(
            np.float32(waves) * angle + np.float32(patch.rng.uniform(0, 2 * math.pi))
        )
    # Never so far out that the patch's edge cuts the lesion, never so deep that it falls apart.
    outline = np.clip(outline, np.float32(0.35 * radius), np.float32(1.45 * radius))
    depth = 1 - np.hypot(x, y) / outline
    if ragged:
        depth = depth + np.float32(ragged) * rough_noise(patch, max(4.0, radius / 4))
    return Border(depth.astype(np.float32), radius)


def cover_of(border: Border, softness: float) -> Map:
    """Return 1 within the lesion, 0 outside, (H, W), and a ramp `softness` radii to both sides."""
    return smooth_step(border.depth, -softness, softness)


def fade_out(patch: Patch) -> Map:
    """Return 1 on the patch and a fall to 0 at its edge, so that no lesion ends in a line."""
    x, y = patch.coordinates()
    margin = np.minimum(patch.width / 2 - np.abs(x), patch.height / 2 - np.abs(y))
    return smooth_step(margin, 0.5, 4.0)


def off_centre(patch: Patch, border: Border, share: float, *, softness: float = 0.2) -> Map:
    """Return one area of irregular shape to one side of the lesion, (H, W) in [0, 1].

    Args:
        patch: Where to draw.
        border: Of the lesion.
        share: Mean radius of the area, in radii of the lesion.
        softness: Of its edge, in radii.
    """
    x, y = patch.coordinates()
    turn = patch.rng.uniform(0, 2 * math.pi)
    away = patch.rng.uniform(0.2, 0.6) * border.radius
    distance = np.hypot(x - away * math.cos(turn), y - away * math.sin(turn)) / border.radius
    coarse = rough_noise(patch, border.radius / 1.8, 4)
    ragged = distance + np.float32(0.3 * share + 0.08) * coarse
    return smooth_step(-ragged, -share - softness, -share + softness)


def sometimes_absent(patch: Patch, cell: float) -> Map:
    """Return a strength, (H, W) in [0, 1], with which a structure comes and goes."""
    return smooth_step(rough_noise(patch, cell, 2), -1.2, 0.9)


def scatter(
    patch: Patch, border: Border, count: int | np.int64, *, rim: float
) -> NDArray[np.float64]:
    """Return (N, 2) random places, x and y in units, that lie deeper than `rim`; N <= count."""
    # Each place has tries of its own, so that one at the limit changes no other at another scale.
    # The depths asked for cover at least a tenth of the patch: 25 tries find enough places.
    tries = patch.rng.random((int(count), 25, 2))
    rows, columns = patch.shape
    column, row = np.moveaxis((tries * (columns, rows)).astype(int), -1, 0)
    inside = border.depth[row, column] > rim
    places = tries[np.arange(len(tries)), inside.argmax(axis=1)][inside.any(axis=1)]
    return (places - 0.5) * np.array([patch.width, patch.height])


def dots(
    patch: Patch,
    border: Border,
    count: int | np.int64,
    radii: tuple[float, float],
    *,
    rim: float,
    sharpness: float,
) -> Map:
    """Return up to `count` spots scattered over the lesion, (H, W) in [0, 1]; see `texture.spots`.

    `radii` is the range of their radii; they lie deeper than `rim`, in radii of the lesion.
    """
    places = scatter(patch, border, count, rim=rim)
    return spots(patch, places, patch.rng.uniform(*radii, len(places)), sharpness=sharpness)


def streaks(patch: Patch, border: Border) -> Map:
    """Return finger-like streaks that leave a part of the rim outwards, (H, W) in [0, 1]."""
    rng = patch.rng
    x, y = patch.coordinates()
    angle = np.arctan2(y, x) + np.float32(0.05) * noise(patch, 7)
    sector = np.cos(angle - np.float32(rng.uniform(-math.pi, math.pi)))
    sector = smooth_step(sector, rng.uniform(0.2, 0.8), 0.95)
    count = int(border.radius * 2 * math.pi / 3.5)
    place = (angle / np.float32(2 * math.pi) % 1) * count
    number = np.minimum(place.astype(np.intp), count - 1)
    reach = rng.uniform(0.0, 0.2, count).astype(np.float32)[number]
    finger = reach * np.clip(1.4 - 2.8 * np.abs(place - number - 0.5), 0, 1) ** 0.6
    tips = smooth_step(border.depth + finger * sector, -0.03, 0.08)
    return tips * sector * smooth_step(border.depth, 0.3, 0.05)


def vessels(patch: Patch, border: Border) -> Map:
    """Return branching vessels that run in from the rim, (H, W) in [0, 1]."""
    rng = patch.rng
    lines: list[NDArray[np.float64]] = []
    widths: list[float] = []
    for _ in range(rng.integers(2, 5)):
        turn = rng.uniform(0, 2 * math.pi)
        start = 0.95 * border.radius * np.array([math.cos(turn), math.sin(turn)])
        inward = turn + math.pi + rng.normal(0, 0.4)
        length = rng.uniform(0.7, 1.2) * border.radius
        _branch(rng, (start, inward, length, rng.uniform(1.2, 2.0)), lines, widths)
    return strokes(patch, lines, widths, taper=0.5) * smooth_step(border.depth, -0.3, 0.1)


def _branch(
    rng: np.random.Generator,
    stem: tuple[NDArray[np.float64], float, float, float],
    lines: list[NDArray[np.float64]],
    widths: list[float],
) -> None:
    """Add a vessel and its twigs; a stem is its start, heading, length and width."""
    start, heading, length, width = stem
    steps = max(4, round(length / 2))
    headings = heading + np.cumsum(rng.normal(0, 0.2, steps))
    moves = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / steps)
    line = np.concatenate([start[None], start + np.cumsum(moves, axis=0)])
    lines.append(line)
    widths.append(width)
    if width < 0.45:
        return
    for place in rng.integers(steps // 4, steps, size=rng.integers(2, 4)):
        side = rng.choice([-1, 1]) * rng.uniform(0.4, 0.9)
        twig = (line[place], headings[place] + side, length * 0.5, width * 0.6)
        _branch(rng, twig, lines, widths)
