"""Example images: one drawn lesion for each diagnosis, and a scene that is not a lesion.

`examples.json` pins the seed of each and the SHA-256 of its file; `scripts/draw_examples.py` writes
both, for the model that the page opens with.
"""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from hf_lesion.labels import CODES
from hf_lesion.synthetic.lesions import draw_lesion
from hf_lesion.synthetic.ood_images import draw_ood_image

NOT_A_LESION = "none"
EXAMPLES = (*CODES, NOT_A_LESION)
RECORD = Path(__file__).with_name("examples.json")
SIZE = (640, 480)
QUALITY = 90


def draw_example(code: str, seed: int, *, size: tuple[int, int] = SIZE) -> Image.Image:
    """Draw an example.

    Args:
        code: One of `EXAMPLES`.
        seed: Decides everything else; at least 0.
        size: Width and height in pixels.
    """
    if code == NOT_A_LESION:
        return draw_ood_image("scene", seed=seed).resize(size, Image.Resampling.LANCZOS)
    return draw_lesion(code, seed=seed, size=size)[0]


def find_seed(
    code: str, is_good: Callable[[Image.Image], bool], *, start: int = 0, most: int = 200
) -> int:
    """Return the first seed whose image is good as the page shows it.

    Args:
        code: One of `EXAMPLES`.
        is_good: Asked of a small drawing first, and of the file's own pixels if that passes.
        start: The first seed to try.
        most: How many seeds to try.

    Raises:
        LookupError: If none of them is good.
    """
    small = (SIZE[0] // 2, SIZE[1] // 2)
    for seed in range(start, start + most):
        if is_good(draw_example(code, seed, size=small)):
            with Image.open(io.BytesIO(encode(draw_example(code, seed)))) as image:
                if is_good(image.convert("RGB")):
                    return seed
    raise LookupError(f"No seed from {start} to {start + most - 1} gives a good {code}.")


def encode(image: Image.Image) -> bytes:
    """Return an example as the bytes of its WebP file."""
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=QUALITY, method=6)
    return stream.getvalue()


def read_examples() -> Mapping[str, Mapping[str, Any]]:
    """Return `seed` and `sha256` of each of `EXAMPLES`."""
    found: Mapping[str, Mapping[str, Any]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found
