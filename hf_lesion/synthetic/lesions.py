"""Draws one dermoscopic view of a synthetic lesion: skin, pigments, light, lens and overlays.

Each part has a random stream of its own. Only the stream of the lesion's inner structure is used
together with the diagnosis: size, place, skin, light, hair, rulers and dark corners come out the
same whatever the diagnosis, so that none of them can betray it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.labels import CODES
from hf_lesion.synthetic.overlays import (
    draw_bubbles,
    draw_hair,
    draw_ink,
    draw_ruler,
    draw_vignette,
)
from hf_lesion.synthetic.pigments import Pigments, paint_pigments
from hf_lesion.synthetic.texture import Map, Patch, network, noise, rough_noise, spots

SIZE = (200, 150)
UNITS_HIGH = 150.0
SUPERSAMPLE = 1.5
# How far a lesion may reach beyond its mean radius, in radii.
REACH = 1.8

# Random streams of one lesion. LESION is the only one whose draws depend on the diagnosis.
LESION, GEOMETRY, SKIN, VIEW, OVERLAY = range(5)

# Absorbance of one unit of pigment in red, green and blue: rough shapes of the known spectra
# (melanin falls towards red, haemoglobin peaks in green, deep melanin looks blue-grey).
MELANIN = np.array([0.46, 0.85, 1.10], np.float32)
BLOOD = np.array([0.10, 0.80, 0.46], np.float32)
VEIL = np.array([0.95, 0.72, 0.40], np.float32)
WHITE = np.array([0.95, 0.90, 0.90], np.float32)
YELLOW = np.array([0.86, 0.70, 0.45], np.float32)
# Fair skin under dermoscopic light, as HAM10000 mostly shows it, and some darker tones.
SKIN_TONES = (
    (0.92, 0.70, 0.64),
    (0.90, 0.66, 0.66),
    (0.92, 0.77, 0.70),
    (0.80, 0.68, 0.72),
    (0.86, 0.72, 0.78),
    (0.72, 0.52, 0.42),
    (0.55, 0.38, 0.30),
)
SKIN_SHARES = (0.22, 0.2, 0.2, 0.14, 0.12, 0.08, 0.04)
OVERLAY_SHARES = (
    (draw_bubbles, 0.10),
    (draw_ink, 0.06),
    (draw_hair, 0.40),
    (draw_ruler, 0.12),
    (draw_vignette, 0.25),
)


@dataclass(frozen=True)
class Lesion:
    """One painted lesion, of which several views can be drawn."""

    seed: int
    pigments: Pigments
    depth: Map
    units: float  # side of the square maps


def draw_lesion(
    dx: str, *, seed: int, size: tuple[int, int] = SIZE
) -> tuple[Image.Image, Image.Image]:
    """Draw a synthetic lesion of one diagnosis.

    Args:
        dx: One of `labels.CODES`.
        seed: Decides everything else; at least 0. The same seed gives the same picture at every
            size of the same proportions, up to resampling and fine grain.
        size: Width and height in pixels.

    Returns:
        The RGB image and its mask, mode L, 255 inside the lesion and 0 outside.

    Raises:
        InputError: If `dx` or `size` is not possible.
    """
    if min(size) < 16:
        raise InputError(f"A lesion needs at least 16x16 pixels, got {size[0]}x{size[1]}.")
    return draw_view(paint_lesion(dx, seed=seed, height=size[1]), view=0, size=size)


def paint_lesion(dx: str, *, seed: int, height: int = SIZE[1]) -> Lesion:
    """Paint the pigments of one lesion.

    Args:
        dx: One of `labels.CODES`.
        seed: Decides everything else; at least 0.
        height: Of the views that are to be drawn, in pixels.

    Raises:
        InputError: If `dx` is unknown or `seed` negative.
    """
    if dx not in CODES:
        raise InputError(f"Unknown diagnosis {dx!r}. Expected one of {', '.join(CODES)}.")
    if seed < 0:
        raise InputError(f"The seed must be 0 or more, got {seed}.")
    geometry = _stream(seed, GEOMETRY)
    radius = float(np.clip(geometry.lognormal(math.log(33), 0.32), 15, 58))
    elongation = float(geometry.uniform(1.0, 1.5))
    units = 2 * REACH * radius * math.sqrt(elongation)
    patch = Patch(_stream(seed, LESION), units, units, SUPERSAMPLE * height / UNITS_HIGH)
    pigments, depth = paint_pigments(dx, patch, radius=radius, elongation=elongation)
    return Lesion(seed, pigments, depth, units)


def draw_view(
    lesion: Lesion, *, view: int, size: tuple[int, int] = SIZE
) -> tuple[Image.Image, Image.Image]:
    """Draw a photograph of a lesion: turned, shifted, scaled and lit as `view` decides.

    Args:
        lesion: From `paint_lesion`, painted for the same height.
        view: Number of the photograph, at least 0.
        size: Width and height in pixels.

    Returns:
        The RGB image and its mask, mode L, 255 inside the lesion and 0 outside.
    """
    scale = SUPERSAMPLE * size[1] / UNITS_HIGH
    stream = _stream(lesion.seed, VIEW, view)
    patch = Patch(stream, size[0] * UNITS_HIGH / size[1], UNITS_HIGH, scale)
    pigments, depth = _place(lesion, patch)
    tone, bare = _skin(lesion.seed, view, patch)
    pigments.blood = pigments.blood + bare.blood
    pigments.melanin = pigments.melanin + bare.melanin
    picture = _absorb(tone, pigments) * _light(patch)
    image = _develop(picture, size, stream)
    mask = Image.fromarray((depth > 0).astype(np.uint8) * np.uint8(255))
    mask = mask.resize(size, Image.Resampling.BOX).point([0] * 128 + [255] * 128)
    return _overlay(image, _stream(lesion.seed, OVERLAY, view)), mask


def _stream(seed: int, part: int, view: int = 0) -> np.random.Generator:
    return np.random.default_rng((seed, part, view))


def _place(lesion: Lesion, patch: Patch) -> tuple[Pigments, Map]:
    """Turn, scale and shift a lesion's maps onto a view."""
    rng = patch.rng
    turn, zoom = rng.uniform(0, 2 * math.pi), rng.uniform(0.85, 1.18)
    shift_x = float(np.clip(rng.normal(0, 0.05), -0.14, 0.14)) * patch.width
    shift_y = float(np.clip(rng.normal(0, 0.05), -0.14, 0.14)) * patch.height
    cos, sin = math.cos(turn) / zoom, math.sin(turn) / zoom
    rows, columns = patch.shape
    middle = lesion.depth.shape[0] / 2
    from_x = columns / 2 + shift_x * patch.scale
    from_y = rows / 2 + shift_y * patch.scale
    # Output pixel → source pixel, as PIL wants it.
    affine = (
        *(cos, sin, middle - cos * from_x - sin * from_y),
        *(-sin, cos, middle + sin * from_x - cos * from_y),
    )

    def turned(source: Map, outside: float = 0.0) -> Map:
        moved = Image.fromarray(source - np.float32(outside)).transform(
            (columns, rows), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
        )
        return np.asarray(moved, np.float32) + np.float32(outside)

    old = lesion.pigments
    maps = (old.melanin, old.blood, old.veil, old.white, old.yellow)
    return Pigments(*(turned(each) for each in maps)), turned(lesion.depth, -1.0)


