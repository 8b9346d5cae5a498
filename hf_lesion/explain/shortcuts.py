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
HAIRS = 12
VIGNETTE_RADIUS = 0.75  # of half the diagonal: the darkest that is sampled


# From an image, its mask of the same size and a generator to the changed image.
CHANGES: dict[str, Change] = {
    "lesion blacked out": lambda image, mask, _: Image.composite(_black(image), image, mask),
    "only the lesion": lambda image, mask, _: Image.composite(image, _black(image), mask),
    "ruler": lambda image, _, rng: draw_ruler(image, rng),
    "hair": lambda image, _, rng: draw_hair(image, rng, count=HAIRS),
    "ink": lambda image, _, rng: draw_ink(image, rng),
    "vignette": lambda image, _, rng: draw_vignette(image, rng, radius=VIGNETTE_RADIUS),
}


def change(image: Image.Image, mask: Image.Image, name: str, *, seed: int = 0) -> Image.Image:
    """Return an image with one of the `CHANGES` made; the same seed draws the same.

    The mask, white = lesion, is of the same frame and of any size.
    """
    picture = load_image(image)
    fitted = mask.convert("L").resize(picture.size, Image.Resampling.NEAREST)
    inside = fitted.point(lambda value: 255 * (value > 127))
    return CHANGES[name](picture, inside, np.random.default_rng(seed))


def _black(image: Image.Image) -> Image.Image:
    return Image.new("RGB", image.size)
