"""Matplotlib figures without a display or global state, written atomically."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hf_lesion.errors import InputError
from hf_lesion.io.files import storable_name, whole_file

RESOLUTION = 150  # dots per inch: sharp on a screen, about 100 kB
FORMATS = (".png", ".webp")
WEBP_QUALITY = 85
GRID = "0.92"


def new_figure(
    size: tuple[float, float], *, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """Return an empty figure of a width and height in inches."""
    figure = Figure(figsize=size, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def title_figure(figure: Figure, title: str, *, characters: int) -> None:
    """Set a title at the upper left, wrapped to a number of characters.

    It may contain file names; dollar signs do not start a formula.
    """
    wrapped = storable_name(textwrap.fill(title, characters))
    figure.suptitle(wrapped, x=0.01, ha="left", fontsize=12, parse_math=False)


def check_format(path: Path) -> None:
    """Raise InputError unless a figure can be written under this name."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path} is not a valid figure name: expected {' or '.join(FORMATS)}.")


def write_figure(figure: Figure, path: Path, *, resolution: int | None = None) -> None:
    """Write a figure atomically as PNG or WebP, which is smaller for photographs.

    `resolution` is in dots per inch.
    """
    check_format(path)
    options = {"quality": WEBP_QUALITY} if path.suffix.lower() == ".webp" else {}
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=resolution or RESOLUTION, pil_kwargs=options)


def mark_score(
    axes: Axes, place: float, value: float, bounds: Sequence[float | None], colour: str
) -> None:
    """Plot a score in a row of a chart: a dot, and a line for its interval if it is known."""
    low, high = bounds
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot([value], [place], marker="o", markersize=6, color=colour)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Label the rows of a chart of scores in [0, 1] and draw a faint vertical grid."""
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_xlim(0, 1)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
