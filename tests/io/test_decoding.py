import io
import struct
import zlib

import numpy as np
import profiles
import pytest
from PIL import Image, ImageCms

from hf_lesion.errors import InputError
from hf_lesion.explain.overlay import overlay
from hf_lesion.explain.shortcuts import change
from hf_lesion.io.decoding import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
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


def test_transparency_lies_on_white():
    assert load_image(Image.new("RGBA", (4, 4), (200, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_a_colour_that_stands_for_clear_is_clear():
    """PNG names one colour as clear, also in RGB without an alpha channel and in 16-bit grey."""
    image = Image.new("RGB", (4, 4), (200, 0, 0))
    image.putpixel((1, 0), (0, 200, 0))
    found = load_image(encode(image, transparency=(200, 0, 0)))
    assert found.getpixel((0, 0)) == (255, 255, 255)
    assert found.getpixel((1, 0)) == (0, 200, 0)
    deep = Image.fromarray(np.array([[1000, 514]], np.uint16))
    assert pixels_of(encode(deep, transparency=1000))[0, :, 0].tolist() == [255, 2]


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
        *(WIDE_GAMUT[:length] for length in (40, 128, 150, 250)),
    ],
    ids=["sRGB", "sRGB by table", "grey", "CMYK", "all black", "text", "40", "128", "150", "250"],
)
def test_an_image_of_srgb_or_of_a_profile_that_is_none_of_its_own_stays_to_the_bit(profile):
    image = noise_image("RGB")
    assert np.array_equal(load_image(encode(image, icc_profile=profile)), image)


def tiff(values, **tags):
    """Return a grey TIFF with these tags (by number) in place of Pillow's own."""
    values = np.asarray(values)
    depth = values.dtype.itemsize * 8
    shape = {256: values.shape[1], 257: values.shape[0], 258: depth, 259: 1, 262: 1, 277: 1}
    entries = shape | {273: 8, 278: values.shape[0], 279: values.nbytes}
    entries |= {int(tag[1:]): value for tag, value in tags.items()}
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    listed = b"".join(struct.pack("<HHII", tag, 4, 1, entries[tag]) for tag in sorted(entries))
    ends = struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries))
    return b"II*\0" + ends + listed + bytes(4)


DEEP = np.array([[0, 200, 300, 4095, 65535]], np.uint16)
OF_16, OF_12 = [0, 1, 1, 16, 255], [0, 12, 19, 255, 255]
SIGNED = np.array([[-5, 0, 200, 16384, 32767]], np.int16)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (encode(Image.fromarray(DEEP)), OF_16),
        (encode(Image.fromarray(DEEP // 300)), [0, 0, 0, 0, 1]),
        (encode(Image.fromarray(DEEP), "TIFF"), OF_16),
        (Image.fromarray(DEEP), OF_16),
        (Image.fromarray(DEEP.astype(">u2")), OF_16),
        (Image.fromarray(DEEP.astype(np.int32)), OF_16),
        (encode(Image.fromarray(DEEP.astype(np.int32)), "PPM"), OF_16),
        (tiff(DEEP, t281=65535), OF_16),
        (tiff(DEEP, t281=300), OF_16),  # the largest value, which says nothing of the depth
        (tiff(DEEP, t281=4095), OF_12),
        (tiff(DEEP, t262=0), [255, 254, 254, 239, 0]),  # white is zero
        (tiff(SIGNED, t339=2), [0, 0, 2, 128, 255]),
        (tiff(DEEP.astype(np.uint32) * 65537), OF_16),
        (tiff(DEEP.astype(np.int32) * 32768, t339=2), OF_16),
        (Image.fromarray(np.array([[0, 200, 255]], np.uint8)), [0, 200, 255]),
        (Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), [0, 255]),
    ],
    ids=[
        *(
            "PNG",
            "dark PNG",
            "TIFF",
            "I;16",
            "I;16B",
            "I",
            "PGM",
            "says 16",
            "says its largest",
            "says 12",
        ),
        *("min is white", "signed 16", "unsigned 32", "signed 32", "8", "1"),
    ],
)
def test_depth_is_read_from_the_file_and_not_guessed_from_the_values(source, expected):
    assert pixels_of(source)[0, :, 0].tolist() == expected


def test_twelve_packed_bits_are_read():
    """A TIFF of BitsPerSample 12 packs two values into three bytes."""
    packed = np.array([[0x00, 0x0F, 0xFF, 0x80, 0x00, 0x00]], np.uint8)  # 0, 4095, 2048, 0
    content = tiff(packed, t256=4, t258=12, t279=6)
    assert pixels_of(content)[0, :, 0].tolist() == [0, 255, 128, 0]


