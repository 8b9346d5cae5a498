import io

import numpy as np
import profiles
import pytest
from PIL import Image, ImageCms

from hf_lesion.errors import InputError
from hf_lesion.explain.overlay import overlay
from hf_lesion.explain.shortcuts import change
from hf_lesion.io import decoding
from hf_lesion.io.decoding import (
    IMAGE_SUFFIXES,
    VIEWS,
    decode,
    describe_left_out,
    lay_down,
    list_images,
    load_image,
)

ORIENTATION = 0x0112
WIDE_GAMUT = profiles.rgb_profile(profiles.DISPLAY_P3)


def encode(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels_of(source):
    return np.asarray(load_image(source)).astype(int)


def noise_image(mode, size=(24, 18)):
    rng = np.random.default_rng(1)
    rgb = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    return rgb.convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "YCbCr", "LA", "RGBA", "PA"])
def test_every_common_mode_becomes_rgb(mode):
    image = noise_image("RGBA").convert("P") if mode == "PA" else noise_image(mode)
    assert load_image(image).mode == "RGB"


def test_a_colour_that_stands_for_clear_is_clear():
    """PNG names one colour as clear, also in RGB without an alpha channel."""
    image = Image.new("RGB", (4, 4), (200, 0, 0))
    image.putpixel((1, 0), (0, 200, 0))
    found = load_image(encode(image, transparency=(200, 0, 0)))
    assert found.getpixel((0, 0)) == (255, 255, 255)
    assert found.getpixel((1, 0)) == (0, 200, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_eight_bit_rgb_is_what_pillow_decodes_to_the_bit(kind):
    content = encode(noise_image("RGB"), kind)
    expected = np.asarray(Image.open(io.BytesIO(content)))
    assert np.array_equal(load_image(content), expected)
    assert np.array_equal(load_image(load_image(content)), expected)


@pytest.mark.parametrize(
    ("primaries", "gamma"), [(profiles.DISPLAY_P3, None), (profiles.ADOBE_RGB, 2.19921875)]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_colours_of_an_embedded_profile_are_converted(primaries, gamma, kind):
    profile = profiles.rgb_profile(primaries, gamma)
    content = encode(noise_image("RGB"), kind, icc_profile=profile)
    stored = np.asarray(Image.open(io.BytesIO(content)))
    expected = profiles.to_srgb(stored, primaries, gamma).astype(int)
    assert abs(pixels_of(content) - expected).max() <= 1
    assert abs(stored - expected).max() > 50


def test_a_profile_holds_for_palettes_alpha_and_once_only():
    image = noise_image("RGB")
    expected = profiles.to_srgb(np.asarray(image), profiles.DISPLAY_P3).astype(int)
    palette = image.quantize(16)
    of_palette = profiles.to_srgb(np.asarray(palette.convert("RGB")), profiles.DISPLAY_P3)
    assert abs(pixels_of(encode(palette, icc_profile=WIDE_GAMUT)) - of_palette).max() <= 1
    image.putalpha(128)
    on_white = (expected * 128 + 255 * 127) / 255
    found = load_image(encode(image, icc_profile=WIDE_GAMUT))
    assert abs(np.asarray(found) - on_white).max() <= 1.5
    assert found.info == {}  # saved again, it would say that its colours are still to be converted
    assert np.array_equal(load_image(found), found)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_profiles_are_converted(mode, gamma):
    ramp = np.arange(256, dtype=np.uint8)[np.newaxis]
    grey = Image.fromarray(ramp.astype(np.uint16) * 257 if mode == "I;16" else ramp)
    content = encode(grey.convert(mode), icc_profile=profiles.grey_profile(gamma))
    expected = (profiles.encode((ramp / 255) ** gamma) * 255).round()
    assert abs(pixels_of(content) - expected[..., np.newaxis]).max() <= 1


def test_inks_look_as_their_profile_says():
    """White paper, black, and a cyan and a red of the profile's own."""
    table = np.zeros((2, 2, 2, 2, 3))
    table[..., 0] = 10  # CIELAB of every other mixture: dark
    table[0, 0, 0, 0], table[1, 1, 1, 1] = (100, 0, 0), (0, 0, 0)
    table[1, 0, 0, 0], table[0, 1, 1, 0] = (60, -20, -30), (50, 40, 30)
    image = Image.new("CMYK", (4, 1))
    for place, ink in enumerate([(0,) * 4, (255,) * 4, (255, 0, 0, 0), (0, 255, 255, 0)]):
        image.putpixel((place, 0), ink)
    looks = [table[0, 0, 0, 0], table[1, 1, 1, 1], table[1, 0, 0, 0], table[0, 1, 1, 0]]
    content = encode(image, "TIFF", icc_profile=profiles.cmyk_profile(table))
    assert abs(pixels_of(content)[0] - profiles.lab_to_srgb(looks)).max() <= 2
    assert load_image(image).getpixel((2, 0)) == (0, 255, 255)


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        profiles.rgb_profile(profiles.SRGB),
        profiles.grey_profile(2.2),
        profiles.cmyk_profile(np.zeros((2, 2, 2, 2, 3))),
        profiles.rgb_profile(((0, 0, 0),) * 3),
        b"no profile",
        *(WIDE_GAMUT[:length] for length in (40, 150)),
    ],
    ids=["sRGB", "sRGB by table", "grey", "CMYK", "all black", "text", "40", "150"],
)
def test_an_image_of_srgb_or_of_a_profile_that_is_none_of_its_own_stays_to_the_bit(profile):
    image = noise_image("RGB")
    assert np.array_equal(load_image(encode(image, icc_profile=profile)), image)


