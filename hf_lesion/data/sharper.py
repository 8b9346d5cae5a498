"""Aligning masks with the sharper copies, which show a square cut out of the whole frame."""

from io import BytesIO

from PIL import Image

from hf_lesion.data.images import decode_picture
from hf_lesion.errors import InputError

# left, upper, right, lower as fractions of width, height, width, height: the box (75, 0, 525, 450)
# of the 600×450 original, by the README that comes with the copies.
SHARP_BOX = (75 / 600, 0.0, 525 / 600, 1.0)
SHARP, SOFT = "sharp", "soft"


def check_sharp(image: Image.Image) -> None:
    """Check that an image can be the square cut that `SHARP_BOX` describes.

    Raises:
        InputError: If the image is not square.
    """
    width, height = image.size
    if width != height:
        raise InputError(f"expected a square cut, came {width}×{height} pixels")


def crop_to_sharp(image: Image.Image, size: tuple[int, int], resample: int) -> Image.Image:
    """Cut out of a whole frame what a sharper copy shows.

    Args:
        image: The whole frame, of any size.
        size: Width and height of the sharper copy in pixels.
        resample: One of `PIL.Image.Resampling`.

    Returns:
        An image of `size`.
    """
    width, height = image.size
    left, upper, right, lower = SHARP_BOX
    box = (left * width, upper * height, right * width, lower * height)
    return image.resize(size, Image.Resampling(resample), box=box)


def crop_mask(data: bytes, size: tuple[int, int]) -> bytes:
    """Cut a lesion mask as the sharper copies are cut.

    Args:
        data: The mask's file, the whole frame; palettes are decoded to grey levels.
        size: Width and height of the sharper copy in pixels.

    Returns:
        A 1-bit PNG of `size`, white = lesion.

    Raises:
        InputError: If `data` cannot be decoded.
    """
    grey = decode_picture(data).convert("L")  # resolves palettes, also inverted ones
    cut = crop_to_sharp(grey, size, Image.Resampling.NEAREST)
    stream = BytesIO()
    cut.convert("1", dither=Image.Dither.NONE).save(stream, format="PNG")
    return stream.getvalue()
