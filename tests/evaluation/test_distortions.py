import numpy as np
import pytest
from PIL import Image

from hf_lesion.evaluation.distortions import DISTORTIONS, crop_to, distort


@pytest.fixture(scope="module")
def image():
    colours = np.random.default_rng(0).integers(60, 200, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((120, 90), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_an_image_is_changed_alike_by_the_same_seed(image, name):
    before = np.asarray(image).copy()
    first, again = (distort(image, name, seed=3) for _ in range(2))
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes()
    assert first.size != image.size or first.tobytes() != image.tobytes()
    assert np.array_equal(np.asarray(image), before)


def test_light_and_colour_go_the_way_they_are_called(image):
    means = {name: np.asarray(distort(image, name)).mean((0, 1)) for name in DISTORTIONS}
    plain = np.asarray(image).mean((0, 1))
    assert (means["darker"] < plain).all()
    assert (means["brighter"] > plain).all()
    assert means["warm"][0] > plain[0]
    assert means["warm"][2] < plain[2]
    assert means["cool"][0] < plain[0]
    assert np.ptp(means["pale"]) < np.ptp(plain)


def test_a_turned_image_has_no_empty_corners():
    grey = Image.new("RGB", (120, 90), (90, 90, 90))
    assert np.unique(np.asarray(distort(grey, "turn"))).tolist() == [90]


def test_a_centre_crop_is_the_largest_square(image):
    assert distort(image, "centre_crop").tobytes() == image.crop((15, 0, 105, 90)).tobytes()
    square = image.crop((0, 0, 90, 90))
    assert distort(square, "centre_crop").tobytes() == square.tobytes()
    assert crop_to(square, 4 / 3).size == (90, 68)
