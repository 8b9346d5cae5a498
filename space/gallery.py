"""Example images: one drawn lesion per diagnosis, so that nothing here shows a patient."""

import base64
from pathlib import Path

from hf_lesion.data.sample import draw_lesion
from hf_lesion.labels import CODES

SIZE = (320, 240)
# One seed per diagnosis: skins, lenses and hairs then differ from picture to picture.
SEEDS = dict(zip(CODES, (1, 3, 12, 0, 5, 8, 4), strict=True))
JPEG_QUALITY = 92


def draw_examples(folder: Path) -> dict[str, Path]:
    """Draw one lesion per diagnosis as JPEG files.

    Args:
        folder: Where the seven files go.

    Returns:
        The file of each code, in the order of `CODES`.
    """
    files = {}
    for code, seed in SEEDS.items():
        image, _mask = draw_lesion(code, seed=seed, size=SIZE)
        files[code] = folder / f"drawn_{code}.jpg"
        image.save(files[code], quality=JPEG_QUALITY)
    return files


def embed(file: Path) -> str:
    """Return a JPEG file as a `data:` URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
