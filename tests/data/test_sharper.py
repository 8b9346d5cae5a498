import io

import numpy as np
import pytest
from PIL import Image

from hf_lesion.data.sharper import SHARP_BOX, check_sharp, crop_mask, crop_to_sharp
from hf_lesion.errors import InputError

SHARP_SIZE = (224, 224)


def encode(image):
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


def decode(data):
    return Image.open(io.BytesIO(data))


def crop_in_steps(mask):
    """The recipe of shared/README.md, literally: enlarge to 600×450, crop, resize."""
    frame = mask.resize((600, 450), Image.Resampling.NEAREST)
    return frame.crop((75, 0, 525, 450)).resize(SHARP_SIZE, Image.Resampling.NEAREST)


def draw_mask(size):
    width, height = size
    y, x = np.mgrid[:height, :width]
    inside = ((x / width - 0.4) / 0.2) ** 2 + ((y / height - 0.6) / 0.3) ** 2 < 1
    return Image.fromarray((inside * 255).astype(np.uint8))


def test_box_is_square_in_a_frame_of_four_to_three():
    left, upper, right, lower = SHARP_BOX
    assert (right - left) * 4 == pytest.approx((lower - upper) * 3)


@pytest.mark.parametrize("size", [(200, 150), (600, 450)])
def test_mask_equals_the_crop_in_steps(size):
    mask = draw_mask(size)
    cut = decode(crop_mask(encode(mask.convert("1")), SHARP_SIZE))
    assert cut.mode == "1"
    assert cut.size == SHARP_SIZE
    assert np.array_equal(np.asarray(cut), np.asarray(crop_in_steps(mask)) > 127)


def test_inverted_palette_is_decoded():
    mask = draw_mask((200, 150))
    palette = Image.fromarray((np.asarray(mask) == 0).astype(np.uint8), mode="P")
    palette.putpalette([255, 255, 255, 0, 0, 0])
    assert crop_mask(encode(palette), SHARP_SIZE) == crop_mask(encode(mask), SHARP_SIZE)


def test_what_lies_outside_the_box_is_cut_off():
    edges = np.zeros((150, 200), dtype=np.uint8)
    edges[:, :25] = edges[:, 175:] = 255
    cut = np.asarray(decode(crop_mask(encode(Image.fromarray(edges)), SHARP_SIZE)))
    assert not cut.any()


def test_a_sharper_copy_is_square():
    check_sharp(Image.new("RGB", (224, 224)))
    with pytest.raises(InputError) as caught:
        check_sharp(Image.new("RGB", (600, 450)))
    assert str(caught.value) == "expected a square cut, came 600×450 pixels"


@pytest.mark.real_data
def test_real_copies_show_what_the_box_cuts_out(pytestconfig):
    """Moved by two pixels of the soft frame to either side, every cut agrees less (0.957)."""
    data = pytestconfig.rootpath.parent / "shared" / "data"
    files = sorted((data / "HAM10000_224" / "HAM10000_images_part_1").glob("*.jpg"))[::100]
    shifts = {-2: [], 0: [], 2: []}
    for file in files:
        sharp = np.asarray(Image.open(file).convert("L"), dtype=float)
        soft = Image.open(data / "HAM10000" / file.parent.name / file.name).convert("L")
        for shift, correlations in shifts.items():
            moved = Image.fromarray(np.roll(np.asarray(soft), shift, axis=1))
            cut = crop_to_sharp(moved, sharp.shape, Image.Resampling.BICUBIC)
            correlations.append(np.corrcoef(np.ravel(cut), np.ravel(sharp))[0, 1])
    assert len(files) >= 20
    assert np.mean(shifts[0]) > 0.98
    assert (np.array(shifts[0]) > np.maximum(shifts[-2], shifts[2])).all()
