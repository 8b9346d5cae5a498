import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hf_lesion.data import sheets
from hf_lesion.data.duplicates import NearDuplicate
from hf_lesion.data.exploration import read_frame
from hf_lesion.labels import CODES


@pytest.fixture(scope="module")
def frame(sample_dataset):
    return read_frame(sample_dataset)


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_masks_are_drawn_with_every_known_centre(frame):
    figure = sheets.draw_masks(frame)
    assert titles(figure)[:2] == ["Area of the lesion", "Centre of the lesion"]
    (picture,) = figure.axes[1].images
    assert picture.get_array().sum() == len(frame)
    figure.draw_without_rendering()


def test_masks_of_some_images_suffice(frame):
    part = frame.astype({"touches": object})
    part.loc[part["dx"] != "nv", ["area", "x", "y", "touches"]] = None
    (picture,) = sheets.draw_masks(part).axes[1].images
    assert picture.get_array().sum() == (part["dx"] == "nv").sum()


def test_swatches_have_the_mean_colours(frame):
    figure = sheets.draw_colours(frame)
    colours = np.asarray(figure.axes[0].images[0].get_array())
    assert colours.shape == (7, 2, 3)
    red = frame[frame["dx"] == "mel"]["lesion_r"].mean() / 255
    assert colours[CODES.index("mel"), 0, 0] == pytest.approx(red)


def test_colours_without_masks_are_of_the_whole_frame(frame):
    bare = frame.copy()
    columns = [f"{part}_{channel}" for part in ("lesion", "skin") for channel in "rgb"]
    bare[columns] = np.nan
    figure = sheets.draw_colours(bare)
    assert np.asarray(figure.axes[0].images[0].get_array()).shape == (7, 1, 3)
    assert titles(figure)[1] == "Luminance of the whole frame"


def test_sources_that_are_not_known_are_one_box(frame):
    figure = sheets.draw_source_colours(frame.assign(dataset=None))
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == [f"unknown\n{len(frame)}"]


def test_samples_have_a_row_for_each_class():
    pictures = {number: Image.new("RGB", (40, 30), (number, 0, 0)) for number in range(5)}
    figure = sheets.draw_samples({"mel": [0, 1, 2], "nv": [3, 4]}, pictures)
    shown = [axes.images[0].get_array()[0, 0, 0] for axes in figure.axes if axes.images]
    assert shown == [0, 1, 2, 3, 4]
    assert [title for title in titles(figure) if title] == [
        "Melanoma (mel)",
        "Melanocytic nevus (nv)",
    ]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pairs_are_side_by_side_with_their_names(count):
    rows = pd.DataFrame(
        {"image_id": ["A", "B"], "label": ["nv", "mel"], "split": ["train", "test"]}
    )
    pictures = {0: Image.new("RGB", (40, 30), "red"), 1: Image.new("RGB", (40, 30), "blue")}
    figure = sheets.draw_pairs(rows, [NearDuplicate(0, 1, 1, 12, 0.876)] * count, pictures, total=9)
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == count
    assert shown[0].get_title(loc="left") == "A nv train | B mel test\ndetail 0.88, mirrored"
    pixels = np.asarray(shown[0].images[0].get_array())
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[0, -1].tolist() == [0, 0, 255]
    assert figure.get_suptitle().startswith("9 near-duplicates under two lesion_ids, the")
