"""Example images: one drawn lesion per diagnosis, so that nothing here shows a patient."""

import io
from functools import cache
from pathlib import Path

from markup import data_url

from hf_lesion.labels import CODES
from hf_lesion.synthetic.lesions import draw_lesion

SIZE = (320, 240)
# One seed per diagnosis: skins, lenses and hairs then differ from picture to picture.
SEEDS = dict(zip(CODES, (48, 13, 18, 26, 29, 3, 58), strict=True))
JPEG_QUALITY = 92


def draw_examples(folder: Path) -> dict[str, Path]:
    """Draw one lesion per diagnosis as JPEG files.

    Args:
        folder: Where the seven files go.

    Returns:
        The file of each code, in the order of `CODES`.
    """
    files = {}
    for code in SEEDS:
        files[code] = folder / f"drawn_{code}.jpg"
        files[code].write_bytes(_draw(code))
    return files


@cache
def _draw(code: str) -> bytes:
    image, _mask = draw_lesion(code, seed=SEEDS[code], size=SIZE)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def embed(file: Path) -> str:
    """Return a JPEG file as a `data:` URL."""
    return data_url(file.read_bytes(), "image/jpeg")
