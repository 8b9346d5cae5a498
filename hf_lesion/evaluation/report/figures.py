"""Figure of a confusion matrix."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hf_lesion.io.figures import new_figure, title_figure
from hf_lesion.labels import CODES, NAMES

# One hue from light to dark: told apart by lightness, so safe for colour-blind readers.
COLOURS = "Blues"
LIGHT, DARK, FAINT = "white", "black", "0.4"
INK_SWITCH = 0.72  # where white and black ink have the same contrast, about 4.5 to 1
SIZE = (9.6, 6.6)  # inches
TITLE_WIDTH = 85  # characters that fit in one line


def draw_confusion(confusion: NDArray[np.int64], *, title: str) -> Figure:
    """Draw a confusion matrix: colour and percentage by row, with the counts.

    Args:
        confusion: (7, 7) counts in the order of `CODES`; rows are references.
        title: Stands above; wrapped where it is too long.
    """
    counts = np.asarray(confusion)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    figure = new_figure(SIZE)
    axes = figure.add_subplot()
    picture = axes.imshow(shares, cmap=COLOURS, vmin=0, vmax=1, aspect="auto")
    _write_cells(axes, counts, shares)
    _name_axes(axes, counts)
    title_figure(figure, title, characters=TITLE_WIDTH)
    bar = figure.colorbar(picture, ax=axes, aspect=30, pad=0.02)
    bar.set_label("Share of the images with this diagnosis")
    bar.ax.yaxis.set_major_formatter("{x:.0%}")
    bar.outline.set_visible(False)
    return figure


def _write_cells(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for row, column in np.ndindex(counts.shape):
        count, share = counts[row, column], shares[row, column]
        zero = "0" if counts[row].any() else "–"
        text = f"{share:.0%}\n{count:,}" if count else zero
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold" if row == column else "normal",
            color=LIGHT if share > INK_SWITCH else (DARK if count else FAINT),
        )


def _name_axes(axes: Axes, counts: NDArray[np.int64]) -> None:
    places = range(len(CODES))
    names = [
        f"{NAMES[code]} ({code})\n{total:,} images"
        for code, total in zip(CODES, counts.sum(axis=1), strict=True)
    ]
    axes.set_yticks(places, names, fontsize=9)
    axes.set_xticks(places, CODES, fontsize=10)
    axes.set_ylabel("True diagnosis")
    axes.set_xlabel("Predicted diagnosis")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    # White lines between the cells.
    edges = np.arange(len(CODES) + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
