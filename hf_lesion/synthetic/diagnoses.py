"""The seven diagnoses as drawn lesions, with the structures that dermatologists look for.

Source of the criteria: Kittler et al., "Standardization of terminology in dermoscopy", J Am Acad
Dermatol 74:1093-1106 (2016). The drawings are for testing and illustration, not for teaching
dermoscopy.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hf_lesion.synthetic.layers import Layers
from hf_lesion.synthetic.texture import (
    Map,
    Patch,
    clods,
    network,
    noise,
    ridges,
    rough_noise,
    smooth_step,
    spots,
    strokes,
)


@dataclass
class Border:
    """A lesion's outline on a patch."""

    depth: Map  # (H, W): 0 on the outline, 1 at the centre, negative outside, in mean radii
    radius: float  # mean radius in units


@dataclass(frozen=True)
class Outline:
    """Shape of the border of one diagnosis."""

    irregularity: float  # 0 is an ellipse; 0.3 is deeply notched
    ragged: float  # depth of small notches in the rim, in radii
    warp: float  # bend of the whole shape, in radii; gives asymmetric bays and lobes


OUTLINES = {
    "akiec": Outline(0.16, 0.14, 0.10),
    "bcc": Outline(0.12, 0.06, 0.08),
    "bkl": Outline(0.10, 0.07, 0.06),
    "df": Outline(0.06, 0.06, 0.05),
    "mel": Outline(0.16, 0.10, 0.24),
    "nv": Outline(0.06, 0.04, 0.05),
    "vasc": Outline(0.10, 0.03, 0.06),
}


def paint_diagnosis(
    dx: str, patch: Patch, *, radius: float, elongation: float
) -> tuple[Layers, Map]:
    """Paint a random lesion of one of `labels.CODES` in the centre of a patch.

    Its mean `radius` is in units; `elongation` is long axis over short axis, at least 1.

    Returns:
        The layers, and the (H, W) depth below the rim in radii: positive inside the lesion.
    """
    outline = OUTLINES[dx]
    # The irregularity varies from lesion to lesion, so that the diagnoses overlap in it.
    vary = patch.rng.uniform(0.6, 1.3)
    border = _build_border(patch, radius, elongation=elongation, outline=outline, vary=vary)
    layers = PAINTERS[dx](patch, border)
    # Any lesion may be a little inflamed around, and is grainy within.
    inflamed = patch.rng.uniform(0.0, 0.18) * smooth_step(border.depth, -0.5, 0.1)
    layers.blood += inflamed * (1 + 0.4 * rough_noise(patch, 8))
    layers.melanin *= 1 + 0.05 * rough_noise(patch, 1.4, 2)
    inside = fade_out(patch)
    for field in fields(Layers):
        layer = getattr(layers, field.name) * inside
        setattr(layers, field.name, layer if field.name == "height" else np.clip(layer, 0, None))
    return layers, border.depth


def _nv(patch: Patch, border: Border) -> Layers:
    """Even brown and symmetric, with a regular network or globules; the edge fades."""
    rng, layers = patch.rng, Layers.empty(patch)
    cover = _cover_of(border, rng.uniform(0.1, 0.28))
    tone = rng.uniform(0.22, 0.6) * (1 + 0.18 * rough_noise(patch, border.radius / 2.5))
    tone += rng.uniform(-0.08, 0.35) * smooth_step(border.depth, 0.1, 0.8)
    kind, strength = rng.random(), rng.uniform(0.45, 0.85)
    if kind < 0.55:
        mesh = network(patch, rng.uniform(3.4, 4.8), rng.uniform(0.24, 0.36))
        # The lines thin out at the edge, and are hidden by the even brown of the centre.
        mesh *= smooth_step(border.depth, -0.12, 0.25)
        mesh *= 1 - rng.uniform(0.2, 0.8) * smooth_step(border.depth, 0.45, 0.95)
        detail = mesh * (0.75 + 0.25 * _sometimes_absent(patch, 12))
    elif kind < 0.85:
        globules, shades = clods(patch, rng.uniform(3.2, 4.8), rng.uniform(0.36, 0.46))
        detail = cover * globules * (0.4 + 0.6 * shades)
    else:
        detail = cover * 0.35 * rough_noise(patch, 5)
    layers.melanin = cover * (tone + 0.08 * rough_noise(patch, 3.5))
    layers.melanin += strength * detail
    layers.blood = cover * rng.uniform(0.05, 0.35)
    pale = _dots(patch, border, rng.integers(0, 12), (0.8, 1.6), rim=0.1, sharpness=3)
    layers.melanin *= 1 - 0.5 * pale
    return layers


