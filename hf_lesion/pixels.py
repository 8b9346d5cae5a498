"""Any image file as upright 8-bit RGB, read once and safely."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from hf_lesion.errors import InputError

MAX_PIXELS = 40_000_000
VIEWS = 8
TURNS = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
SIXTEEN_BIT = 65535
EIGHT_BIT = 255


def load_image(source: str | Path | Image.Image) -> Image.Image:
    """Return an image as upright 8-bit RGB, whatever it came as.

    The first frame of an animation; transparency on white; 16-bit greys rescaled rather than cut
    off at white. Its size is checked before any pixel is decoded.

    Raises:
        InputError: If it is not an image, is damaged, or has more than `MAX_PIXELS` pixels.
    """
    name = "The image" if isinstance(source, Image.Image) else str(source)
    try:
        image = source if isinstance(source, Image.Image) else _open(Path(source))
        if image.width * image.height > MAX_PIXELS:
            raise InputError(
                f"{name} has {image.width}×{image.height} pixels; at most {MAX_PIXELS // 10**6} "
                "million can be read. Make it smaller first."
            )
        image.load()
        return _as_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{name} has too many pixels to be read. Make it smaller first."
        ) from error
    except (UnidentifiedImageError, SyntaxError, ValueError, OSError) as error:
        if isinstance(error, InputError | FileNotFoundError | PermissionError):
            raise
        raise InputError(
            f"{name} can't be read as an image ({type(error).__name__}): the file is damaged or "
            "not an image. Pass a JPEG or PNG."
        ) from error


def lay_down(image: Image.Image, view: int) -> Image.Image:
    """Return an image as one of the eight ways to lay it down: a lesion has no upright.

    Args:
        image: Any image.
        view: From 0, as it is, to 7: quarter turns, from 4 on of the mirrored image.
    """
    mirrored = ImageOps.mirror(image) if view >= VIEWS // 2 else image
    turn = TURNS[view % len(TURNS)]
    return mirrored if turn is None else mirrored.transpose(turn)


def _open(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        # Its limit is checked here, with a message of our own.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode == "F":
        raise InputError("Floating-point images can't be shown as colours. Pass 8 or 16 bits.")
    if image.mode.startswith("I"):
        return _from_sixteen_bit(image).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (EIGHT_BIT,) * 4)
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_sixteen_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    full_scale = SIXTEEN_BIT if values.max(initial=0) > EIGHT_BIT else EIGHT_BIT
    scaled = np.clip(values / full_scale, 0, 1) * EIGHT_BIT
    return Image.fromarray(scaled.round().astype(np.uint8))
