"""Resizing: images and masks resized and optionally cropped to the centre square."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from hf_lesion.errors import InputError

RESAMPLING = Image.Resampling.LANCZOS  # antialiased when reducing
JPEG_QUALITY = 75
ASPECT_TOLERANCE = 0.01  # a mask of half the size may be off by half a pixel

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Resize:
    """How images are stored; by default the original files."""

    image_size: int | None = None  # shorter side in pixels; None keeps the size
    centre_crop: bool = False  # crop the largest centred square first

    def __post_init__(self) -> None:
        if self.image_size is not None and self.image_size < 1:
            raise InputError(f"Expected an image size of at least 1 pixel, got {self.image_size}.")

    @property
    def keeps_files(self) -> bool:
        """Whether files are stored unchanged."""
        return self.image_size is None and not self.centre_crop

    def describe(self) -> dict[str, Any] | None:
        """Return the entry "framing" of `prepared.json`; None where files are stored unchanged."""
        if self.keeps_files:
            return None
        return {
            "image_size": self.image_size,
            "centre_crop": self.centre_crop,
            "images": f"JPEG, quality {JPEG_QUALITY}, {RESAMPLING.name.lower()} resampling",
            "masks": "PNG of 1 bit, nearest pixel",
        }

    def compute_box(self, width: int, height: int) -> tuple[Box, tuple[int, int]]:
        """Return the region to keep of an upright image, in pixels, and its stored size."""
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


def encode_image(image: Image.Image, resize: Resize) -> bytes:
    """Return an upright 8-bit RGB image, cropped and resized, as a JPEG without metadata."""
    box, size = resize.compute_box(*image.size)
    return _encode(image.resize(size, RESAMPLING, box=box), format="JPEG", quality=JPEG_QUALITY)


def encode_mask(mask: Image.Image, resize: Resize, image_size: tuple[int, int]) -> bytes:
    """Return an upright grey mask, cropped and resized like its image, as a 1-bit PNG.

    Its size may be another than `image_size`, the (width, height) of the upright image in pixels
    before cropping, but with the same aspect ratio.

    Raises:
        InputError: If the mask has another aspect ratio.
    """
    width, height = image_size
    if abs(mask.width * height / (mask.height * width) - 1) > ASPECT_TOLERANCE:
        raise InputError(
            f"expected the aspect ratio of its image ({width}×{height} pixels), got "
            f"{mask.width}×{mask.height} pixels"
        )
    box, size = resize.compute_box(width, height)
    across, down = mask.width / width, mask.height / height
    scaled = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
    cropped = mask.resize(size, Image.Resampling.NEAREST, box=scaled)
    return _encode(cropped.convert("1", dither=Image.Dither.NONE), format="PNG")


def _encode(image: Image.Image, **options: Any) -> bytes:
    image.info = {}  # Pillow would write the comment of the source again
    stream = BytesIO()
    image.save(stream, **options)
    return stream.getvalue()