def png(header, data=b""):
    """Return a PNG of a header (IHDR) and of rows that are packed here."""

    def chunk(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def test_sixteen_bits_of_each_colour_keep_their_upper_eight():
    row = b"\0" + struct.pack(">6H", 0, 200, 65535, 4095, 256, 128 * 257)
    content = png(struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0), row)
    assert pixels_of(content)[0].tolist() == [[0, 0, 255], [15, 1, 128]]


def with_exif(content, *entries):
    """Return a JPEG with these EXIF entries: tag, type, count and four bytes of value or offset."""
    body = b"II*\0" + struct.pack("<IH", 8, len(entries))
    body += b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    body += struct.pack("<Iii", 0, -1, 0) + bytes(16)
    segment = b"Exif\0\0" + body
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]


TURNED = (ORIENTATION, 3, 1, struct.pack("<Hxx", 6))
# Tags of 8 + 2 + 12 each + 4 bytes before the rational -1/0, which some cameras write.
BAD_RATIONAL = (0x829A, 10, 1, struct.pack("<I", 38))


@pytest.mark.parametrize(
    ("entries", "turn"),
    [
        ([TURNED, BAD_RATIONAL], Image.Transpose.ROTATE_270),
        ([TURNED, (0x8769, 4, 1, struct.pack("<I", 8))], Image.Transpose.ROTATE_270),
        ([TURNED, (0x8825, 2, 2**32 - 1, b"abcd")], Image.Transpose.ROTATE_270),
        ([TURNED, (0x9999, 99, 7, b"odd!")], Image.Transpose.ROTATE_270),
        ([(ORIENTATION, 4, 1, struct.pack("<I", 6))], Image.Transpose.ROTATE_270),
        ([(ORIENTATION, 3, 2, struct.pack("<HH", 6, 6))], Image.Transpose.ROTATE_270),
        ([(ORIENTATION, 3, 1, struct.pack("<Hxx", 99))], None),
        ([(ORIENTATION, 2, 4, b"six\0")], None),
        ([(ORIENTATION, 5, 1, struct.pack("<I", 26))], None),
        ([BAD_RATIONAL], None),
    ],
    ids=[
        *("-1/0", "sub-IFD in a circle", "endless", "unknown type", "long", "two values"),
        *("99", "text", "rational", "absent"),
    ],
)
def test_a_photograph_is_turned_upright_whatever_else_its_exif_holds(entries, turn):
    plain = encode(noise_image("RGB", (40, 20)), "JPEG")
    content, expected = with_exif(plain, *entries), load_image(plain)
    expected = expected if turn is None else expected.transpose(turn)
    found, opened = load_image(content), Image.open(io.BytesIO(content))
    for source in (content, found, opened, opened):  # turned once
        assert np.array_equal(load_image(source), expected)


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


def truncated_jpeg():
    buffer = io.BytesIO()
    noise_image("RGB", (200, 150)).save(buffer, "JPEG")
    return buffer.getvalue()[:2000]


@pytest.mark.parametrize(
    "content", [b"", b"just text", truncated_jpeg()], ids=["empty", "text", "truncated"]
)
def test_what_is_no_image_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "x.jpg"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.jpg can't be read as an image \(\w+\): the file is "):
        load_image(file)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    for name, side in (("bomb", 13_000), ("larger", 30_000)):
        content = png(struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        (tmp_path / f"{name}.png").write_bytes(content)
    with pytest.raises(
        InputError, match=r"bomb\.png has 13000×13000 pixels; at most 40 million can"
    ):
        load_image(tmp_path / "bomb.png")
    with pytest.raises(InputError, match=r"larger\.png has too many pixels to be read\."):
        load_image(tmp_path / "larger.png")
    assert MAX_PIXELS < 13_000**2


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("F", (4, 4)), r"^Floating-point images can't be shown as colours\. Pass 8 or"),
        (Image.new("LAB", (4, 4)), r"^The image holds CIELAB values\. Save it as RGB\.$"),
        (Image.new("RGB", (0, 4)), r"^The image has 0×4 pixels\. Pass an image\.$"),
        (encode(Image.new("F", (4, 4)), "TIFF"), r"^Floating-point images can't be shown"),
    ],
    ids=["floats", "CIELAB", "no pixels", "floats in a file"],
)
def test_what_cannot_be_shown_is_refused_before_it_is_converted(image, message):
    for read in (load_image, decode):
        with pytest.raises(InputError, match=message):
            read(image)


def test_twelve_bits_of_each_colour_in_sixteen_are_refused_not_shown_dark():
    values = np.full((1, 2, 3), 4095, np.uint16)
    content = tiff(values.reshape(1, 6), t256=2, t262=2, t277=3, t281=4095)
    with pytest.raises(InputError, match=r"^The image holds 12 bits of each colour in 16\. Save"):
        load_image(content)


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
