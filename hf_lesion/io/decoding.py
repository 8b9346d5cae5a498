"""Image decoding: any image file as upright 8-bit sRGB, and the images below a folder.

Colours follow the embedded ICC profile, as in a browser. Transparent images are placed on white. Of
an animation only the first frame is read.

The bit depth is read from the file, never guessed from its values. White is 65535 in Pillow's modes
`I;16` and `I`, which it uses for 16-bit PNG and PGM. In a TIFF it is the largest value of
`BitsPerSample`, or `MaxSampleValue` if that states a number of bits (4095: 12 bits stored in 16).
"""

import contextlib
import functools
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageCms, ImageOps
from PIL.ExifTags import Base

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.files import storable_name, walk

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp"),
    *(".avif", ".tif", ".tiff", ".bmp", ".gif"),
)
# Pillow reads more: some formats are programs (EPS), most are rarely tested.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
MAX_PIXELS = 40_000_000
VIEWS = 8
TURNS = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
TURNED = range(2, 9)  # EXIF orientations other than upright
QUARTER_TURNS = range(5, 9)  # those that swap width and height
EIGHT_BIT = 255
UNSIGNED_32 = 2**32
SIGNED, MIN_IS_WHITE = 2, 0  # SampleFormat and PhotometricInterpretation of a TIFF
# Colour space in an ICC profile by Pillow's mode.
COLOUR_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
GREYS = ("1", "L", "LA")
FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
SAME = 2  # levels of 255; the many sRGB profiles differ by rounding
HALF = 128  # white is above and black below in every valid profile

Source = str | Path | bytes | Image.Image


class ImageFile(Protocol):
    """A readable file: a path or a member of a zip archive."""

    @property
    def name(self) -> str:
        """Name without folders."""

    def read_bytes(self) -> bytes:
        """Return the content."""


def load_image(source: Source, *, draft: tuple[int, int] | None = None) -> Image.Image:
    """Return an image of any format, mode, profile and orientation as upright 8-bit sRGB.

    Pixels of an upright 8-bit sRGB image are not changed. Damaged profiles and EXIF are ignored.
    The result has neither, so that loading it again changes nothing.

    Args:
        source: Path, content of a file, or image. Its size is checked before any pixel is decoded.
        draft: Width and height down to which a JPEG may be decoded smaller, which is faster; None
            decodes it in full size.

    Raises:
        InputError: If it is not an image, is damaged, has floating-point values, or has more than
            `MAX_PIXELS` pixels.
        OSError: If the file does not exist or is not readable.
    """
    with _reading(source):
        image = decode(source, draft=draft)
        return _turn_upright(_as_rgb(image), _read_orientation(image))


def decode(source: Source, *, draft: tuple[int, int] | None = None) -> Image.Image:
    """Return an image with all pixels decoded, in its own mode and stored orientation.

    Arguments and errors are those of `load_image`, which accepts the same files and should be
    called instead unless the mode matters.
    """
    with _reading(source):
        image = source if isinstance(source, Image.Image) else _open(source)
        if draft is not None:
            image.draft("RGB", draft)
        _check_size(image, _name_of(source))
        image.load()
        _check_depth(image, _name_of(source))
    return image


def read_size(source: str | Path | bytes) -> tuple[int, int]:
    """Return width and height in pixels of an image once upright, from its header alone."""
    with _reading(source), _open(source) as image:
        return upright_size(image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height in pixels of an image once it is turned as its EXIF data says."""
    is_turned = _read_orientation(image) in QUARTER_TURNS
    return (image.height, image.width) if is_turned else (image.width, image.height)


def list_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the images at any depth below a folder and the other files, each in order.

    Folders and links are searched as by `walk`.
    """
    files = walk(folder)
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    taken = set(images)
    return images, [file for file in files if file not in taken]


def describe_left_out(files: Sequence[ImageFile]) -> str:
    """Return one line on the files that were left out; empty if there are none."""
    if not files:
        return ""
    what = "1 other file was" if len(files) == 1 else f"{len(files):,} other files were"
    return f"{what} left out: {list_offenders([storable_name(file.name) for file in files])}"


def lay_down(image: Image.Image, view: int) -> Image.Image:
    """Return an image in one of eight orientations, since dermoscopic images have none.

    Views 0 to 3 are quarter turns, 4 to 7 those of the mirrored image.
    """
    mirrored = ImageOps.mirror(image) if view >= VIEWS // 2 else image
    turn = TURNS[view % len(TURNS)]
    return mirrored if turn is None else mirrored.transpose(turn)


def _name_of(source: Source) -> str:
    return storable_name(source) if isinstance(source, str | Path) else "The image"


@contextlib.contextmanager
def _reading(source: Source) -> Iterator[None]:
    """Silence Pillow's warnings, and raise InputError whatever it raises on damaged files."""
    name = _name_of(source)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            yield
        except (InputError, FileNotFoundError, PermissionError):
            raise
        except Image.DecompressionBombError as error:
            raise InputError(
                f"{name} has too many pixels to be read. Make it smaller first."
            ) from error
        except Exception as error:
            raise InputError(
                f"{name} can't be read as an image ({type(error).__name__}): the file is damaged "
                "or not an image. Pass a JPEG or PNG."
            ) from error


def _open(source: str | Path | bytes) -> Image.Image:
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)


