"""Framing: images brought to one size, whole or cut to the centre square, and their masks alike."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from hf_lesion.errors import InputError

RESAMPLING = Image.Resampling.LANCZOS  # antialiased: each pixel is a mean over what it covers
JPEG_QUALITY = 75
PROPORTIONS_TOLERANCE = 0.01  # a mask of half the size may be rounded by half a pixel

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Framing:
    """How images are stored; by default as their files are, byte for byte.

    Attributes:
        image_size: Shorter side in pixels to which images are resized; None: as it is.
        centre_crop: Cut the largest square out of the middle first.
    """

    image_size: int | None = None
    centre_crop: bool = False

    def __post_init__(self) -> None:
        if self.image_size is not None and self.image_size < 1:
            raise InputError(f"Expected an image size of at least 1 pixel, got {self.image_size}.")

    @property
    def keeps_files(self) -> bool:
        """Whether files are stored byte for byte."""
        return self.image_size is None and not self.centre_crop

    def describe(self) -> dict[str, Any] | None:
        """Return what the record tells of it; None where files are stored byte for byte."""
        if self.keeps_files:
            return None
        return {
            "image_size": self.image_size,
            "centre_crop": self.centre_crop,
            "images": f"JPEG, quality {JPEG_QUALITY}, {RESAMPLING.name.lower()} resampling",
            "masks": "PNG of 1 bit, nearest pixel",
        }

    def place(self, width: int, height: int) -> tuple[Box, tuple[int, int]]:
        """Return what is kept of an image, and its size afterwards.

        Args:
            width: Of the upright image, in pixels.
            height: Likewise.

        Returns:
            Left, upper, right and lower edge in pixels; then width and height.
        """
        box = (0, 0, width, height)
        if self.centre_crop:
            side = min(width, height)
            left, upper = (width - side) // 2, (height - side) // 2
            box = (left, upper, left + side, upper + side)
        kept = (box[2] - box[0], box[3] - box[1])
        if self.image_size is None:
            return box, kept
        scale = self.image_size / min(kept)
        return box, (round(kept[0] * scale), round(kept[1] * scale))


def encode_image(image: Image.Image, framing: Framing) -> bytes:
    """Return an image cut and resized as a JPEG without metadata.

    Args:
        image: Upright, 8-bit RGB.
        framing: What is kept of it.
    """
    box, size = framing.place(*image.size)
    return _encode(image.resize(size, RESAMPLING, box=box), format="JPEG", quality=JPEG_QUALITY)


def encode_mask(mask: Image.Image, framing: Framing, image_size: tuple[int, int]) -> bytes:
    """Return a mask cut and resized as its image is, as a PNG of 1 bit, white = lesion.

    Args:
        mask: Upright, grey, of any size with the proportions of its image.
        framing: What is kept of the image.
        image_size: Width and height of the upright image in pixels, before it is cut.

    Raises:
        InputError: If the mask has other proportions.
    """
    width, height = image_size
    if abs(mask.width * height / (mask.height * width) - 1) > PROPORTIONS_TOLERANCE:
        raise InputError(
            f"expected the proportions of its image ({width}×{height} pixels), got "
            f"{mask.width}×{mask.height} pixels"
        )
    _, size = framing.place(width, height)
    box = _scale(framing.place(width, height)[0], mask.width / width, mask.height / height)
    cut = mask.resize(size, Image.Resampling.NEAREST, box=box)
    return _encode(cut.convert("1", dither=Image.Dither.NONE), format="PNG")


def _scale(box: Box, across: float, down: float) -> tuple[float, float, float, float]:
    left, upper, right, lower = box
    return left * across, upper * down, right * across, lower * down


def _encode(image: Image.Image, **options: Any) -> bytes:
    image.info = {}  # a comment of the source would be written again
    stream = BytesIO()
    image.save(stream, **options)
    return stream.getvalue()
