"""Distortions of images: compression, blur, lighting, colour, hair and framing.

Severities are fixed in advance and mild to moderate, such as those caused by phones, messengers and
careless handling (after Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations", ICLR 2019, adapted to dermoscopy).
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from hf_lesion.synthetic.overlays import draw_hair, draw_ink, draw_ruler, draw_vignette

JPEG_QUALITY = 30
BLUR = 1.5  # standard deviation in units of 1/150 of the shorter side, as overlays count
UNITS = 150.0
DARKER, BRIGHTER = 0.7, 1.3
WARM = (1.12, 1.0, 0.88)  # factors of red, green and blue
COOL = (0.88, 1.0, 1.12)
PALER = 0.6  # of the saturation
ANGLE = 30.0  # degrees
HAIRS = 20
BICUBIC = Image.Resampling.BICUBIC

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Distortion:
    """One change of an image, from an RGB image and a random stream to the changed image."""

    label: str
    change: Change
    whole_frames_only: bool = False  # no effect on square images, which are cropped already


def distort(image: Image.Image, name: str, *, seed: int = 0) -> Image.Image:
    """Return an RGB image after one of `DISTORTIONS`; the same seed gives the same result."""
    return DISTORTIONS[name].change(image, np.random.default_rng(seed))


def recompress(image: Image.Image, quality: int) -> Image.Image:
    """Return an RGB image after a pass through JPEG at a quality from 1 to 95."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


def crop_to(image: Image.Image, ratio: float) -> Image.Image:
    """Return the largest part around the centre whose width is `ratio` times its height."""
    width = min(image.width, round(image.height * ratio))
    height = min(image.height, round(image.width / ratio))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _brighten(factor: float) -> Change:
    return lambda image, _: ImageEnhance.Brightness(image).enhance(factor)


def _tint(factors: tuple[float, float, float]) -> Change:
    def change(image: Image.Image, _: np.random.Generator) -> Image.Image:
        values = np.asarray(image, np.float32) * np.array(factors, np.float32)
        return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))

    return change


def _turn(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Rotate about the centre; the corners are filled by reflection."""
    margin = max(image.size) // 2
    sides = ((margin, margin), (margin, margin), (0, 0))
    # "symmetric" also where the margin is wider than the image.
    wide = Image.fromarray(np.pad(np.asarray(image), sides, mode="symmetric"))
    turned = wide.rotate(ANGLE, BICUBIC)
    return turned.crop((margin, margin, margin + image.width, margin + image.height))


DISTORTIONS: dict[str, Distortion] = {
    "jpeg": Distortion(
        f"JPEG quality {JPEG_QUALITY}", lambda image, _: recompress(image, JPEG_QUALITY)
    ),
    "blur": Distortion(
        f"blur, {BLUR:g}/150 of the shorter side",
        lambda i, _: i.filter(ImageFilter.GaussianBlur(BLUR * min(i.size) / UNITS)),
    ),
    "low_resolution": Distortion(
        "half the resolution",
        lambda i, _: i.resize((i.width // 2, i.height // 2), BICUBIC).resize(i.size, BICUBIC),
    ),
    "darker": Distortion(f"brightness × {DARKER:g}", _brighten(DARKER)),
    "brighter": Distortion(f"brightness × {BRIGHTER:g}", _brighten(BRIGHTER)),
    "warm": Distortion(f"colour: red × {WARM[0]:g}, blue × {WARM[2]:g}", _tint(WARM)),
    "cool": Distortion(f"colour: red × {COOL[0]:g}, blue × {COOL[2]:g}", _tint(COOL)),
    "pale": Distortion(
        f"saturation × {PALER:g}", lambda i, _: ImageEnhance.Color(i).enhance(PALER)
    ),
    "quarter_turn": Distortion(
        "rotation by 90°", lambda i, _: i.transpose(Image.Transpose.ROTATE_90)
    ),
    "turn": Distortion(f"rotation by {ANGLE:g}°, mirrored corners", _turn),
    "hair": Distortion(f"{HAIRS} drawn hairs", lambda i, rng: draw_hair(i, rng, count=HAIRS)),
    "ruler": Distortion("a drawn ruler", draw_ruler),
    "ink": Distortion("a drawn pen mark", draw_ink),
    "vignette": Distortion("drawn dark corners", draw_vignette),
    "centre_crop": Distortion(
        "centre crop instead of the whole frame",
        lambda image, _: crop_to(image, 1.0),
        whole_frames_only=True,
    ),
}