def _mel(patch: Patch, border: Border) -> Layers:
    """Several colours, asymmetric: dark blotches, veil, regression, red, dots and streaks."""
    rng, layers = patch.rng, Layers.empty(patch)
    cover = _cover_of(border, rng.uniform(0.05, 0.16))
    patchy = rough_noise(patch, border.radius * rng.uniform(0.4, 0.7), 5)
    tone = np.clip(rng.uniform(0.35, 0.75) + 0.3 * patchy, 0.1, None)
    mesh = network(patch, rng.uniform(3.8, 5.6), rng.uniform(0.28, 0.45), warp=0.3)
    mesh *= smooth_step(rough_noise(patch, border.radius / 2, 3), -0.6, 1.0)
    layers.melanin = cover * tone + rng.uniform(0.4, 0.9) * mesh * _cover_of(border, 0.12)
    for _ in range(int(rng.integers(2, 4))):
        blotch = _off_centre(patch, border, rng.uniform(0.25, 0.5), softness=0.1)
        layers.melanin += cover * blotch * rng.uniform(0.5, 1.4)
    _paint_regression(patch, border, layers, cover)
    veil = _off_centre(patch, border, rng.uniform(0.25, 0.5), softness=0.3) * (rng.random() < 0.85)
    # Smoky: it thins out and gathers, and is never a disc.
    veil = cover * veil * np.clip(0.7 + 0.7 * rough_noise(patch, border.radius / 3, 4), 0, 1.4)
    layers.veil += veil * rng.uniform(0.35, 0.8)
    layers.white = np.maximum(layers.white, veil * rng.uniform(0.12, 0.3))
    layers.melanin *= 1 - 0.35 * veil
    red = _off_centre(patch, border, rng.uniform(0.25, 0.5), softness=0.3) * rng.uniform(0.1, 0.6)
    layers.blood = cover * (rng.uniform(0.05, 0.3) + red)
    dotted = _dots(patch, border, rng.integers(8, 30), (0.5, 1.7), rim=-0.08, sharpness=4)
    layers.melanin += dotted * rng.uniform(0.5, 1.2)
    if rng.random() < 0.6:
        rays = _streaks(patch, border)
        layers.melanin = np.maximum(layers.melanin, rng.uniform(0.8, 1.6) * rays)
        layers.blood = np.maximum(layers.blood, 0.2 * rays)
    return layers


def _paint_regression(patch: Patch, border: Border, layers: Layers, cover: Map) -> None:
    """Replace a part of a melanoma by a white scar with grey peppering."""
    rng = patch.rng
    if rng.random() < 0.35:
        return
    scar = cover * _off_centre(patch, border, rng.uniform(0.2, 0.42), softness=0.25)
    scar *= np.clip(1 + 0.4 * rough_noise(patch, border.radius / 4, 3), 0, 1.2)
    layers.melanin *= np.clip(1 - 0.9 * scar, 0, 1)
    layers.white = scar * rng.uniform(0.18, 0.42)
    pepper = _dots(patch, border, 70, (0.4, 0.7), rim=0.0, sharpness=2)
    layers.veil = scar * (rng.uniform(0.05, 0.25) + rng.uniform(0.3, 0.7) * pepper)