def _check_size(image: Image.Image, name: str) -> None:
    if not image.width * image.height:
        raise InputError(f"{name} has {image.width}×{image.height} pixels. Pass an image.")
    if image.width * image.height > MAX_PIXELS:
        raise InputError(
            f"{name} has {image.width}×{image.height} pixels; at most {MAX_PIXELS // 10**6} "
            "million can be read. Make it smaller first."
        )


def _check_depth(image: Image.Image, name: str) -> None:
    if image.mode == "F":
        raise InputError("Floating-point images can't be shown as colours. Pass 8 or 16 bits.")
    if image.mode == "LAB":
        raise InputError(f"{name} holds CIELAB values. Save it as RGB.")
    # Of 16 bits a colour Pillow keeps the upper 8, which of 12 bits in 16 are only 4.
    if not image.mode.startswith("I") and 8 < (bits := _stated_bits(image)) < 16:
        raise InputError(f"{name} holds {bits} bits of each colour in 16. Save it with 8.")


def _stated_bits(image: Image.Image) -> int:
    """Return the number of bits that `MaxSampleValue` of a TIFF states; 0 if it states none."""
    found = _read_tag(image, Base.MaxSampleValue, 0)
    return found.bit_length() if found > EIGHT_BIT and found & (found + 1) == 0 else 0


def _read_tag(image: Image.Image, tag: int, default: int) -> int:
    """Return a TIFF tag of the first channel; `default` if it is missing or not readable."""
    with contextlib.suppress(Exception):
        found = getattr(image, "tag_v2", {}).get(tag, default)
        return int(found[0] if isinstance(found, tuple) else found)
    return default


def _as_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        image = _to_eight_bits(image)
    if not image.has_transparency_data:
        return _to_srgb(image, profile)
    rgba = image.convert("RGBA")
    colours = _to_srgb(image.convert("L") if image.mode in GREYS else rgba, profile)
    colours.putalpha(rgba.getchannel("A"))
    white = Image.new("RGBA", rgba.size, (EIGHT_BIT,) * 4)
    return Image.alpha_composite(white, colours).convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Return a deep grey image in mode L; the module docstring says what is white."""
    bits = _read_tag(image, Base.BitsPerSample, 16)
    is_signed = _read_tag(image, Base.SampleFormat, 1) == SIGNED
    white = 2 ** min(_stated_bits(image) or bits, bits - is_signed) - 1
    stored = np.asarray(image)
    values = stored.astype(np.float32)  # in place from here: 40 million of them
    if bits == 32 and not is_signed:
        values %= UNSIGNED_32  # Pillow holds them as signed
    values *= EIGHT_BIT / white
    np.clip(values, 0, EIGHT_BIT, out=values)
    if _read_tag(image, Base.PhotometricInterpretation, 1) == MIN_IS_WHITE:
        np.subtract(EIGHT_BIT, values, out=values)
    if isinstance(clear := image.info.get("transparency"), int):
        values[stored == clear] = EIGHT_BIT
    return Image.fromarray(np.rint(values, out=values).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an 8-bit image as RGB, ignoring transparency."""
    modes = ("L", "RGB") if image.mode in GREYS else ("CMYK" if image.mode == "CMYK" else "RGB",)
    for mode in modes if profile else ():
        if transform := _build_transform(profile, mode):
            return _apply(transform, image.convert(mode))
    return image.convert("RGB")


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    if image.mode != "L":
        return transform.apply(image)
    # Exact at each of the 256 levels: over whole images the library thins out grey curves.
    levels = Image.frombytes("L", (256, 1), bytes(range(256)))
    return image.point(list(transform.apply(levels).getchannel("R").tobytes())).convert("RGB")


@functools.lru_cache(maxsize=4)
def _build_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a colour profile to sRGB; None if there is nothing to convert.

    This is the case if the profile is sRGB, has another colour space than `mode`, or is damaged
    (not readable, or white becomes black). Relative colorimetric with black point compensation, as
    in image editors.
    """
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space.strip() != COLOUR_SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            opened,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=FLAGS | (ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE),
        )
        before, after = (np.asarray(shown, int)[0] for shown in _try_out(transform, mode))
    except Exception:  # noqa: BLE001 - whatever the library raises over damaged bytes
        return None
    is_sound = after[-1].min() >= HALF > after[0].max()
    is_srgb = mode != "CMYK" and abs(after - before).max() <= SAME
    return transform if is_sound and not is_srgb else None


def _try_out(transform: ImageCms.ImageCmsTransform, mode: str) -> tuple[Image.Image, Image.Image]:
    """Return colours from black to white converted without and with the profile."""
    levels = np.linspace(0, EIGHT_BIT, 17).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    shown = Image.fromarray(colours.reshape(1, -1, 3)).convert(mode)
    return shown.convert("RGB"), transform.apply(shown)


def _read_orientation(image: Image.Image) -> object:
    """Return the EXIF or XMP orientation; 1 (upright) if it cannot be read."""
    # After an error on damaged EXIF, a second call returns what the first could read.
    with contextlib.suppress(Exception):
        image.getexif()
    with contextlib.suppress(Exception):
        found = image.getexif().get(Base.Orientation, 1)
        return found[0] if isinstance(found, tuple | bytes) else found
    return 1


def _turn_upright(image: Image.Image, orientation: object) -> Image.Image:
    image.info = {}
    if orientation not in TURNED:
        return image
    # Alone in a new EXIF: the file's own may be damaged elsewhere.
    image.getexif()[Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)
