import io

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from hf_lesion.data.resizing import Resize, encode_image, encode_mask

FRAME = (600, 450)  # of every published image of HAM10000
SQUARE = (75, 0, 525, 450)


def draw_frame(size=FRAME):
    """A smooth picture in which no two places look alike."""
    across, down = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    waves = 127 + 80 * np.sin(across / 12) * np.cos(down / 10)
    return Image.fromarray(np.stack([across, down, waves], axis=2).round().astype(np.uint8))


def draw_mask(size=FRAME):
    """An ellipse off the middle, most of it inside the centre square."""
    x, y = np.meshgrid(np.arange(size[0]) / size[0], np.arange(size[1]) / size[1])
    inside = ((x - 0.35) / 0.3) ** 2 + ((y - 0.55) / 0.25) ** 2 < 1
    return Image.fromarray(inside.astype(np.uint8) * 255)


def decode(data):
    return Image.open(io.BytesIO(data))


def test_one_jpeg_quality_and_no_metadata():
    source = io.BytesIO()
    draw_frame().save(source, "JPEG", quality=98, comment=b"a name", exif=b"Exif\x00\x00")
    resize = Resize(256, centre_crop=True)
    found = decode(encode_image(decode(source.getvalue()), resize))
    reference = io.BytesIO()
    Image.new("RGB", (8, 8)).save(reference, "JPEG", quality=75)
    assert found.quantization == decode(reference.getvalue()).quantization
    assert JpegImagePlugin.get_sampling(found) == 2  # 4:2:0
    assert not {"comment", "exif", "icc_profile"} & set(found.info)


@pytest.mark.parametrize("factor", [1, 2])
def test_masks_are_cut_to_the_same_region(factor):
    """A mask may have another resolution than its image, but shows the same frame."""
    resize = Resize(256, centre_crop=True)
    mask = draw_mask((FRAME[0] // factor, FRAME[1] // factor))
    found = decode(encode_mask(mask, resize, FRAME))
    assert (found.size, found.mode, found.format) == ((256, 256), "1", "PNG")
    expected = np.asarray(draw_mask().crop(SQUARE).resize((256, 256), Image.Resampling.BOX)) > 127
    assert (np.asarray(found) != expected).mean() < 0.01
    shown = draw_frame()
    shown.paste((255, 255, 255), mask=draw_mask())
    white = np.asarray(decode(encode_image(shown, resize))).min(axis=2) > 200
    assert (np.asarray(found) != white).mean() < 0.01


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((450, 600), (0, 75, 450, 525)),
        ((601, 450), (75, 0, 525, 450)),
        ((1, 1), (0, 0, 1, 1)),
    ],
)
def test_any_proportions_are_cut_in_the_middle(size, box):
    assert Resize(64, centre_crop=True).compute_box(*size) == (box, (64, 64))
    side = min(size)
    assert Resize(centre_crop=True).compute_box(*size) == (box, (side, side))
    assert Resize().compute_box(*size) == ((0, 0, *size), size)


def test_without_the_crop_the_whole_frame_stays():
    assert Resize(256).compute_box(*FRAME) == ((0, 0, *FRAME), (341, 256))
    assert Resize().describe() is None
