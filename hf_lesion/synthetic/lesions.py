"""Drawn dermoscopic images of a lesion: skin, pigments, light, lens and overlays.

Each part has its own random stream. Only the lesion's inner structure depends on the diagnosis:
size, position, skin, light, hair, rulers and dark corners do not, so none of them reveals it.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.synthetic.diagnoses import paint_diagnosis
from hf_lesion.synthetic.layers import Layers, render
from hf_lesion.synthetic.overlays import (
    draw_bubbles,
    draw_hair,
    draw_ink,
    draw_ruler,
    draw_vignette,
)
from hf_lesion.synthetic.texture import (
    Map,
    Patch,
    noise,
    ridges,
    rough_noise,
    smooth_step,
    spots,
    strokes,
    wavy_lines,
)

SIZE = (200, 150)
UNITS_HIGH = 150.0
SUPERSAMPLE, LARGE = 1.5, 300  # smaller images are drawn larger than they are, for smooth edges
# How far a lesion may reach beyond its mean radius, in radii.
REACH = 1.8

# Skin around the lesions of HAM10000, by k-means of its mean colours, and some darker tones.
TONES = (
    (0.88, 0.58, 0.59),
    (0.93, 0.66, 0.67),
    (0.82, 0.49, 0.49),
    (0.78, 0.66, 0.70),
    (0.84, 0.72, 0.76),
    (0.92, 0.81, 0.83),
    (0.71, 0.59, 0.63),
    (0.86, 0.68, 0.58),
    (0.70, 0.50, 0.42),
    (0.50, 0.35, 0.28),
)
SHARES = (0.17, 0.15, 0.10, 0.14, 0.12, 0.08, 0.08, 0.08, 0.05, 0.03)

# Random streams of one lesion. LESION is the only one whose draws depend on the diagnosis.
LESION, GEOMETRY, SKIN, VIEW, OVERLAY = range(5)

OVERLAY_SHARES = (
    (draw_bubbles, 0.10),
    (draw_ink, 0.05),
    (draw_hair, 0.35),
    (draw_ruler, 0.10),
    (draw_vignette, 0.20),
)


@dataclass(frozen=True)
class Lesion:
    """One painted lesion, of which several views can be drawn."""

    seed: int
    layers: Layers
    depth: Map  # 0 on the outline, positive inside
    units: float  # side of the square maps


def draw_lesion(
    dx: str, *, seed: int, size: tuple[int, int] = SIZE
) -> tuple[Image.Image, Image.Image]:
    """Draw a synthetic lesion of one diagnosis.

    The same `seed`, at least 0, gives the same image at every `size` (width and height in pixels)
    of the same proportions, up to resampling and fine grain.

    Returns:
        The RGB image and its mask, mode L, 255 inside the lesion and 0 outside.
    """
    return draw_view(paint_lesion(dx, seed=seed, height=size[1]), view=0, size=size)


def paint_lesion(dx: str, *, seed: int, height: int = SIZE[1]) -> Lesion:
    """Paint the layers of a lesion of one of `CODES`, for views of a height in pixels."""
    geometry = _stream(seed, GEOMETRY)
    radius = float(np.clip(geometry.lognormal(math.log(42), 0.3), 20, 62))
    elongation = float(geometry.uniform(1.0, 1.5))
    units = 2 * REACH * radius * math.sqrt(elongation)
    patch = Patch(_stream(seed, LESION), units, units, _scale(height))
    layers, depth = paint_diagnosis(dx, patch, radius=radius, elongation=elongation)
    return Lesion(seed, layers, depth, units)


def draw_view(
    lesion: Lesion, *, view: int, size: tuple[int, int] = SIZE
) -> tuple[Image.Image, Image.Image]:
    """Draw a view of a lesion, turned, shifted, scaled and lit at random; `view` is the seed.

    The lesion was painted for the same height. Returns image and mask as `draw_lesion` does.
    """
    stream = _stream(lesion.seed, VIEW, view)
    patch = Patch(stream, size[0] * UNITS_HIGH / size[1], UNITS_HIGH, _scale(size[1]))
    layers, depth = _place(lesion, patch)
    person = _stream(lesion.seed, SKIN)
    own = Patch(_stream(lesion.seed, SKIN, view + 1), patch.width, patch.height, patch.scale)
    tone = _sample_tone(person)
    layers = layers.over(_paint_skin(own, person))
    turn = stream.uniform(0, 2 * math.pi)
    picture = render(layers, tone, scale=patch.scale, light=(math.cos(turn), math.sin(turn)))
    image = _develop(picture * _paint_light(patch), size, stream)
    mask = Image.fromarray((depth > 0).astype(np.uint8) * np.uint8(255))
    mask = mask.resize(size, Image.Resampling.BOX).point([0] * 128 + [255] * 128)
    return _overlay(image, _stream(lesion.seed, OVERLAY, view)), mask


def _stream(seed: int, part: int, view: int = 0) -> np.random.Generator:
    return np.random.default_rng((seed, part, view))


def _scale(height: int) -> float:
    return (SUPERSAMPLE if height < LARGE else 1.0) * height / UNITS_HIGH


def _place(lesion: Lesion, patch: Patch) -> tuple[Layers, Map]:
    """Turn, scale and shift a lesion's maps onto a view."""
    rng = patch.rng
    turn, zoom = rng.uniform(0, 2 * math.pi), rng.uniform(0.85, 1.18)
    half = zoom * lesion.units / (2 * REACH)
    # Anywhere in the middle, and as far out as leaves most of the lesion in the frame.
    room = [max(0.05 * side, 0.6 * (side / 2 - half)) for side in (patch.width, patch.height)]
    shift_x, shift_y = np.clip(rng.normal(0, 0.5, 2), -1, 1) * room
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

    layers = (turned(getattr(lesion.layers, field.name)) for field in fields(Layers))
    return Layers(*layers), turned(lesion.depth, -1.0)


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


