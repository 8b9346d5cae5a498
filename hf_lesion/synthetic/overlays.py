"""Overlays on a dermoscopic image: hair, rulers, ink, gel bubbles and dark corners.

Every function takes an image of any size (RGB or L) and a random stream, and returns a new image of
the same size and mode. Strokes scale with the image's shorter side.
Pixels without a stroke keep their value exactly.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

# All lengths below are in units of 1/150 of the shorter side (HAM10000's originals at a quarter).
UNITS = 150.0
HAIR_COLOURS = ((28, 20, 18), (52, 34, 24), (92, 62, 40), (150, 118, 84), (205, 190, 170))
INK_COLOURS = ((66, 40, 120), (40, 62, 140), (90, 40, 110), (30, 100, 90))
RULER_COLOUR = (18, 16, 18)
VIGNETTE_COLOUR = (8, 6, 8)


def draw_hair(
    image: Image.Image, rng: np.random.Generator, *, count: int | None = None
) -> Image.Image:
    """Draw curved hairs that taper to a point, all of one person's colour; by default 2 to 12."""
    count = int(rng.integers(2, 13)) if count is None else count
    colour = HAIR_COLOURS[rng.choice(len(HAIR_COLOURS), p=(0.3, 0.3, 0.2, 0.12, 0.08))]
    unit = min(image.size) / UNITS
    common = rng.uniform(0, 2 * math.pi)
    sheet, pen, zoom = _open_sheet(image)
    for _ in range(count):
        line = _hair_line(rng, image.size, common + rng.normal(0, 0.7))
        width = rng.uniform(0.35, 1.0) * unit
        _draw_tapered(pen, line * zoom, width * zoom, shade=int(rng.integers(150, 256)))
    return _lay_over(image, colour, sheet)


def _hair_line(
    rng: np.random.Generator, size: tuple[int, int], heading: float
) -> NDArray[np.float64]:
    """Return (N, 2) pixels of a cubic Bézier curve that crosses a part of the image."""
    length = rng.uniform(0.35, 1.1) * min(size)
    middle = rng.uniform(-0.05, 1.05, 2) * size
    along = np.array([math.cos(heading), math.sin(heading)])
    across = np.array([-along[1], along[0]])
    bends = rng.normal(0, 0.22, 2) * length
    knots = [
        middle - along * length / 2,
        middle - along * length / 6 + across * bends[0],
        middle + along * length / 6 + across * (0.5 * bends[0] + bends[1]),
        middle + along * length / 2,
    ]
    t = np.linspace(0, 1, 48)[:, None]
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    total: NDArray[np.float64] = sum(
        (weight * knot for weight, knot in zip(weights, knots, strict=True)),
        start=np.zeros((48, 2)),
    )
    return total


def _draw_tapered(
    pen: ImageDraw.ImageDraw, line: NDArray[np.float64], width: float, *, shade: int
) -> None:
    """Draw a polygon around a line: full width at the root, a point at the tip."""
    direction = np.gradient(line, axis=0)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    half = width / 2 * np.linspace(1, 0, len(line))[:, None] ** 0.5
    outline = np.concatenate([line + normal * half, (line - normal * half)[::-1]])
    pen.polygon([tuple(point) for point in outline.tolist()], fill=shade)