def _bkl(patch: Patch, border: Border) -> Layers:
    """Sharply bordered and waxy, with cysts, comedo-like openings and brain-like ridges."""
    rng, layers = patch.rng, Layers.empty(patch)
    cover = _cover_of(border, rng.uniform(0.025, 0.06))
    fissures = ridges(patch, rng.uniform(4.5, 8), rng.uniform(0.25, 0.5))
    fissures *= _sometimes_absent(patch, border.radius / 1.5)
    patchy = rough_noise(patch, border.radius / 2, 4)
    tone = rng.uniform(0.35, 0.85) * np.clip(1 + rng.uniform(0.15, 0.4) * patchy, 0.3, None)
    layers.melanin = cover * (tone + rng.uniform(0.2, 0.5) * fissures)
    layers.melanin += cover * 0.12 * rough_noise(patch, 2.2, 2)
    layers.yellow = cover * rng.uniform(0.1, 0.3) * np.clip(1 - fissures, 0, 1)
    layers.veil = cover * rng.choice([0.0, rng.uniform(0.05, 0.25)])
    # Stuck on: a raised rim, and gyri between the fissures.
    layers.height = 0.8 * cover + cover * (0.3 * patchy - 0.6 * fissures)
    layers.height += 0.06 * cover * rough_noise(patch, 1.8, 2)
    milia = _dots(patch, border, rng.integers(8, 30), (0.6, 1.8), rim=0.1, sharpness=2.6)
    layers.white = cover * milia * rng.uniform(0.5, 0.8)
    layers.melanin *= 1 - 0.6 * milia
    plugs = _dots(patch, border, rng.integers(5, 22), (0.8, 2.2), rim=0.1, sharpness=4)
    layers.melanin += plugs * rng.uniform(0.7, 1.3)
    layers.yellow *= 1 - plugs
    return layers


def _bcc(patch: Patch, border: Border) -> Layers:
    """Pink and translucent, with branching vessels, blue-grey nests and at times an ulcer."""
    rng, layers = patch.rng, Layers.empty(patch)
    cover = _cover_of(border, rng.uniform(0.1, 0.22))
    mottled = np.clip(1 + 0.35 * rough_noise(patch, border.radius / 3, 4), 0, None)
    pearly = smooth_step(rough_noise(patch, border.radius / 2.2), -0.6, 1.4)
    layers.blood = cover * mottled * rng.uniform(0.08, 0.24)
    layers.white = cover * pearly * rng.uniform(0.15, 0.4)
    layers.melanin = cover * rng.uniform(0.0, 0.14) * mottled
    layers.height = 2.5 * _cover_of(border, 0.5) + 0.5 * cover * pearly
    _paint_nests(patch, border, layers)
    branches = _vessels(patch, border)
    layers.blood += rng.uniform(0.45, 0.9) * branches
    layers.white *= 1 - 0.8 * branches
    if rng.random() < 0.45:
        ulcer = _off_centre(patch, border, rng.uniform(0.12, 0.24), softness=0.08)
        crust = smooth_step(rough_noise(patch, 5, 4), -0.8, 1.6)
        layers.white *= 1 - ulcer
        layers.blood += ulcer * rng.uniform(0.3, 0.7)
        layers.melanin += ulcer * (0.1 + rng.uniform(0.3, 0.9) * crust)
        layers.height += 0.6 * ulcer * crust
    return layers


def _paint_nests(patch: Patch, border: Border, layers: Layers) -> None:
    """Add blue-grey ovoid nests, large and small, most of them near the rim."""
    rng = patch.rng
    for count, low, high in ((rng.integers(3, 8), 2.5, 7.0), (rng.integers(6, 20), 0.6, 1.8)):
        ovoid = _dots(patch, border, count, (low, high), rim=0.06, sharpness=3.2)
        ovoid *= np.clip(1 + 0.3 * rough_noise(patch, 2.5), 0, None)
        layers.veil += ovoid * rng.uniform(0.45, 0.9)
        layers.melanin += ovoid * rng.uniform(0.1, 0.35)
        layers.white *= 1 - np.clip(ovoid, 0, 1)