DEEP = np.array([[0, 200, 300, 4095, 65535]], np.uint16)


@pytest.mark.parametrize(
    "source",
    [
        encode(Image.fromarray(DEEP)),
        encode(Image.fromarray(DEEP), "TIFF"),
        encode(Image.fromarray(DEEP.astype(np.int32)), "PPM"),
        Image.fromarray(DEEP.astype(">u2")),
        Image.fromarray(DEEP.astype(np.int32)),
    ],
    ids=["PNG", "TIFF", "PGM", "I;16B", "I"],
)
def test_sixteen_bits_become_eight(source):
    assert pixels_of(source)[0, :, 0].tolist() == [0, 1, 1, 16, 255]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 2, 6, 7])
def test_every_orientation_of_every_format(kind, orientation):
    image = Image.new("RGB", (48, 32), "white")
    image.paste("black", (0, 0, 24, 16))  # its upper left quarter
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    found = load_image(encode(image, kind, exif=exif)).convert("L").resize((2, 2), Image.BOX)
    # Where the first row and column of the file belong: EXIF 2.3, Orientation.
    corner = {1: 0, 2: 1, 6: 1, 7: 3}[orientation]
    assert np.asarray(found).ravel().argmin() == corner
    assert (np.asarray(found) < 100).sum() == 1


def test_what_takes_an_image_shows_it_as_it_was_explained():
    """A photograph on its side, with colours of its own: overlays and changes are of it upright."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = encode(noise_image("RGB", (40, 20)), "PNG", exif=exif, icc_profile=WIDE_GAMUT)
    upright, opened = load_image(content), Image.open(io.BytesIO(content))
    heatmap = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    mask = Image.new("L", upright.size)
    expected = overlay(upright, heatmap)
    assert expected.size == (20, 40)
    assert np.array_equal(overlay(opened, heatmap), expected)
    assert np.array_equal(overlay(content, heatmap), expected)
    assert np.array_equal(
        change(opened, mask, "ruler", seed=1), change(upright, mask, "ruler", seed=1)
    )


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("content", [b"", b"just text", encode(noise_image("RGB"), "JPEG")[:300]])
def test_what_is_no_image_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "x.jpg"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.jpg can't be read as an image \(\w+\): the file is "):
        load_image(file)


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    content = encode(Image.new("RGB", (50, 40)))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", None)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 1999)
    with pytest.raises(InputError, match="has 50×40 pixels; at most "):
        load_image(content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    with pytest.raises(InputError, match=r"has too many pixels\. Make it smaller"):
        load_image(content)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (encode(Image.new("F", (4, 4)), "TIFF"), "^Floating-point images can't be shown"),
        (Image.new("RGB", (0, 4)), r"^The image has 0×4 pixels\. Pass an image\.$"),
    ],
    ids=["floats", "no pixels"],
)
def test_what_cannot_be_shown_is_refused_before_it_is_converted(image, message):
    for read in (load_image, decode):
        with pytest.raises(InputError, match=message):
            read(image)


def test_a_draft_is_a_smaller_image_and_only_where_that_saves_time():
    large = Image.new("RGB", (640, 480), "brown")
    assert load_image(encode(large, "JPEG"), draft=(64, 48)).size == (80, 60)
    assert load_image(encode(large, "PNG"), draft=(64, 48)).size == (640, 480)
    assert load_image(encode(large, "JPEG")).size == (640, 480)


def test_programs_are_not_run_to_read_an_image(tmp_path):
    """Pillow hands EPS to Ghostscript, whatever its file is called."""
    (tmp_path / "a.jpg").write_bytes(encode(noise_image("RGB"), "EPS"))
    with pytest.raises(InputError, match=r"a\.jpg can't be read as an image \(Unidentified"):
        load_image(tmp_path / "a.jpg")


def test_a_folder_is_searched_for_every_format_and_the_rest_is_named(tmp_path):
    for name in ("b/x.JPG", "b/.hidden.png", ".cache/a.png", "notes.txt", "b/data.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for suffix in IMAGE_SUFFIXES:
        (tmp_path / f"a{suffix}").touch()
    images, others = list_images(tmp_path)
    expected = sorted([*(f"a{suffix}" for suffix in IMAGE_SUFFIXES), "b/x.JPG"])
    assert sorted(str(file.relative_to(tmp_path)) for file in images) == expected
    assert {"a.jfif", "a.avif", "a.tif", "a.gif", "a.bmp", "a.webp"} <= set(expected)
    assert describe_left_out(others) == "2 other files were left out: data.csv, notes.txt"
    assert describe_left_out(others[:1]) == "1 other file was left out: data.csv"
    assert describe_left_out([]) == ""


def test_the_eight_views_are_all_ways_to_lay_a_square_down():
    corners = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    views = [np.asarray(lay_down(Image.fromarray(corners), view)) for view in range(VIEWS)]
    assert np.array_equal(views[0], corners)
    assert len({view.tobytes() for view in views}) == VIEWS
    expected = [np.rot90(c, k) for c in (corners, corners[:, ::-1]) for k in range(4)]
    assert all(np.array_equal(a, b) for a, b in zip(views, expected, strict=True))
