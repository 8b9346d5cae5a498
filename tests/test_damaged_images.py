"""Whatever is wrong with an image file, it alone is refused, and in one line.

Each failure names the seed that makes its file again; see `damaged`.
"""

import time

import numpy as np
import profiles
import pytest
from damaged import FORMATS, build_exif, build_image, damage, save, spoil
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.io.decoding import decode, load_image

QUICK, MANY = 40, 4000  # files of each format
SECONDS = 5  # within which each file is read or refused


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
    shown, stored = read(load_image, content), read(decode, content)
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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_spoilt_exif_refuses_no_sound_image(kind):
    """It is shown to the bit, turned in one of the eight ways."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8))
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    plain = load_image(save(image, kind, **options))
    expected = {plain.tobytes(), *(plain.transpose(way).tobytes() for way in Image.Transpose)}
    turned = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        exif = spoil(build_exif(rng).tobytes(), rng)
        found = load_image(save(image, kind, exif=exif, **options))
        assert found.tobytes() in expected, f"seed {seed}"
        turned += found.tobytes() != plain.tobytes()
    assert turned > 8  # some orientations can be read nevertheless


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_spoilt_profile_refuses_no_sound_image(kind):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8))
    whole = profiles.rgb_profile(profiles.DISPLAY_P3)
    for seed in range(60):
        profile = spoil(whole, np.random.default_rng(seed))
        assert load_image(save(image, kind, icc_profile=profile)).size == image.size, f"seed {seed}"


@pytest.mark.parametrize("place", ["PIL.Image.open", "PIL.PngImagePlugin.PngImageFile.load"])
@pytest.mark.parametrize("function", [load_image, decode])
def test_whatever_a_decoder_raises_is_one_refused_file(monkeypatch, place, function):
    def fail(*arguments, **options):
        raise RecursionError("within")

    content = build_image("PNG", np.random.default_rng(0))
    monkeypatch.setattr(place, fail)
    assert read(function, content) == (
        "The image can't be read as an image (RecursionError): the file is damaged or not an "
        "image. Pass a JPEG or PNG."
    )
