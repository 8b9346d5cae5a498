"""Structures that several kinds of drawn lesion share: outline, rim, areas, streaks and vessels."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_lesion.synthetic.texture import Map, Patch, rough_noise, smooth_step, strokes


@dataclass(frozen=True)
class Border:
    """A lesion's outline on a patch."""

    depth: Map  # (H, W): 0 on the outline, 1 at the centre, negative outside, in mean radii
    radius: float  # mean radius in units


def build_border(
    patch: Patch, radius: float, *, elongation: float, irregularity: float, ragged: float = 0.0
) -> Border:
    """Draw an outline as an ellipse with low-frequency noise in its polar radius.

    Args:
        patch: Where to draw; the lesion lies in its centre.
        radius: Mean radius in units.
        elongation: Long axis over short axis, at least 1.
        irregularity: 0 is an ellipse; 0.3 is deeply notched.
        ragged: How far the rim is moth-eaten at a small scale, in radii.
    """
    x, y = patch.coordinates()
    stretch = np.float32(math.sqrt(elongation))
    x, y = x / stretch, y * stretch
    angle = np.arctan2(y, x)
    outline = np.full(patch.shape, radius, np.float32)
    for waves in range(2, 9):
        strength = radius * irregularity * patch.rng.normal() / waves**0.75
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


def frame(patch: Patch) -> Map:
    """Return 1 on the patch and a fall to 0 at its edge, so that no lesion ends in a line."""
    x, y = patch.coordinates()
    margin = np.minimum(patch.width / 2 - np.abs(x), patch.height / 2 - np.abs(y))
    return smooth_step(margin, 0.5, 4.0)


def off_centre(patch: Patch, border: Border, share: float) -> Map:
    """Return one soft-edged area to one side of the lesion, (H, W) in [0, 1]."""
    x, y = patch.coordinates()
    turn = patch.rng.uniform(0, 2 * math.pi)
    away = patch.rng.uniform(0.25, 0.6) * border.radius
    distance = np.hypot(x - away * math.cos(turn), y - away * math.sin(turn)) / border.radius
    ragged = distance + 0.14 * rough_noise(patch, border.radius / 2.5, 4)
    softness = patch.rng.uniform(0.08, 0.28)
    return smooth_step(-ragged, -share - softness, -share + softness)


def sometimes_absent(patch: Patch, cell: float) -> Map:
    """Return a strength, (H, W) in [0, 1], with which a structure comes and goes."""
    return smooth_step(rough_noise(patch, cell, 2), -1.2, 0.9)


def scatter(
    patch: Patch, border: Border, count: int | np.int64, *, rim: float
) -> NDArray[np.float64]:
    """Return (N, 2) random places, x and y in units, that lie deeper than `rim`; N <= count."""
    # The depths asked for cover at least a tenth of the patch: 25 tries find enough places.
    places = patch.rng.random((25 * count, 2))
    rows, columns = patch.shape
    column, row = (places * (columns, rows)).astype(int).T
    inside = places[border.depth[row, column] > rim][:count]
    return (inside - 0.5) * np.array([patch.width, patch.height])


def streaks(patch: Patch, border: Border) -> Map:
    """Return short radial streaks along a part of the rim, (H, W) in [0, 1]."""
    rng = patch.rng
    start, span = rng.uniform(0, 2 * math.pi), rng.uniform(0.8, 2.2)
    angles = start + np.linspace(0, span, max(4, int(span * border.radius / 4)))
    lines = []
    for angle in angles + rng.normal(0, 0.05, len(angles)):
        reach = border.radius * np.linspace(0.75, rng.uniform(1.02, 1.22), 5)
        lines.append(np.stack([reach * math.cos(angle), reach * math.sin(angle)], axis=1))
    return strokes(patch, lines, rng.uniform(1.2, 2.4, len(lines)).tolist(), taper=0.8)


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
        _branch(rng, (start, inward, length, rng.uniform(0.8, 1.4)), lines, widths)
    return strokes(patch, lines, widths, taper=0.5)


def _branch(
    rng: np.random.Generator,
    stem: tuple[NDArray[np.float64], float, float, float],
    lines: list[NDArray[np.float64]],
    widths: list[float],
) -> None:
    """Add a vessel and its twigs; a stem is its start, heading, length and width."""
    start, heading, length, width = stem
    steps = max(4, round(length / 2))
    headings = heading + np.cumsum(rng.normal(0, 0.16, steps))
    moves = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / steps)
    line = np.concatenate([start[None], start + np.cumsum(moves, axis=0)])
    lines.append(line)
    widths.append(width)
    if width < 0.5:
        return
    for place in rng.integers(steps // 4, steps, size=rng.integers(2, 4)):
        side = rng.choice([-1, 1]) * rng.uniform(0.4, 0.9)
        twig = (line[place], headings[place] + side, length * 0.5, width * 0.65)
        _branch(rng, twig, lines, widths)
