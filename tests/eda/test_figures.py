import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from hf_lesion.data.near_duplicates import NearDuplicate
from hf_lesion.eda import figures
from hf_lesion.eda.frame import count_images_per_lesion, count_missing, tabulate
from hf_lesion.labels import CODES


def small_frame(**columns):
    length = len(next(iter(columns.values())))
    dx = pd.Categorical(columns.pop("dx", ["nv"] * length), list(CODES))
    return pd.DataFrame({"dx": dx, **columns})


def texts(figure):
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_classes_are_bars_with_the_largest_on_top(frame):
    figure = figures.plot_classes(frame)
    (axes,) = figure.axes
    assert tick_labels(axes.yaxis)[0] == "Melanocytic nevus (nv)"
    assert axes.yaxis_inverted()
    assert [bar.get_width() for bar in axes.patches] == list(frame["dx"].value_counts())
    count = (frame["dx"] == "nv").sum()
    assert f"{count}  ({count / len(frame):.1%})" in texts(figure)


def test_boxes_leave_out_what_is_unknown():
    known = small_frame(age=[40.0, 50.0, np.nan, np.nan], dx=["nv", "nv", "nv", "mel"])
    (axes,) = figures.plot_age(known).axes
    assert tick_labels(axes.xaxis)[CODES.index("nv")] == "nv\n2"
    assert tick_labels(axes.xaxis)[CODES.index("mel")] == "mel\n0"


def test_shares_fill_the_bar_and_unknown_is_grey():
    known = small_frame(
        dx=["mel"] * 4 + ["nv"] * 4,
        sex=["male"] * 3 + ["female", "male", "female", "female", None],
    )
    figure = figures.plot_shares(known, "sex")
    (axes,) = figure.axes
    unknown = axes.containers[-1]
    assert {bar.get_facecolor() for bar in unknown} == {to_rgba(figures.GREY)}
    assert [bar.get_x() + bar.get_width() for bar in unknown][4:6] == pytest.approx([1, 1])
    assert {"75%", "25%", "50%"} <= texts(figure)


def test_counts_are_written_into_tables_and_at_bars(frame):
    counts = tabulate(frame, "localization").to_numpy().ravel()
    assert texts(figures.plot_table(frame, "localization")) == set(map(str, counts))
    missing = count_missing(frame).sum(axis=1)
    assert texts(figures.plot_missing(frame)) == set(map(str, missing))
    assert texts(figures.plot_images_per_lesion(frame)) == set(
        map(str, count_images_per_lesion(frame))
    )


def test_masks_are_shown_with_every_known_centre(frame):
    for known in (frame, frame.assign(x=frame["x"].where(frame["dx"] == "nv"))):
        figure = figures.plot_masks(known)
        (mesh,) = figure.axes[1].collections
        assert mesh.get_array().sum() == known["x"].notna().sum()
        figure.draw_without_rendering()


def test_swatches_have_the_mean_colours(frame, bare):
    swatches = np.asarray(figures.plot_colours(frame).axes[0].images[0].get_array())
    assert swatches.shape == (7, 2, 3)
    red = frame[frame["dx"] == "mel"]["lesion_r"].mean() / 255
    assert swatches[CODES.index("mel"), 0, 0] == pytest.approx(red)
    whole = figures.plot_colours(bare)
    assert np.asarray(whole.axes[0].images[0].get_array()).shape == (7, 1, 3)
    assert whole.axes[1].get_title() == "Luminance of the frame"


def test_samples_have_a_row_for_each_class():
    pictures = {number: Image.new("RGB", (40, 30), (number, 0, 0)) for number in range(5)}
    figure = figures.plot_samples({"mel": [0, 1, 2], "nv": [3, 4]}, pictures)
    shown = [axes.images[0].get_array()[0, 0, 0] for axes in figure.axes if axes.images]
    assert shown == [0, 1, 2, 3, 4]
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles == ["Melanoma (mel)", "Melanocytic nevus (nv)"]
    figures.plot_samples({"mel": [0]}, pictures).draw_without_rendering()


@pytest.mark.parametrize("count", [1, 5])
def test_near_duplicates_are_next_to_each_other_with_their_names(count):
    rows = pd.DataFrame(
        {"image_id": ["A", "B"], "label": ["nv", "mel"], "split": ["train", "test"]}
    )
    pictures = {0: Image.new("RGB", (40, 30), "red"), 1: Image.new("RGB", (40, 30), "blue")}
    pairs = [NearDuplicate(0, 1, 1, 12, 0.876)] * count
    figure = figures.plot_near_duplicates(rows, pairs, pictures, total=9)
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == count
    assert shown[0].get_title(loc="left") == "A nv train | B mel test\ncorrelation 0.88, mirrored"
    pixels = np.asarray(shown[0].images[0].get_array())
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[0, -1].tolist() == [0, 0, 255]
    assert figure.get_suptitle().startswith("9 near-duplicates under two lesion_ids; the")
