import io

import numpy as np
import pytest
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.pixels import MAX_PIXELS, VIEWS, lay_down, load_image


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


def test_sixteen_bits_do_not_turn_white(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 4, dtype=np.uint16).reshape(4, 64)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    pixels = np.asarray(load_image(tmp_path / "deep.png"))[..., 0].ravel()
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert abs(pixels.mean() - 127.5) < 1


def test_a_photograph_is_turned_upright(tmp_path):
    image = Image.new("RGB", (40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert load_image(tmp_path / "turned.jpg").size == (20, 40)


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
    Image.new("1", (13_000, 13_000)).save(tmp_path / "bomb.png")
    Image.new("1", (30_000, 30_000)).save(tmp_path / "larger.png")
    with pytest.raises(
        InputError, match=r"bomb\.png has 13000×13000 pixels; at most 40 million can"
    ):
        load_image(tmp_path / "bomb.png")
    with pytest.raises(InputError, match=r"larger\.png has too many pixels to be read\."):
        load_image(tmp_path / "larger.png")
    assert MAX_PIXELS < 13_000**2


def test_floating_point_images_are_refused():
    with pytest.raises(InputError, match=r"^Floating-point images can't be shown as colours\."):
        load_image(Image.new("F", (4, 4)))


def test_the_eight_views_are_all_ways_to_lay_a_square_down():
    corners = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    views = [np.asarray(lay_down(Image.fromarray(corners), view)) for view in range(VIEWS)]
    assert np.array_equal(views[0], corners)
    assert len({view.tobytes() for view in views}) == VIEWS
    expected = [np.rot90(c, k) for c in (corners, corners[:, ::-1]) for k in range(4)]
    assert all(np.array_equal(a, b) for a, b in zip(views, expected, strict=True))
