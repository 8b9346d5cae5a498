import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from hf_lesion.canvas import RESOLUTION, write_figure
from hf_lesion.data import figures
from hf_lesion.labels import CODES

# Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color vision
# deficiency" (2009), severity 1.0, on linear RGB.
DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(linear):
    """Return CIELAB of linear sRGB."""
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    ratios = np.array(to_xyz) @ linear / np.array([0.95047, 1.0, 1.08883])
    x, y, z = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("matrix", DEFICIENCIES.values(), ids=DEFICIENCIES)
def test_class_colours_stay_apart_for_colour_blind_readers(matrix):
    colours = []
    for code in CODES:
        srgb = np.array(to_rgb(figures.COLOUR_OF[code]))
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        colours.append(lab(np.clip(np.array(matrix) @ linear, 0, 1)))
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2))
    assert nearest > 10  # 2.3 is what the eye can just tell apart


@pytest.fixture
def counts():
    return pd.Series([3, 5, 0, 1, 9, 60, 2], index=CODES)


def texts(figure):
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def test_bars_show_every_class_and_the_largest_on_top(counts):
    (axes,) = figures.draw_class_bars(counts).axes
    bars = sorted(axes.patches, key=lambda bar: bar.get_y())
    assert [bar.get_width() for bar in bars] == sorted(counts)
    assert "60  (75.0%)" in texts(axes.figure)
    assert axes.get_yticklabels()[-1].get_text() == "Melanocytic nevus (nv)"


def test_pie_has_the_shares_of_the_classes_that_are_there(counts):
    figure = figures.draw_class_pie(counts)
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[0] == "Melanocytic nevus (nv): 75.0%"
    assert len(labels) == 6
    figure.draw_without_rendering()
    # Nothing is cut off at the edge.
    assert legend.get_window_extent().x1 <= figure.bbox.width


def test_boxes_leave_out_what_is_not_known():
    frame = pd.DataFrame({"age": [40.0, 50.0, np.nan, np.nan], "dx": ["nv", "nv", "nv", "mel"]})
    (axes,) = figures.draw_age(frame).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["nv\n2"]
    frame["age"] = np.nan
    figures.draw_age(frame).draw_without_rendering()


def test_shares_fill_the_bar_and_unknown_is_grey():
    table = pd.DataFrame({"male": [3, 1], "female": [1, 2], "unknown": [0, 1]}, index=["mel", "nv"])
    figure = figures.draw_shares(table, title="Sex")
    (axes,) = figure.axes
    ends = {round(bar.get_x() + bar.get_width(), 6) for bar in axes.containers[-1]}
    assert ends == {1.0}
    grey = {bar.get_facecolor() for bar in axes.containers[-1]}
    assert grey == {(*to_rgb(figures.GREY), 1.0)}
    assert {"75%", "25%", "50%"} <= texts(figure)


@pytest.mark.parametrize("columns", [1, 4, 15])
def test_table_shows_every_count(columns):
    rng = np.random.default_rng(0)
    names = [f"column {number}" for number in range(columns)]
    table = pd.DataFrame(rng.integers(0, 9999, (7, columns)), index=CODES, columns=names)
    figure = figures.draw_table(table, title="Title", label="Column")
    assert {f"{count:,}" for count in table.to_numpy().ravel()} <= texts(figure)
    figure.draw_without_rendering()


def test_missing_values_are_written_at_the_bars():
    missing = pd.DataFrame({"null": [57, 0], "unknown": [0, 234]}, index=["age", "localization"])
    assert {" 57", " 234"} <= texts(figures.draw_missing(missing))
    figures.draw_missing(missing * 0).draw_without_rendering()


def test_per_lesion_bars():
    figure = figures.draw_per_lesion(pd.Series({1: 5514, 2: 1423}))
    assert {"5,514", "1,423"} <= texts(figure)


def test_files_are_whole_and_the_same_again(counts, tmp_path):
    for folder in ("first", "second"):
        figure = figures.draw_class_bars(counts)
        figures.write_svg(figure, tmp_path / folder / "bars.svg")
        write_figure(figure, tmp_path / folder / "bars.png")
    first, second = tmp_path / "first", tmp_path / "second"
    assert (first / "bars.svg").read_bytes() == (second / "bars.svg").read_bytes()
    with Image.open(first / "bars.png") as image:
        width = figures.SIZE[0] * RESOLUTION
        assert image.size == (width, figures.SIZE[1] * RESOLUTION)
    assert sorted(path.name for path in first.iterdir()) == ["bars.png", "bars.svg"]


def test_the_order_of_colours_is_that_of_the_codes():
    assert tuple(figures.COLOUR_OF) == CODES