def _akiec(patch: Patch, border: Border) -> Layers:
    """Ill-defined red with white-yellow scale, and follicles that give a strawberry pattern."""
    rng, layers = patch.rng, Layers.empty(patch)
    cover = _cover_of(border, rng.uniform(0.25, 0.45))
    mottled = np.clip(1 + 0.4 * rough_noise(patch, border.radius / 2.5, 4), 0, None)
    follicles, shades = clods(patch, rng.uniform(4.5, 7.0), rng.uniform(0.3, 0.4), warp=0.3)
    follicles *= 0.3 + 0.7 * _sometimes_absent(patch, border.radius / 2)
    layers.blood = cover * mottled * rng.uniform(0.3, 0.6) * (1 - 0.8 * follicles)
    brown = smooth_step(rough_noise(patch, border.radius / 2.5, 4), -0.3, 1.4)
    layers.melanin = cover * brown * rng.uniform(0.2, 0.75) * (1 - 0.7 * follicles)
    layers.white = cover * rng.uniform(0.15, 0.4) * follicles
    layers.yellow = cover * rng.uniform(0.0, 0.35) * follicles**6 * shades
    dotted = _dots(patch, border, rng.integers(20, 90), (0.45, 0.9), rim=0.05, sharpness=4)
    layers.blood += rng.uniform(0.3, 0.7) * dotted
    # Sun-damaged skin around: fine vessels and brown mottling that run out.
    field = smooth_step(border.depth, -0.9, 0.0)
    layers.blood += field * rng.uniform(0.1, 0.3) * ridges(patch, 10, 0.2)
    around = smooth_step(rough_noise(patch, 9, 4), 0.2, 1.8)
    layers.melanin += field * around * rng.uniform(0.12, 0.4)
    patchy = rough_noise(patch, border.radius / 2.2, 3)
    scale = smooth_step(patchy + 0.9 * rough_noise(patch, 4.5, 4), rng.uniform(1.2, 2.0), 2.6)
    scale *= _cover_of(border, 0.2)
    layers.white = np.maximum(layers.white, rng.uniform(0.2, 0.55) * scale)
    layers.yellow = np.maximum(layers.yellow, scale * rng.uniform(0.0, 0.5))
    layers.height = 0.6 * scale + 0.2 * cover * rough_noise(patch, 5)
    return layers


def _df(patch: Patch, border: Border) -> Layers:
    """A white scar-like centre within a ring of delicate network."""
    rng, layers = patch.rng, Layers.empty(patch)
    cover = _cover_of(border, rng.uniform(0.3, 0.5))
    shifted = border.depth + 0.16 * rough_noise(patch, border.radius / 2.5, 4)
    scar = smooth_step(shifted, rng.uniform(0.25, 0.4), rng.uniform(0.65, 0.9))
    mesh = network(patch, rng.uniform(3.2, 4.4), rng.uniform(0.2, 0.28))
    mottled = np.clip(1 + 0.25 * rough_noise(patch, border.radius / 3, 4), 0, None)
    tan, line = rng.uniform(0.06, 0.25), rng.uniform(0.22, 0.48)
    ring = 1 - smooth_step(scar, 0.0, 0.7)
    layers.melanin = ring * mottled * (cover * tan + _cover_of(border, 0.3) * line * mesh)
    layers.blood = cover * mottled * rng.uniform(0.05, 0.3) * (1 - 0.7 * scar)
    lines = ridges(patch, rng.uniform(4, 7), 0.2) * smooth_step(border.depth, 0.15, 0.5)
    grain = np.clip(1 + 0.2 * rough_noise(patch, 4, 3), 0, None)
    layers.white = scar * grain * rng.uniform(0.3, 0.55) + lines * rng.uniform(0.08, 0.3)
    return layers


def _vasc(patch: Patch, border: Border) -> Layers:
    """Well bordered red to purple lacunae, packed or apart, with pale walls between them."""
    rng, layers = patch.rng, Layers.empty(patch)
    places = _scatter(patch, border, rng.integers(35, 120), rim=0.03)
    radii = border.radius * rng.uniform(0.08, 0.17, len(places))
    # The outline is lobed as the lacunae at the rim are.
    lobes = spots(patch, places, 1.25 * radii, sharpness=8)
    cover = np.maximum(smooth_step(lobes, 0.2, 0.6), smooth_step(border.depth, 0.1, 0.2))
    border.depth = np.copysign(np.maximum(np.abs(border.depth), 0.01), cover - 0.5)
    light, dark, blue = (
        spots(patch, places[part::3], radii[part::3], sharpness=5) for part in range(3)
    )
    between = rng.uniform(0.35, 0.75) * (1 + 0.25 * rough_noise(patch, 6, 3))
    filled = np.clip(between + 0.35 * light + 0.75 * dark + 0.55 * blue, 0.15, 1.4)
    layers.blood = cover * filled * rng.uniform(0.9, 1.5)
    bluish = rng.choice([0.0, 0.4, 1.0], p=(0.4, 0.4, 0.2)) * rng.uniform(0.3, 0.9)
    layers.veil += cover * bluish * (blue + 0.4 * dark)
    lacunae = np.maximum(np.maximum(light, dark), blue)
    layers.white += cover * (1 - lacunae) * rng.uniform(0.0, 0.25)
    layers.height += 0.7 * cover * lacunae
    return layers


