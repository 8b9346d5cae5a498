import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hf_lesion.data.checksums import read_checksums
from hf_lesion.data.description import describe_dataset, describe_sizes, measure_spread

PUBLISHED = [stem for stem in read_checksums() if "_seg" not in stem]


def describe(ids, size, *, spread=None, **options):
    table = pd.DataFrame({"image_id": ids, "width": size[0], "height": size[1], "spread": spread})
    return describe_dataset(table, **{"cut": False, **options})


def test_a_dataset_is_named_with_its_images_resolution_and_geometry():
    whole = describe(PUBLISHED, (256, 256), cut=True)
    assert whole["description"] == (
        "HAM10000, all 10,015 images, 256×256 px, centre square of the frame"
    )
    assert whole["sizes"] == [[256, 256, 10015]]
    few = describe(PUBLISHED[:60], (600, 450))["description"]
    assert few == "HAM10000, 60 of its 10,015 images, 600×450 px, whole frame (4:3)"
    drawn = describe(["SYN_1", "SYN_2"], (64, 64))["description"]
    assert drawn == "drawn sample set, 2 images, 64×64 px, square images"
    own = describe(["mine"], (341, 256))["description"]
    assert own == "1 image in the layout of HAM10000, 341×256 px, whole frame (4:3)"
    official = describe(["mine"], (450, 450), official=True)["description"]
    assert official == "official ISIC 2018 Task 3 test set, 1 image, 450×450 px, square images"


@pytest.mark.parametrize(
    ("spread", "geometry"),
    [
        (1.08, "centre square of the frame"),
        (0.83, "frame squashed to a square"),
        (None, "square images"),
    ],
)
def test_squares_of_a_source_are_told_apart_by_the_lesions_masks(spread, geometry):
    found = describe(PUBLISHED, (256, 256), spread=spread)
    assert found["description"].endswith(f" 256×256 px, {geometry}")
    assert found["spread"] == spread
    assert describe(PUBLISHED[:29], (256, 256), spread=spread)["spread"] is None  # too few


def test_several_sizes_are_summed_up():
    sizes = [(600, 450)] * 5 + [(256, 256)] * 2 + [(1024, 768)]
    assert describe_sizes(sizes) == (
        "3 sizes from 256×256 to 1024×768 px, mostly 600×450 px, frames of several proportions"
    )
    assert describe_sizes([(600, 400), (300, 200)]) == (
        "2 sizes from 300×200 to 600×400 px, mostly 600×400 px, frames of 1.50:1"
    )


def test_the_spread_of_a_lesion_is_that_of_its_image():
    mask = np.zeros((100, 100), np.uint8)
    mask[30:70, 10:90] = 255  # twice as far across as down
    image = Image.fromarray(mask)
    assert measure_spread(image, (100, 100)) == pytest.approx(2, abs=0.01)
    assert measure_spread(image, (200, 100)) == pytest.approx(4, abs=0.02)
    assert measure_spread(Image.fromarray(mask * 0), (100, 100)) is None