def _sample_tone(person: np.random.Generator) -> NDArray[np.float32]:
    """Sample the tone of one person's skin, (3,) RGB in [0, 1]."""
    tone = np.array(TONES[person.choice(len(TONES), p=SHARES)]) + person.normal(0, 0.02, 3)
    return np.clip(tone, 0.1, 0.97).astype(np.float32)


def _paint_skin(patch: Patch, person: np.random.Generator) -> Layers:
    """Paint bare skin: `person` decides how much of everything it has, the patch where it lies."""
    skin = Layers.empty(patch)
    mottled, red = person.uniform(0.02, 0.06), person.uniform(0.0, 0.1) * (person.random() < 0.4)
    brown = person.uniform(0.05, 0.22) * (person.random() < 0.4)
    freckled, downy = person.random() < 0.25, person.random() < 0.5
    furrows = _paint_furrows(patch, person)
    depth = person.uniform(0.03, 0.11) * person.choice([-0.5, 1.0], p=(0.3, 0.7))
    redness = mottled * (rough_noise(patch, 34, 2) + 0.5 * rough_noise(patch, 9, 2))
    vessels = ridges(patch, 11, 0.16) * smooth_step(noise(patch, 25), -0.6, 1.0)
    # Blood only adds: paler than the tone itself would look green.
    skin.blood = np.logaddexp(0, 30 * (redness + mottled)) / 30 + red * vessels
    skin.melanin = 0.025 * rough_noise(patch, 40) + 0.012 * rough_noise(patch, 1.3, 2)
    skin.melanin += depth * furrows
    skin.melanin += brown * smooth_step(rough_noise(patch, 13), 0.0, 2.4)
    skin.height = -person.uniform(0.02, 0.12) * furrows
    if freckled:
        count = patch.rng.integers(3, 12)
        places = patch.rng.uniform(-0.5, 0.5, (count, 2)) * (patch.width, patch.height)
        marks = spots(patch, places, patch.rng.uniform(2, 6, count), sharpness=3)
        skin.melanin += patch.rng.uniform(0.08, 0.25) * marks * (1 + 0.5 * rough_noise(patch, 3, 2))
    if downy:
        skin.white = patch.rng.uniform(0.15, 0.4) * _paint_down(patch)
    return skin


def _paint_light(patch: Patch) -> NDArray[np.float32]:
    """Return (H, W, 3) light: a gentle gradient, a fall towards the rim, a camera's tint."""
    rng = patch.rng
    x, y = patch.coordinates()
    turn, slope = rng.uniform(0, 2 * math.pi), rng.uniform(0.0, 0.16)
    gradient = slope * (x * math.cos(turn) + y * math.sin(turn)) / patch.width
    fall = rng.uniform(0.05, 0.6) * (x * x + y * y) / patch.width**2
    field = rng.uniform(0.96, 1.12) * (1 + gradient - fall)
    return (field[:, :, None] * rng.normal(1, 0.015, 3)).astype(np.float32)


def _paint_furrows(patch: Patch, person: np.random.Generator) -> Map:
    """Return the furrows that divide skin into rhombi and triangles, (H, W) in [0, 1]."""
    period, turn = person.uniform(2.2, 3.6), person.uniform(0, math.pi)
    total = np.zeros(patch.shape, np.float32)
    for step, strength in ((0.0, 1.0), (1.05, 0.8), (2.1, 0.5)):
        angle = turn + step + person.normal(0, 0.12)
        lines = wavy_lines(patch, angle, period * person.uniform(0.9, 1.3))
        total = np.maximum(total, np.float32(strength) * lines)
    return total * smooth_step(noise(patch, 28), -1.6, 0.6)


def _paint_down(patch: Patch) -> Map:
    """Return fine pale hairs that all lie roughly one way, (H, W) in [0, 1]."""
    rng = patch.rng
    heading, count = rng.uniform(0, 2 * math.pi), int(rng.integers(4, 18))
    lines = []
    for start in rng.uniform(-0.55, 0.55, (count, 2)) * (patch.width, patch.height):
        turns = heading + rng.normal(0, 0.35) + np.linspace(0, rng.normal(0, 0.8), 12)
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * rng.uniform(1.0, 3.0)
        lines.append(start + np.cumsum(steps, axis=0))
    return strokes(patch, lines, rng.uniform(0.3, 0.6, count).tolist(), taper=0.8)
