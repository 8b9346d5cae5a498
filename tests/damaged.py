"""Damaged images by seeds: truncated, bits flipped, numbers overwritten, parts cut out.

EXIF, tags and profiles are in the files, so that they are spoilt as well.
"""

import io
import struct

import numpy as np
import profiles
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP")


def build_exif(rng):
    """Return EXIF with an orientation, text, rationals and sub-IFDs: much to go wrong."""
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(1, 9))
    exif[0x010E] = "a lesion"
    exif[0x011A] = 72.0
    exif.get_ifd(0x8769)[0x829A] = (1, 60)
    exif.get_ifd(0x8825)[2] = (48.0, 12.0, 30.5)
    return exif


def build_image(kind, rng):
    """Return the content of a sound file, of one of the modes that the format has."""
    pixels = rng.integers(0, 256, (24, 32, 4), dtype=np.uint8)
    modes = {"JPEG": ("RGB", "L", "CMYK"), "PNG": ("RGB", "RGBA", "P", "L", "LA", "1", "I;16")}
    modes |= {"TIFF": ("RGB", "RGBA", "L", "I;16", "CMYK", "1"), "BMP": ("RGB", "L", "P", "1")}
    modes |= {"WEBP": ("RGB", "RGBA"), "AVIF": ("RGB", "RGBA"), "GIF": ("P",)}
    mode = str(rng.choice(modes[kind]))
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(pixels).convert("RGB").convert(mode)
    options = {} if kind in ("GIF", "BMP") else {"exif": build_exif(rng)}
    if kind not in ("GIF", "BMP") and mode in ("RGB", "RGBA"):
        options["icc_profile"] = profiles.rgb_profile(profiles.DISPLAY_P3, 2.2)
    if kind == "TIFF":
        options["compression"] = str(rng.choice(["raw", "tiff_lzw", "tiff_deflate", "packbits"]))
        options.pop("exif" if rng.random() < 0.5 else "icc_profile", None)
    return save(image, kind, **options)


def save(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def truncate(data, rng):
    return data[: int(rng.integers(0, len(data)))]


def flip_bits(data, rng):
    found = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, 12)):
        found[place] ^= 1 << int(rng.integers(8))
    return bytes(found)


def overwrite_header(data, rng):
    """Spoil a few bytes near the beginning, where sizes, tags and profiles are."""
    found = bytearray(data)
    for place in rng.integers(0, min(len(data), 600), rng.integers(1, 6)):
        found[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
    return bytes(found)


def spoil_numbers(data, rng):
    """Overwrite four bytes with numbers at which counts, offsets and sizes overflow."""
    found = bytearray(data)
    for place in rng.integers(0, max(1, len(data) - 4), rng.integers(1, 4)):
        number = int(rng.choice([0, 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]))
        found[place : place + 4] = struct.pack(str(rng.choice(["<I", ">I"])), number)
    return bytes(found)


def cut_out(data, rng):
    start, end = sorted(rng.integers(0, len(data), 2))
    return data[:start] + data[end:]


DAMAGES = (truncate, flip_bits, overwrite_header, spoil_numbers, cut_out)


def damage(kind, seed):
    """Return the content of a damaged file."""
    rng = np.random.default_rng([seed, *kind.encode()])
    return DAMAGES[seed % len(DAMAGES)](build_image(kind, rng), rng)


def spoil(data, rng):
    """Return bytes damaged in one of the ways, never none at all."""
    return DAMAGES[int(rng.integers(len(DAMAGES)))](data, rng) or b"\0"
