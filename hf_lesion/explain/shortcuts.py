"""Shortcuts: changes of an image that should not change the prediction.

Rulers, ink, hair and dark corners are known shortcuts in dermoscopy: Winkler et al., "Association
between surgical skin markings in dermoscopic images and diagnostic performance of a deep learning
convolutional neural network" (JAMA Dermatology 2019); Bissoto et al., "(De)constructing bias on
skin lesion datasets" (CVPR workshops 2019), who blacked the lesion out.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from hf_lesion.io.decoding import load_image
from hf_lesion.synthetic.overlays import draw_hair, draw_ink, draw_ruler, draw_vignette

Change = Callable[[Image.Image, Image.Image, np.random.Generator], Image.Image]
BLACK = (0, 0, 0)
HAIRS = 12
VIGNETTE_RADIUS = 0.75  # of half the diagonal: the darkest that we draw by chance


def black_out_lesion(
    image: Image.Image, mask: Image.Image, _rng: np.random.Generator
) -> Image.Image:
    """Return the image with the lesion blacked out: only its outline remains."""
    return Image.composite(Image.new("RGB", image.size, BLACK), image, _fit(mask, image))


def keep_lesion(image: Image.Image, mask: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """Return the image with everything but the lesion blacked out."""
    return Image.composite(image, Image.new("RGB", image.size, BLACK), _fit(mask, image))


CHANGES: dict[str, Change] = {
    "lesion blacked out": black_out_lesion,
    "only the lesion": keep_lesion,
    "ruler": lambda image, _, rng: draw_ruler(image, rng),
    "hair": lambda image, _, rng: draw_hair(image, rng, count=HAIRS),
    "ink": lambda image, _, rng: draw_ink(image, rng),
    "vignette": lambda image, _, rng: draw_vignette(image, rng, radius=VIGNETTE_RADIUS),
}


def change(image: Image.Image, mask: Image.Image, name: str, *, seed: int = 0) -> Image.Image:
    """Return an image with one of the `CHANGES` made; the same seed draws the same.

    The mask, white = lesion, is of the same frame and of any size.
    """
    return CHANGES[name](load_image(image), mask, np.random.default_rng(seed))


def _fit(mask: Image.Image, image: Image.Image) -> Image.Image:
    fitted = mask.convert("L").resize(image.size, Image.Resampling.NEAREST)
    return fitted.point(lambda value: 255 * (value > 127))