def _skin(seed: int, view: int, patch: Patch) -> tuple[NDArray[np.float32], Pigments]:
    """Return one person's tone (RGB in [0, 1]) and the bare skin's mottling, lines and freckles."""
    person = _stream(seed, SKIN)
    tone = np.array(SKIN_TONES[person.choice(len(SKIN_TONES), p=SKIN_SHARES)])
    tone = np.clip(tone + person.normal(0, 0.02, 3), 0.1, 0.97)
    freckled, mottled = person.random() < 0.3, person.uniform(0.02, 0.06)
    lined, rough = person.uniform(0.0, 0.06), person.uniform(0.01, 0.05)
    own = Patch(_stream(seed, SKIN, view + 1), patch.width, patch.height, patch.scale)
    bare = Pigments(*(np.zeros(patch.shape, np.float32) for _ in range(5)))
    redness = mottled * rough_noise(own, 9, 3) + 0.04 * noise(own, 40)
    # Blood only adds: paler than the tone itself would look green.
    bare.blood = np.asarray(np.logaddexp(0, 30 * (redness + mottled)) / 30, np.float32)
    bare.melanin = 0.03 * rough_noise(own, 30) + lined * network(own, 5.5, 0.3)
    bare.melanin = bare.melanin + rough * rough_noise(own, 2.4, 2)
    if freckled:
        count = own.rng.integers(3, 14)
        places = own.rng.uniform(-0.5, 0.5, (count, 2)) * (patch.width, patch.height)
        marks = spots(own, places, own.rng.uniform(2, 7, count))
        bare.melanin = bare.melanin + own.rng.uniform(0.08, 0.3) * marks
    return tone.astype(np.float32), bare


def _light(patch: Patch) -> NDArray[np.float32]:
    """Return (H, W, 3) light: a gentle gradient, a fall towards the rim, a camera's tint."""
    rng = patch.rng
    x, y = patch.coordinates()
    turn, slope = rng.uniform(0, 2 * math.pi), rng.uniform(0.0, 0.14)
    gradient = slope * (x * math.cos(turn) + y * math.sin(turn)) / patch.width
    fall = rng.uniform(0.0, 0.35) * (x * x + y * y) / patch.width**2
    tint = rng.normal(1, 0.025, 3)
    field = rng.uniform(0.88, 1.06) * (1 + gradient - fall)
    return (field[:, :, None] * tint).astype(np.float32)


def _absorb(tone: NDArray[np.float32], pigments: Pigments) -> NDArray[np.float32]:
    """Return (H, W, 3) skin seen through its pigments (Beer-Lambert) and under what covers it."""
    absorbers = np.stack([pigments.melanin, pigments.blood, pigments.veil], axis=-1)
    seen = tone * np.exp(absorbers @ -np.stack([MELANIN, BLOOD, VEIL]))
    for share, colour in ((pigments.yellow, YELLOW), (pigments.white, WHITE)):
        seen = seen + np.clip(share, 0, 1)[:, :, None] * (np.float32(colour) - seen)
    return np.asarray(seen, np.float32)


def _develop(
    picture: NDArray[np.float32], size: tuple[int, int], rng: np.random.Generator
) -> Image.Image:
    """Reduce a supersampled picture to an image, with the grain of a sensor."""
    pixels = np.clip(picture * 255, 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    grain = rng.normal(0, rng.uniform(0.8, 2.2), (size[1], size[0], 1))
    noisy = np.asarray(image, np.float32) + grain
    return Image.fromarray(np.clip(np.round(noisy), 0, 255).astype(np.uint8))


def _overlay(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    for draw, share in OVERLAY_SHARES:
        if rng.random() < share:
            image = draw(image, rng)
    return image
