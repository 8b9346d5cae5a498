import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from hf_lesion.evaluation.report.figures import (
    draw_confusion,
)
from hf_lesion.io.figures import write_figure
from hf_lesion.labels import CODES, NAMES

READABLE = 4.5  # WCAG 2.2, 1.4.3, contrast (minimum)


@pytest.fixture
def confusion():
    counts = np.diag([3, 5, 11, 0, 17, 1019, 1])
    counts[4, 5] = 13
    return counts


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def luminance(colour):
    """Relative luminance of WCAG 2.2."""
    rgb = np.asarray(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first, second):
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_cells_show_share_and_count_and_empty_rows_a_dash(confusion):
    cells = np.reshape(texts(draw_confusion(confusion, title="t")), (7, 7))
    assert cells[4, 4] == "57%\n17"
    assert cells[4, 5] == "43%\n13"
    assert cells[5, 5] == "100%\n1,019"
    assert cells[4, 0] == "0"
    assert set(cells[3]) == {"–"}


def test_axes_are_named_with_references_as_rows(confusion):
    axes = draw_confusion(confusion, title="t").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CODES)
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows[4] == f"{NAMES['mel']} (mel)\n30 images"
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("True diagnosis", "Predicted diagnosis")


def test_ink_is_readable_on_every_colour(confusion):
    confusion[0] = [60, 1, 5, 10, 20, 2, 2]
    confusion[1, :2] = [2, 5]  # near the switch of the ink
    axes = draw_confusion(confusion, title="t").axes[0]
    axes.figure.draw_without_rendering()
    for text, cell in zip(axes.texts, axes.collections[0].get_facecolors(), strict=True):
        assert contrast(text.get_color(), cell[:3]) >= READABLE


def test_nothing_is_cut_off_even_with_a_long_title(confusion):
    figure = draw_confusion(confusion, title="a rather long name of a model " * 5)
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height


def test_the_file_is_a_png_and_pyplot_is_left_alone(tmp_path, confusion):
    before = "matplotlib.pyplot" in sys.modules
    write_figure(draw_confusion(confusion, title="t"), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 900
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    assert ("matplotlib.pyplot" in sys.modules) == before
