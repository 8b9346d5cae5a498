"""Damaged images: whatever is wrong with a file, it alone is refused, and in one line.

Files are truncated, have bits flipped, bytes overwritten, and their EXIF, tags and profiles spoilt,
by seeds: each failure names the seed that makes it again.
"""

import io
import struct
import time

import numpy as np
import profiles
import pytest
from PIL import Image

from hf_lesion.data.images import decode_picture
from hf_lesion.errors import InputError
from hf_lesion.pixels import load_image

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP")
QUICK, MANY = 60, 4000  # files of each format
SECONDS = 5  # within which each file is read or refused


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


def read(function, content):
    """Return the image, or the one line that says why there is none."""
    try:
        return function(content)
    except InputError as error:
        return str(error)


def check(kind, seed):
    """Check that a damaged file is shown or refused, by both ways to read one alike."""
    content = damage(kind, seed)
    start = time.perf_counter()
    shown, stored = read(load_image, content), read(decode_picture, content)
    assert time.perf_counter() - start < SECONDS
    if isinstance(shown, str):
        assert shown.startswith("The image ")
        assert isinstance(stored, str)
        return False
    assert (shown.mode, shown.info) == ("RGB", {})
    assert sorted(shown.size) == sorted(stored.size)
    return True


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_file_is_refused_or_shown_and_nothing_else(kind):
    shown = []
    for seed in range(QUICK):
        try:
            shown.append(check(kind, seed))
        except Exception as error:
            raise AssertionError(f"{kind}, seed {seed}") from error
    assert 0 < sum(shown) < QUICK  # else nothing was damaged, or too much


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_many_damaged_files(kind):
    for seed in range(QUICK, MANY):
        try:
            check(kind, seed)
        except Exception as error:
            raise AssertionError(f"{kind}, seed {seed}") from error


def spoil(data, rng):
    return DAMAGES[int(rng.integers(len(DAMAGES)))](data, rng) or b"\0"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_spoilt_exif_refuses_no_sound_image(kind):
    """It is shown to the bit, turned in one of the eight ways."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8))
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    plain = load_image(save(image, kind, **options))
    expected = {plain.tobytes(), *(plain.transpose(way).tobytes() for way in Image.Transpose)}
    turned = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        exif = spoil(build_exif(rng).tobytes(), rng)
        found = load_image(save(image, kind, exif=exif, **options))
        assert found.tobytes() in expected, f"seed {seed}"
        turned += found.tobytes() != plain.tobytes()
    assert turned > 20  # some orientations can be read nevertheless


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_spoilt_profile_refuses_no_sound_image(kind):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8))
    whole = profiles.rgb_profile(profiles.DISPLAY_P3)
    for seed in range(150):
        profile = spoil(whole, np.random.default_rng(seed))
        assert load_image(save(image, kind, icc_profile=profile)).size == image.size, f"seed {seed}"


ERRORS = (struct.error, OverflowError, ZeroDivisionError, KeyError, RecursionError, MemoryError)


@pytest.mark.parametrize("error", [*ERRORS, IndexError, AttributeError])
@pytest.mark.parametrize("place", ["open", "load"])
def test_whatever_a_decoder_raises_is_one_refused_file(monkeypatch, error, place):
    def fail(*arguments, **options):
        raise error("within")

    content = build_image("PNG", np.random.default_rng(0))
    if place == "open":
        monkeypatch.setattr(Image, "open", fail)
    else:
        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    assert read(load_image, content) == (
        f"The image can't be read as an image ({error.__name__}): the file is damaged or not an "
        "image. Pass a JPEG or PNG."
    )
    assert read(decode_picture, content).startswith("broken picture: ")
