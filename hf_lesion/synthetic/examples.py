"""Example images: one drawn lesion for each diagnosis, and a mug, which is not a lesion.

`examples.json` pins the seed of each and the SHA-256 of its file; `scripts/draw_examples.py` writes
both, for the model that the page opens with.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from hf_lesion.labels import CODES
from hf_lesion.synthetic.lesions import draw_lesion

NOT_A_LESION = "none"
EXAMPLES = (*CODES, NOT_A_LESION)
RECORD = Path(__file__).with_name("examples.json")
SIZE = (640, 480)
QUALITY = 90


def draw_example(code: str, seed: int, *, size: tuple[int, int] = SIZE) -> Image.Image:
    """Draw one of `EXAMPLES`; the seed, at least 0, decides everything but its size in pixels."""
    if code == NOT_A_LESION:
        return _draw_mug(np.random.default_rng(seed)).resize(size, Image.Resampling.LANCZOS)
    return draw_lesion(code, seed=seed, size=size)[0]


def encode(image: Image.Image) -> bytes:
    """Return an example as the bytes of its WebP file."""
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=QUALITY, method=6)
    return stream.getvalue()


def read_examples() -> Mapping[str, Mapping[str, Any]]:
    """Return `seed` and `sha256` of each of `EXAMPLES`."""
    found: Mapping[str, Mapping[str, Any]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def _draw_mug(rng: np.random.Generator) -> Image.Image:
    """Draw a mug on a table, at twice the size of an example."""
    width, height = 2 * SIZE[0], 2 * SIZE[1]
    rows = np.linspace(0, 1, height)[:, None, None]
    wall, table = np.array((206, 214, 219)), np.array((150, 112, 76))
    grain = rng.normal(0, 5, (height, 1, 1)) + rng.normal(0, 2, (height, width, 1))
    ground = np.where(rows < 0.62, wall - 30 * rows, table + 25 * (rows - 0.62) + grain)
    picture = Image.fromarray(np.clip(ground + np.zeros((1, width, 1)), 0, 255).astype(np.uint8))
    left, right, top, foot, curve = 400, 780, 260, 760, 50
    shadow = Image.new("L", picture.size)
    ImageDraw.Draw(shadow).ellipse((left - 30, foot - 40, right + 260, foot + 70), fill=130)
    picture.paste((50, 36, 26), mask=shadow.filter(ImageFilter.GaussianBlur(22)))
    body, handle = Image.new("L", picture.size), Image.new("L", picture.size)
    ImageDraw.Draw(handle).ellipse((right - 90, top + 90, right + 170, foot - 110), outline=255,
                                   width=54)  # fmt: skip
    draw = ImageDraw.Draw(body)
    draw.rectangle((left, top, right, foot), fill=255)
    draw.ellipse((left, foot - curve, right, foot + curve), fill=255)
    across = np.linspace(0, np.pi, right - left)
    light = np.full(width, 0.55)
    light[left:right] = 0.45 + 0.6 * np.sin(across) ** 1.3 * (1 - 0.35 * across / np.pi)
    colour = np.array((38, 104, 168)) * light[None, :, None] + np.zeros((height, 1, 1))
    glaze = Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8))
    picture.paste(glaze, mask=handle)
    picture.paste(glaze, mask=body)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((left, top - curve, right, top + curve), fill=(70, 140, 205))
    draw.ellipse((left + 20, top - curve + 12, right - 20, top + curve - 12), fill=(44, 26, 16))
    return picture.filter(ImageFilter.GaussianBlur(1.5))