def _build_border(
    patch: Patch, radius: float, *, elongation: float, outline: Outline, vary: float
) -> Border:
    """Build an outline in the centre of a patch: an ellipse with noise in its polar radius.

    The mean `radius` is in units; `vary` scales irregularity and warp.
    """
    x, y = patch.coordinates()
    warp = outline.warp * vary
    x = x + np.float32(warp * radius) * noise(patch, 0.8 * radius)
    y = y + np.float32(warp * radius) * noise(patch, 0.8 * radius)
    stretch = np.float32(math.sqrt(elongation))
    x, y = x / stretch, y * stretch
    angle = np.arctan2(y, x)
    rim = np.full(patch.shape, radius, np.float32)
    for waves in range(2, 9):
        strength = radius * (outline.irregularity * vary) * patch.rng.normal() / waves**1.1
        turn = np.float32(patch.rng.uniform(0, 2 * math.pi))
        rim += np.float32(strength) * np.cos(np.float32(waves) * angle + turn)
    # Never so far out that the patch's edge cuts the lesion, never so deep that it falls apart.
    rim = np.clip(rim, np.float32(0.35 * radius), np.float32(1.45 * radius))
    depth = 1 - np.hypot(x, y) / rim
    depth = depth + np.float32(outline.ragged) * rough_noise(patch, max(4.0, radius / 4))
    return Border(depth.astype(np.float32), radius)


def _cover_of(border: Border, softness: float) -> Map:
    """Return 1 within the lesion, 0 outside, (H, W), and a ramp `softness` radii to both sides."""
    return smooth_step(border.depth, -softness, softness)


def fade_out(patch: Patch) -> Map:
    """Return a map of 1 that falls to 0 at the edge of the patch, so that lesions fade out."""
    x, y = patch.coordinates()
    margin = np.minimum(patch.width / 2 - np.abs(x), patch.height / 2 - np.abs(y))
    return smooth_step(margin, 0.5, 4.0)


def _off_centre(patch: Patch, border: Border, share: float, *, softness: float = 0.2) -> Map:
    """Return one irregular area at one side of the lesion, (H, W) in [0, 1].

    Its mean radius (`share`) and the `softness` of its edge are in radii of the lesion.
    """
    x, y = patch.coordinates()
    turn = patch.rng.uniform(0, 2 * math.pi)
    away = patch.rng.uniform(0.2, 0.6) * border.radius
    distance = np.hypot(x - away * math.cos(turn), y - away * math.sin(turn)) / border.radius
    coarse = rough_noise(patch, border.radius / 1.8, 4)
    ragged = distance + np.float32(0.3 * share + 0.08) * coarse
    return smooth_step(-ragged, -share - softness, -share + softness)


def _sometimes_absent(patch: Patch, cell: float) -> Map:
    """Return (H, W) strengths in [0, 1] of a structure that is absent in places."""
    return smooth_step(rough_noise(patch, cell, 2), -1.2, 0.9)


def _scatter(
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


def _dots(
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
    places = _scatter(patch, border, count, rim=rim)
    return spots(patch, places, patch.rng.uniform(*radii, len(places)), sharpness=sharpness)


def _streaks(patch: Patch, border: Border) -> Map:
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


def _vessels(patch: Patch, border: Border) -> Map:
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


PAINTERS: dict[str, Callable[[Patch, Border], Layers]] = {
    "akiec": _akiec,
    "bcc": _bcc,
    "bkl": _bkl,
    "df": _df,
    "mel": _mel,
    "nv": _nv,
    "vasc": _vasc,
}