def draw_ruler(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw a row of black ruler ticks near one side, every fifth one longer, at a slight angle."""
    unit = min(image.size) / UNITS
    centre = np.array(image.size) / 2
    turn = rng.integers(4) * math.pi / 2 + rng.normal(0, 0.35)
    along = np.array([math.cos(turn), math.sin(turn)])
    outward = np.array([-along[1], along[0]])
    base = centre + outward * (np.abs(outward) @ centre) * rng.uniform(0.72, 0.92)
    spacing = rng.uniform(5.5, 11.0) * unit
    reach = int(max(image.size) / spacing) + 1
    thick, short = rng.uniform(0.9, 1.6) * unit, rng.uniform(3.0, 5.5) * unit
    sheet, pen, zoom = _open_sheet(image)
    for tick in range(-reach, reach + 1):
        start = base + along * tick * spacing
        end = start - outward * (short * (1.8 if tick % 5 == 0 else 1.0))
        ends = [tuple((start * zoom).tolist()), tuple((end * zoom).tolist())]
        pen.line(ends, fill=235, width=max(1, round(thick * zoom)))
    return _lay_over(image, RULER_COLOUR, sheet)


def draw_ink(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw a surgeon's pen mark: a broad, uneven, translucent arc near a corner."""
    width, height = image.size
    unit = min(image.size) / UNITS
    corner = np.array([rng.integers(2) * width, rng.integers(2) * height])
    inward = np.where(corner > 0, -1.0, 1.0)
    turn = rng.uniform(0, math.pi / 2, 2)
    sweep = np.linspace(turn.min() - 0.4, turn.max() + 0.4, 60)
    radius = rng.uniform(18, 38) * unit
    wobble = radius * (1 + 0.06 * np.cumsum(rng.normal(0, 0.25, 60)))
    line = corner + inward * np.stack([np.cos(sweep) * wobble, np.sin(sweep) * wobble], axis=1)
    thick = rng.uniform(5, 9) * unit
    sheet, pen, zoom = _open_sheet(image)
    for x, y in (line * zoom).tolist():
        half = thick * zoom * rng.uniform(0.42, 0.55)
        pen.ellipse((x - half, y - half, x + half, y + half), fill=int(rng.integers(120, 180)))
    sheet = sheet.filter(ImageFilter.GaussianBlur(0.7 * unit * zoom))
    return _lay_over(image, INK_COLOURS[rng.integers(len(INK_COLOURS))], sheet)


def draw_bubbles(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw 1 to 6 bubbles of the contact gel: faint rings, each with a bright reflex."""
    count = int(rng.integers(1, 7))
    unit = min(image.size) / UNITS
    dark, dark_pen, zoom = _open_sheet(image)
    light, light_pen, _ = _open_sheet(image)
    for _ in range(count):
        x, y = rng.uniform(0, 1, 2) * image.size * zoom
        radius = rng.uniform(1.5, 6.0) * unit * zoom
        line = max(1, round(0.5 * unit * zoom))
        box = (x - radius, y - radius, x + radius, y + radius)
        dark_pen.ellipse(box, outline=80, width=line)
        light_pen.arc(box, 180, 300, fill=200, width=line)
        x, y, spark = x - 0.4 * radius, y - 0.4 * radius, 0.2 * radius
        light_pen.ellipse((x - spark, y - spark, x + spark, y + spark), fill=220)
    return _lay_over(_lay_over(image, (60, 40, 40), dark), (250, 248, 245), light)


def draw_vignette(
    image: Image.Image, rng: np.random.Generator, *, radius: float | None = None
) -> Image.Image:
    """Draw the dark surround of a round field of view; the centre stays unchanged.

    The radius is a fraction of half the diagonal; by default 0.75 to 0.93.
    """
    width, height = image.size
    radius = rng.uniform(0.75, 0.93) if radius is None else radius
    softness = rng.uniform(0.05, 0.35)
    centre = np.array([width, height]) * (0.5 + rng.normal(0, 0.015, 2))
    x, y = np.arange(width) + 0.5 - centre[0], np.arange(height) + 0.5 - centre[1]
    distance = np.hypot(x[None, :], y[:, None]) / (math.hypot(width, height) / 2)
    ramp = np.clip((distance - radius) / softness, 0, 1)
    shade = np.round(250 * ramp * ramp * (3 - 2 * ramp)).astype(np.uint8)
    return _lay_over(image, VIGNETTE_COLOUR, Image.fromarray(shade))


def _open_sheet(image: Image.Image) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """Return an empty sheet to draw opacity on, enlarged to smooth the edges, and its zoom."""
    longest = max(image.size)
    zoom = 4 if longest <= 400 else 2 if longest <= 2000 else 1
    sheet = Image.new("L", (image.width * zoom, image.height * zoom))
    return sheet, ImageDraw.Draw(sheet), zoom


def _lay_over(image: Image.Image, colour: Sequence[int], sheet: Image.Image) -> Image.Image:
    """Blend a colour over an image by the opacity (0 to 255) on a sheet."""
    opacity = sheet.resize(image.size, Image.Resampling.BOX)
    ink = Image.new("RGB", image.size, tuple(colour)).convert(image.mode)
    return Image.composite(ink, image, opacity)
