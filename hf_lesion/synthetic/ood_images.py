"""Drawn out-of-distribution images, which a classifier of skin lesions should reject.

Noise, flat colours, gradients, patterns, documents, screenshots, landscapes, and skin as in phone
photos: from farther away, unevenly lit, with the outline of a limb or pores, and at most a small
mole. They are drawn so that they can be shipped and no collection of photos is needed.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from hf_lesion.synthetic.texture import Map, Patch, cells, noise, rough_noise, spots

SIZE = (240, 180)
UNITS_HIGH = 150.0
Draw = Callable[[np.random.Generator], Image.Image]
# Skin under daylight and lamps, as (R, G, B): fair to dark, yellower than under a dermatoscope.
PHONE_SKIN = (
    (0.87, 0.68, 0.56),
    (0.80, 0.60, 0.47),
    (0.93, 0.78, 0.68),
    (0.70, 0.50, 0.38),
    (0.55, 0.38, 0.28),
    (0.40, 0.27, 0.20),
    (0.28, 0.18, 0.13),
)
SYLLABLES = ("ka", "lo", "mi", "ter", "an", "so", "ve", "du", "ri", "pel", "or", "en", "ta", "us")


def draw_ood_image(kind: str, *, seed: int) -> Image.Image:
    """Draw one image of `KINDS` that is not dermoscopic: RGB, `SIZE` pixels."""
    return KINDS[kind](np.random.default_rng((seed, list(KINDS).index(kind))))


def _noise(rng: np.random.Generator) -> Image.Image:
    """White or coarse noise, coloured or grey, strong or faint, around any colour."""
    width, height = SIZE
    cell = int(rng.choice((1, 1, 2, 4, 8)))
    channels = int(rng.choice((1, 3)))
    shape = (height // cell, width // cell, channels)
    spread = rng.uniform(15, 90)
    field = (
        rng.normal(0, spread, shape) if rng.random() < 0.5 else rng.uniform(-2, 2, shape) * spread
    )
    values = rng.uniform(60, 200, 3) + np.broadcast_to(field, (*shape[:2], 3))
    return _to_image(values / 255).resize(SIZE, Image.Resampling.NEAREST)


def _flat(rng: np.random.Generator) -> Image.Image:
    """One colour, at times with the grain of a sensor: a covered lens, a wall, a sheet."""
    colour = _tint(rng)
    grain = rng.normal(0, rng.choice((0.0, 0.0, 0.008, 0.02)), (SIZE[1], SIZE[0], 1))
    return _to_image(colour + grain)


def _gradient(rng: np.random.Generator) -> Image.Image:
    """Two or three colours that run into each other, along a line or around a point."""
    x, y = _patch(rng).coordinates()
    turn = rng.uniform(0, 2 * math.pi)
    along = x * math.cos(turn) + y * math.sin(turn)
    if rng.random() < 0.4:
        centre = rng.uniform(-60, 60, 2)
        along = np.hypot(x - centre[0], y - centre[1])
    place = (along - along.min()) / np.ptp(along)
    stops = np.stack([_tint(rng) for _ in range(int(rng.integers(2, 4)))])
    knots = np.linspace(0, 1, len(stops))
    return _to_image(np.stack([np.interp(place, knots, stops[:, c]) for c in range(3)], axis=-1))


def _pattern(rng: np.random.Generator) -> Image.Image:
    """Stripes, checks, tiles, or shapes strewn over a ground: fabrics, walls, toys."""
    patch = _patch(rng)
    colours = np.stack([_tint(rng), _tint(rng)])
    choice = rng.integers(4)
    x, y = patch.coordinates()
    if choice < 2:
        step, turn = rng.uniform(4, 40), rng.uniform(0, math.pi)
        along = x * math.cos(turn) + y * math.sin(turn)
        across = y * math.cos(turn) - x * math.sin(turn)
        on = np.floor(along / step) % 2
        on = on if choice else (on + np.floor(across / step)) % 2
        return _to_image(colours[on.astype(int)])
    if choice == 2:
        _, _, nearest = cells(patch, rng.uniform(8, 45), warp=rng.uniform(0, 0.3))
        base, spread = _tint(rng), rng.uniform(0.05, 0.5)
        return _to_image((base + rng.normal(0, spread, (int(nearest.max()) + 1, 3)))[nearest])
    image = _to_image(np.broadcast_to(colours[0], (SIZE[1], SIZE[0], 3)))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 30))):
        left, top = rng.uniform(-20, 220, 2)
        reach_x, reach_y = rng.uniform(5, 110, 2)
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape((left, top, left + reach_x, top + reach_y), fill=_any_colour(rng))
    return image


def _text(rng: np.random.Generator) -> Image.Image:
    """A page of print, straight or photographed at an angle and in shade."""
    paper, ink = rng.uniform(215, 256, 3), rng.uniform(0, 70, 3)
    image = Image.new("RGB", (2 * SIZE[0], 2 * SIZE[1]), _rgb(paper))
    pen = ImageDraw.Draw(image)
    size, top = int(rng.integers(10, 30)), int(rng.integers(0, 40))
    margin, gap = int(rng.integers(5, 60)), rng.uniform(1.2, 2.0)
    while top < image.height:
        if rng.random() < 0.9:
            pen.text((margin, top), _words(rng, 14), fill=_rgb(ink), font_size=size)
        top += round(size * gap)
    image = image.resize(SIZE, Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        image = image.rotate(rng.uniform(-25, 25), Image.Resampling.BICUBIC, fillcolor=_rgb(paper))
    if rng.random() < 0.5:
        return _in_shade(image, rng)
    return image


def _screenshot(rng: np.random.Generator) -> Image.Image:
    """A window of a program: bars, panels, buttons, lines of text, a picture or a chart."""
    dark = rng.random() < 0.35
    ground = rng.uniform(15, 60, 3) if dark else rng.uniform(225, 256, 3)
    ink = _rgb(255 - ground)
    image = Image.new("RGB", (2 * SIZE[0], 2 * SIZE[1]), _rgb(ground))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, image.width, int(rng.integers(20, 60))), fill=_any_colour(rng))
    if rng.random() < 0.6:
        pen.rectangle((0, 40, int(rng.integers(60, 160)), image.height), fill=_any_colour(rng))
    for _ in range(int(rng.integers(2, 9))):
        left, top = int(rng.integers(0, 420)), int(rng.integers(40, 330))
        box = (left, top, left + int(rng.integers(30, 200)), top + int(rng.integers(15, 110)))
        outline = _any_colour(rng) if rng.random() < 0.5 else None
        pen.rectangle(box, fill=_any_colour(rng) if rng.random() < 0.6 else None, outline=outline)
        pen.text((left + 5, top + 3), _words(rng, 3), fill=ink, font_size=int(rng.integers(9, 20)))
    for line in range(int(rng.integers(0, 10))):
        place = (int(rng.integers(100, 200)), 70 + 28 * line)
        pen.text(place, _words(rng, 7), fill=ink, font_size=14)
    if rng.random() < 0.3:
        bars = rng.uniform(5, 120, int(rng.integers(4, 12)))
        for index, bar in enumerate(bars):
            left = 180 + 22 * index
            pen.rectangle((left, 330 - bar, left + 14, 330), fill=_any_colour(rng))
    return image.resize(SIZE, Image.Resampling.BICUBIC)


def _scene(rng: np.random.Generator) -> Image.Image:
    """A landscape or a room: a horizon, rough ground, things that stand in it."""
    patch = _patch(rng)
    x, y = patch.coordinates()
    horizon = rng.uniform(-45, 45) + rng.uniform(0, 14) * noise(patch, rng.uniform(10, 60))
    above, below = _tint(rng), _tint(rng)
    sky = above + 0.1 * (rough_noise(patch, 40) * rng.uniform(0, 2) + y / 40)[:, :, None]
    rough = rough_noise(patch, rng.uniform(4, 25), 4)[:, :, None]
    ground = below + rng.uniform(0.03, 0.25) * rough * rng.uniform(0.6, 1, 3)
    picture = np.where((y < horizon)[:, :, None], sky, ground)
    for _ in range(int(rng.integers(0, 7))):
        centre, half = rng.uniform(-90, 90, 2), rng.uniform(4, 45, 2)
        box = (abs(x - centre[0]) < half[0]) & (abs(y - centre[1]) < half[1])
        disc = np.hypot((x - centre[0]) / half[0], (y - centre[1]) / half[1]) < 1
        thing = _tint(rng) * (1 + 0.15 * rough_noise(patch, 8)[:, :, None])
        picture = np.where((box if rng.random() < 0.5 else disc)[:, :, None], thing, picture)
    return _in_shade(_to_image(picture), rng)


def _skin(rng: np.random.Generator) -> Image.Image:
    """Skin as a phone shows it: shading, pores, an edge of the limb, at most a small mole."""
    patch = _patch(rng)
    x, y = patch.coordinates()
    tone = np.array(PHONE_SKIN[rng.integers(len(PHONE_SKIN))]) + rng.normal(0, 0.03, 3)
    turn = rng.uniform(0, 2 * math.pi)
    across = x * math.cos(turn) + y * math.sin(turn)
    bend = 8 * noise(patch, 60)
    half = rng.uniform(35, 95)
    offset = rng.uniform(-40, 40)
    round_off = np.clip(1 - ((across + bend - offset) / (1.25 * half)) ** 2, 0.02, 1) ** 0.5
    shading = np.where(rng.random() < 0.6, round_off, 1.0) * (
        1 + rng.uniform(0, 0.5) * across / 100
    )
    pores = rng.uniform(0.01, 0.06) * rough_noise(patch, rng.uniform(1.5, 5))
    redness = rng.uniform(0.01, 0.05) * rough_noise(patch, rng.uniform(15, 50))
    picture = tone * (shading * (1 + pores))[:, :, None]
    picture = picture + redness[:, :, None] * np.array([0.2, -1.0, -0.8])
    marks = int(rng.integers(0, 6))
    places = rng.uniform(-0.45, 0.45, (marks, 2)) * (patch.width, patch.height)
    mole = spots(patch, places, rng.uniform(1.2, 7, marks), sharpness=4)
    picture = picture * (1 - mole[:, :, None] * rng.uniform(0.15, 0.7) * np.array([0.7, 0.9, 1.0]))
    if rng.random() < 0.6:
        behind = np.clip(_tint(rng) + 0.08 * rough_noise(patch, 20)[:, :, None], 0, 1)
        picture = np.where((abs(across + bend - offset) > half)[:, :, None], behind, picture)
    cast = np.array([1.0, rng.uniform(0.92, 1.04), rng.uniform(0.75, 1.08)])
    image = _to_image(picture * cast * rng.uniform(0.6, 1.15))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2)))


def _in_shade(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return an image under uneven, tinted light."""
    x, y = _patch(rng).coordinates()
    turn = rng.uniform(0, 2 * math.pi)
    slope = rng.uniform(0, 0.6) * (x * math.cos(turn) + y * math.sin(turn)) / 200
    light = (rng.uniform(0.6, 1.1) * (1 + slope))[:, :, None] * rng.uniform(0.8, 1.05, 3)
    return _to_image(np.asarray(image, np.float32) / 255 * light)


