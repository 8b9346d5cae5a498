import numpy as np
import pytest
from matplotlib.colors import to_rgb

from hf_lesion.evaluation.report.figures import draw_confusion
from hf_lesion.labels import NAMES

READABLE = 4.5  # WCAG 2.2, 1.4.3, contrast (minimum)


@pytest.fixture
def confusion():
    counts = np.diag([3, 5, 11, 0, 17, 1019, 1])
    counts[4, 5] = 13
    return counts


def luminance(colour):
    """Relative luminance of WCAG 2.2."""
    rgb = np.asarray(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first, second):
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_cells_show_share_and_count_and_empty_rows_a_dash_with_references_as_rows(confusion):
    figure = draw_confusion(
        {"confusion_matrix": confusion}, title="a rather long name of a model " * 5
    )
    cells = np.reshape([text.get_text() for text in figure.axes[0].texts], (7, 7))
    assert cells[4, 4] == "57%\n17"
    assert cells[4, 5] == "43%\n13"
    assert cells[5, 5] == "100%\n1,019"
    assert cells[4, 0] == "0"
    assert set(cells[3]) == {"–"}
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows[4] == f"{NAMES['mel']} (mel)\n30 images"
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0, "cut off"
    assert box.x1 <= width, "cut off"
    assert box.y1 <= height, "cut off"


def test_ink_is_readable_on_every_colour(confusion):
    confusion[0] = [60, 1, 5, 10, 20, 2, 2]
    confusion[1, :2] = [2, 5]  # near the switch of the ink
    axes = draw_confusion({"confusion_matrix": confusion}, title="t").axes[0]
    axes.figure.draw_without_rendering()
    for text, cell in zip(axes.texts, axes.collections[0].get_facecolors(), strict=True):
        assert contrast(text.get_color(), cell[:3]) >= READABLE
