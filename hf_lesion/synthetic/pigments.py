"""The seven kinds of drawn lesion, as maps of the pigments that dermatologists look for.

Source of the criteria: Kittler et al., "Standardization of terminology in dermoscopy", J Am Acad
Dermatol 74:1093-1106 (2016). The drawings are caricatures: they teach a program, not a physician.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from hf_lesion.synthetic.structures import (
    Border,
    build_border,
    cover_of,
    frame,
    off_centre,
    scatter,
    sometimes_absent,
    streaks,
    vessels,
)
from hf_lesion.synthetic.texture import Map, Patch, clods, network, rough_noise, smooth_step, spots


@dataclass
class Pigments:
    """What lies in the skin: (H, W) maps, 0 where there is none."""

    melanin: Map  # absorbance: brown, at 2 nearly black
    blood: Map  # absorbance: red
    veil: Map  # absorbance: blue-grey, melanin that lies deep
    white: Map  # share in [0, 1]: scar, scale, cysts
    yellow: Map  # share in [0, 1]: keratin


@dataclass(frozen=True)
class Outline:
    """How the rim of one kind of lesion runs; see `texture.build_border`."""

    irregularity: float
    ragged: float


OUTLINES = {
    "akiec": Outline(0.16, 0.16),
    "bcc": Outline(0.12, 0.08),
    "bkl": Outline(0.11, 0.05),
    "df": Outline(0.06, 0.06),
    "mel": Outline(0.24, 0.07),
    "nv": Outline(0.07, 0.04),
    "vasc": Outline(0.09, 0.03),
}


def paint_pigments(
    dx: str, patch: Patch, *, radius: float, elongation: float
) -> tuple[Pigments, Map]:
    """Paint one lesion in the centre of a patch.

    Args:
        dx: The diagnosis, one of `labels.CODES`.
        patch: Where to paint; its random stream decides all about the lesion but the two sizes.
        radius: Mean radius in units.
        elongation: Long axis over short axis, at least 1.

    Returns:
        The pigments, and the (H, W) depth below the rim in radii: positive inside the lesion.
    """
    outline = OUTLINES[dx]
    # Half of the irregularity varies from lesion to lesion, so that the kinds overlap in it.
    irregularity = outline.irregularity * patch.rng.uniform(0.5, 1.3)
    border = build_border(
        patch, radius, elongation=elongation, irregularity=irregularity, ragged=outline.ragged
    )
    pigments = PAINTERS[dx](patch, border)
    # Any lesion may be a little inflamed around, and is grainy within.
    inflamed = patch.rng.uniform(0.0, 0.22) * smooth_step(border.depth, -0.6, 0.1)
    pigments.blood = pigments.blood + inflamed * (1 + 0.4 * rough_noise(patch, 8))
    pigments.melanin = pigments.melanin * (1 + 0.06 * rough_noise(patch, 1.6, 2))
    inside = frame(patch)
    layers = (getattr(pigments, field.name) for field in fields(Pigments))
    return Pigments(*(np.clip(layer, 0, None) * inside for layer in layers)), border.depth


def _nv(patch: Patch, border: Border) -> Pigments:
    """Even brown, symmetric, with a regular network or globules; the edge fades."""
    rng, pigments = patch.rng, _empty(patch)
    cover = cover_of(border, rng.uniform(0.12, 0.38))
    tone = rng.uniform(0.5, 1.15) * (1 + 0.14 * rough_noise(patch, border.radius / 2))
    centre = rng.uniform(-0.15, 0.6) * smooth_step(border.depth, 0.0, 0.9)
    kind = rng.random()
    if kind < 0.5:
        detail = network(patch, rng.uniform(3.2, 4.8), rng.uniform(0.25, 0.4)) - 0.4
        detail = detail * (1 - 0.7 * smooth_step(border.depth, 0.3, 0.9))
    elif kind < 0.8:
        globules, _ = clods(patch, rng.uniform(2.8, 4.5), rng.uniform(0.35, 0.45))
        detail = globules - 0.4
    else:
        detail = 0.4 * rough_noise(patch, 3.5)
    structure = rng.uniform(0.25, 0.7) * sometimes_absent(patch, 9)
    fine = 0.10 * rough_noise(patch, 3.5)
    pigments.melanin = cover * (tone + centre + structure * detail + fine)
    pigments.blood = cover * rng.uniform(0.0, 0.4)
    if rng.random() < 0.15:
        pigments.melanin = pigments.melanin + cover * 0.6 * off_centre(patch, border, 0.3)
    return pigments


def _mel(patch: Patch, border: Border) -> Pigments:
    """Several colours, asymmetric: dark blotches, veil, regression, red, dots and streaks."""
    rng, pigments = patch.rng, _empty(patch)
    cover = cover_of(border, rng.uniform(0.05, 0.22))
    patchy = rough_noise(patch, border.radius * rng.uniform(0.3, 0.6), 4)
    tone = rng.uniform(0.5, 1.2) + rng.uniform(0.25, 0.55) * patchy
    dark = off_centre(patch, border, rng.uniform(0.35, 0.7)) * rng.uniform(0.3, 1.6)
    mesh = network(patch, rng.uniform(4.5, 7.0), rng.uniform(0.3, 0.5)) - 0.4
    mesh = mesh * sometimes_absent(patch, border.radius / 2)
    regression = off_centre(patch, border, rng.uniform(0.25, 0.5)) * (rng.random() < 0.6)
    melanin = np.clip(tone, 0.1, None) + dark + rng.uniform(0.3, 0.8) * mesh
    pigments.melanin = cover * melanin * (1 - 0.75 * regression)
    pigments.white = cover * regression * rng.uniform(0.1, 0.35)
    veil = off_centre(patch, border, rng.uniform(0.3, 0.65)) * (rng.random() < 0.8)
    pigments.veil = cover * (veil * rng.uniform(0.3, 1.1) + 0.35 * regression)
    red = off_centre(patch, border, rng.uniform(0.3, 0.6)) * rng.uniform(0.1, 0.7)
    pigments.blood = cover * (rng.uniform(0.0, 0.3) + red)
    dots = scatter(patch, border, rng.integers(3, 20), rim=-0.08)
    dotted = spots(patch, dots, rng.uniform(0.6, 1.8, len(dots)), sharpness=4)
    pigments.melanin = pigments.melanin + dotted * rng.uniform(0.4, 1.1)
    if rng.random() < 0.45:
        pigments.melanin = pigments.melanin + rng.uniform(0.3, 0.8) * streaks(patch, border)
    return pigments


def _bkl(patch: Patch, border: Border) -> Pigments:
    """Sharply bordered, waxy tan, with cysts, comedo-like openings and brain-like ridges."""
    rng, pigments = patch.rng, _empty(patch)
    cover = cover_of(border, rng.uniform(0.03, 0.09))
    ridges = np.exp(-((rough_noise(patch, rng.uniform(4, 8), 2) / 0.35) ** 2))
    patchy = rough_noise(patch, border.radius / 2.5, 4)
    tone = rng.uniform(0.3, 1.05) * np.clip(1 + rng.uniform(0.1, 0.4) * patchy, 0.2, None)
    pigments.melanin = cover * (tone + rng.uniform(0.1, 0.5) * (ridges - 0.4))
    pigments.melanin = pigments.melanin + cover * 0.10 * rough_noise(patch, 3)
    pigments.yellow = cover * rng.uniform(0.05, 0.3)
    pigments.blood = cover * rng.uniform(0.0, 0.3)
    pigments.veil = cover * rng.choice([0.0, 0.0, rng.uniform(0.1, 0.35)])
    cysts = scatter(patch, border, rng.integers(3, 22), rim=0.12)
    milia = spots(patch, cysts, rng.uniform(0.8, 2.3, len(cysts)), sharpness=2.5)
    pigments.white = cover * milia * rng.uniform(0.3, 0.65)
    pigments.melanin = pigments.melanin * (1 - 0.6 * milia)
    comedos = scatter(patch, border, rng.integers(2, 16), rim=0.12)
    plugs = spots(patch, comedos, rng.uniform(0.8, 2.4, len(comedos)), sharpness=4)
    pigments.melanin = pigments.melanin + plugs * rng.uniform(0.5, 1.2)
    return pigments


def _bcc(patch: Patch, border: Border) -> Pigments:
    """Pink and translucent, with branching vessels, blue-grey nests and at times an ulcer."""
    rng, pigments = patch.rng, _empty(patch)
    cover = cover_of(border, rng.uniform(0.12, 0.35))
    mottled = np.clip(1 + 0.4 * rough_noise(patch, border.radius / 3, 4), 0, None)
    pigments.blood = cover * mottled * rng.uniform(0.12, 0.4)
    pearly = cover_of(border, 0.3) * smooth_step(rough_noise(patch, border.radius / 2), -0.8, 1.5)
    pigments.white = pearly * rng.uniform(0.15, 0.45)
    pigments.melanin = cover * rng.uniform(0.0, 0.2) * mottled
    pigments.blood = pigments.blood + rng.uniform(0.5, 1.1) * vessels(patch, border)
    nests = scatter(patch, border, rng.integers(2, 14), rim=0.05)
    radii = rng.uniform(0.8, 0.1 * border.radius + 2.0, len(nests))
    ovoid = spots(patch, nests, radii, sharpness=3.5)
    ovoid = ovoid * np.clip(1 + 0.3 * rough_noise(patch, 3), 0, None)
    pigments.veil = ovoid * rng.uniform(0.3, 0.9) + cover * rng.choice([0.0, 0.12])
    pigments.melanin = pigments.melanin + rng.uniform(0.05, 0.35) * ovoid
    if rng.random() < 0.4:
        ulcer = off_centre(patch, border, rng.uniform(0.2, 0.4))
        pigments.blood = pigments.blood + ulcer * rng.uniform(0.4, 0.9)
        pigments.melanin = pigments.melanin + ulcer * rng.uniform(0.0, 0.5)
        pigments.yellow = 0.45 * ulcer * smooth_step(rough_noise(patch, 5), -0.3, 0.9)
    return pigments


def _akiec(patch: Patch, border: Border) -> Pigments:
    """Ill-defined red with white-yellow scale, and follicles that give a strawberry pattern."""
    rng, pigments = patch.rng, _empty(patch)
    cover = cover_of(border, rng.uniform(0.35, 0.55))
    mottled = np.clip(1 + 0.5 * rough_noise(patch, border.radius / 2.5, 4), 0, None)
    follicles, shades = clods(patch, rng.uniform(4.5, 7.5), rng.uniform(0.25, 0.4), warp=0.3)
    follicles = follicles * shades * sometimes_absent(patch, border.radius / 2)
    pigments.blood = cover * mottled * rng.uniform(0.3, 0.7) * (1 - 0.6 * follicles)
    brown = smooth_step(rough_noise(patch, border.radius / 2.5, 4), -0.2, 1.4)
    pigments.melanin = cover * brown * rng.uniform(0.05, 0.8)
    scale = smooth_step(rough_noise(patch, rng.uniform(5, 10), 4), 0.4, 2.2)
    pigments.white = cover * (rng.uniform(0.3, 0.75) * scale + rng.uniform(0.1, 0.35) * follicles)
    pigments.yellow = cover * (rng.uniform(0.1, 0.3) * follicles + 0.35 * np.roll(scale, 2, 1))
    return pigments


def _df(patch: Patch, border: Border) -> Pigments:
    """A white scar-like centre within a ring of delicate network."""
    rng, pigments = patch.rng, _empty(patch)
    cover = cover_of(border, rng.uniform(0.35, 0.6))
    shifted = border.depth + 0.14 * rough_noise(patch, border.radius / 2, 4)
    scar = smooth_step(shifted, rng.uniform(0.1, 0.35), rng.uniform(0.7, 1.0))
    mesh = network(patch, rng.uniform(3.2, 4.8), 0.3)
    ring = cover * (1 - 0.8 * scar)
    mottled = np.clip(1 + 0.25 * rough_noise(patch, border.radius / 3, 4), 0, None)
    pigments.melanin = ring * mottled * (rng.uniform(0.1, 0.5) + rng.uniform(0.1, 0.4) * mesh)
    pigments.blood = cover * mottled * rng.uniform(0.05, 0.5) * (1 - 0.5 * scar)
    lines = np.exp(-((rough_noise(patch, 6, 2) / 0.25) ** 2))
    pigments.white = scar * (rng.uniform(0.15, 0.5) + rng.uniform(0.05, 0.3) * lines)
    return pigments


def _vasc(patch: Patch, border: Border) -> Pigments:
    """Sharply bordered red to purple lagoons with pale walls between."""
    rng, pigments = patch.rng, _empty(patch)
    cover = cover_of(border, rng.uniform(0.04, 0.12))
    lagoons, shades = clods(patch, rng.uniform(5.0, 13.0), rng.uniform(0.5, 0.68), warp=0.35)
    between = rng.uniform(0.15, 0.85)
    filled = between + (1 - between) * lagoons * shades
    grain = 1 + 0.12 * rough_noise(patch, 5)
    pigments.blood = cover * filled * grain * rng.uniform(0.7, 1.6)
    pigments.veil = cover * filled * lagoons * rng.choice([0.0, rng.uniform(0.1, 0.6)])
    pigments.melanin = cover * rng.uniform(0.0, 0.25)
    pigments.white = cover * (1 - lagoons) * rng.uniform(0.0, 0.3)
    return pigments


PAINTERS: dict[str, Callable[[Patch, Border], Pigments]] = {
    "akiec": _akiec,
    "bcc": _bcc,
    "bkl": _bkl,
    "df": _df,
    "mel": _mel,
    "nv": _nv,
    "vasc": _vasc,
}


def _empty(patch: Patch) -> Pigments:
    return Pigments(*(np.zeros(patch.shape, np.float32) for _ in range(5)))