def _patch(rng: np.random.Generator) -> Patch:
    return Patch(rng, UNITS_HIGH * SIZE[0] / SIZE[1], UNITS_HIGH, SIZE[1] / UNITS_HIGH)


def _to_image(values: NDArray[np.floating] | Map) -> Image.Image:
    return Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))


def _words(rng: np.random.Generator, most: int) -> str:
    lengths = rng.integers(1, 5, int(rng.integers(1, most + 1)))
    return " ".join("".join(rng.choice(SYLLABLES, length)) for length in lengths)


def _any_colour(rng: np.random.Generator) -> tuple[int, ...]:
    return _rgb(255 * _tint(rng))


def _tint(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (3,) RGB in [0, 1]: mostly a muted colour, as things have, at times a vivid one."""
    spread = rng.choice((0.0, 0.04, 0.12, 0.35), p=(0.1, 0.3, 0.35, 0.25))
    colour: NDArray[np.float64] = np.clip(rng.uniform(0.05, 0.98) + rng.normal(0, spread, 3), 0, 1)
    return colour


def _rgb(values: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


KINDS: dict[str, Draw] = {
    "noise": _noise,
    "flat": _flat,
    "gradient": _gradient,
    "pattern": _pattern,
    "text": _text,
    "screenshot": _screenshot,
    "scene": _scene,
    "skin": _skin,
}
