"""Figures of images with heatmaps: several models, cases of a class, changed images.

What shows images of a dataset belongs where git ignores it.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.explain.agreement import Agreement
from hf_lesion.explain.overlay import COLOUR_MAP, overlay
from hf_lesion.io.decoding import load_image
from hf_lesion.io.figures import new_figure
from hf_lesion.models.preprocessing import Box

CELL = 2.1  # inches
LINE = 0.145  # inches a line of text below a picture
PAIRS_A_LINE = 3
TITLE_LINE = 0.22  # inches a line of the title
NAMES_ROOM, ROW_TITLE_ROOM, FOOT = 0.26, 0.19, 0.1  # inches
THUMBNAIL = 240  # pixels: what a cell shows
OUTLINE = "#56B4E9"
WARNING = "#D55E00"
FLATTEST, TALLEST = 0.3, 1.3  # room of a picture, in widths: what is taller is drawn narrower
RESOLUTION = 110  # dots per inch: of what holds small pictures
POINTS = 72  # an inch


@dataclass(frozen=True)
class Cell:
    """One picture of a figure.

    Attributes:
        image: Of any mode; shown by its own proportions, as `load_image` shows it.
        heatmap: (H, W) in [0, 1] over the model's input; None shows the image alone.
        caption: Below it, a few lines.
        marked: Which of those lines stand out.
        mask: Grey, white = lesion: its outline is drawn; None draws none.
        box: The part of the image that fills the input, as `Explanation.boxes` has it; None for its
            centre square.
    """

    image: Image.Image
    heatmap: NDArray[np.float32] | None = None
    caption: str = ""
    mask: Image.Image | None = None
    marked: Sequence[int] = ()
    box: Box | None = None


@dataclass(frozen=True)
class Row:
    """A row of as many cells as each, with a title above and a remark below it."""

    cells: Sequence[Cell]
    remark: str = ""  # a few lines
    is_warning: bool = False  # title and remark stand out
    title: str = ""  # one line


def draw_rows(rows: Sequence[Row], *, title: str, names: Sequence[str] = ()) -> Figure:
    """Draw rows of pictures with their heatmaps on one colour scale, under names of the columns."""
    layout = _lay_out(rows, textwrap.fill(title, int(_width(rows) * 11)), bool(names))
    figure = new_figure((layout.width, layout.height), layout=None)
    top = layout.height - layout.head
    for place, (row, picture) in enumerate(zip(rows, layout.pictures, strict=True)):
        if row.title:
            _write(figure, layout, row, row.title, top)
        foot = top - layout.above - picture
        for column, cell in enumerate(row.cells):
            box = ((column + 0.03) * CELL, foot, 0.94 * CELL, 0.97 * picture)
            axes = _add_axes(figure, layout, box)
            _draw_cell(axes, cell)
            if place == 0 and column < len(names):
                axes.set_title(
                    names[column], loc="left", fontsize=9, pad=4 + layout.above * POINTS,
                    parse_math=False,
                )  # fmt: skip
        top = foot - layout.caption
        _write(figure, layout, row, row.remark, top)
        top -= layout.remark
    figure.suptitle(layout.title, x=0.03 * CELL / layout.width, y=1 - 0.08 / layout.height,
                    ha="left", va="top", fontsize=11, parse_math=False)  # fmt: skip
    if any(cell.heatmap is not None for row in rows for cell in row.cells):
        _draw_scale(figure, layout)
    return figure


def describe_agreement(found: Mapping[tuple[str, str], Agreement]) -> tuple[str, bool]:
    """Return a remark on how far the models' heatmaps agree."""
    pairs = [
        f"{first}–{second} r {_number(one.pearson)}, IoU {_number(one.iou)}"
        f"{' (apart)' if one.is_apart else ''}"
        for (first, second), one in found.items()
    ]
    is_apart = any(one.is_apart for one in found.values())
    lines = [";  ".join(pairs[at : at + PAIRS_A_LINE]) for at in range(0, len(pairs), PAIRS_A_LINE)]
    said = ["Some heatmaps highlight different regions:"] if is_apart else []
    return "\n".join([*said, *lines]), is_apart


@dataclass(frozen=True)
class _Layout:
    """Where things are, in inches; `pictures` are the rows' heights, `above` their titles'."""

    title: str
    width: float
    height: float
    head: float
    above: float
    pictures: Sequence[float]
    caption: float
    remark: float


def _lay_out(rows: Sequence[Row], title: str, has_names: bool) -> _Layout:
    pictures = [CELL * max(map(_proportion, row.cells)) for row in rows]
    lines = max(_count_lines(cell.caption) for row in rows for cell in row.cells)
    caption = 0.16 + lines * LINE
    remarks = max(_count_lines(row.remark) for row in rows)
    remark = remarks * LINE + 0.16 if remarks else 0.06
    above = ROW_TITLE_ROOM if any(row.title for row in rows) else 0.0
    head = 0.12 + _count_lines(title) * TITLE_LINE + has_names * NAMES_ROOM
    height = head + sum(pictures) + len(rows) * (above + caption + remark) + FOOT
    return _Layout(title, _width(rows), height, head, above, pictures, caption, remark)


def _proportion(cell: Cell) -> float:
    """Return the aspect ratio (height / width) of a cell's picture."""
    width, height = load_image(cell.image).size
    return min(TALLEST, max(FLATTEST, height / width))


def _add_axes(figure: Figure, layout: _Layout, box: tuple[float, float, float, float]) -> Axes:
    """Return axes at a place that is given as left, lower edge, width and height in inches."""
    left, lower, width, height = box
    return figure.add_axes(
        (left / layout.width, lower / layout.height, width / layout.width, height / layout.height)
    )


def _width(rows: Sequence[Row]) -> float:
    has_scale = any(cell.heatmap is not None for row in rows for cell in row.cells)
    return max(len(row.cells) for row in rows) * CELL + (0.9 if has_scale else 0.0)


def _count_lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _write(figure: Figure, layout: _Layout, row: Row, text: str, top: float) -> None:
    """Write a row's title or remark; `top` is its upper edge in inches above the figure's foot."""
    figure.text(
        0.03 * CELL / layout.width,
        top / layout.height,
        text,
        parse_math=False,
        va="top",
        fontsize=8,
        color=WARNING if row.is_warning else "0.25",
        fontweight="bold" if row.is_warning else "normal",
    )


def _draw_cell(axes: Axes, cell: Cell) -> None:
    picture = load_image(cell.image)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    shown = picture if cell.heatmap is None else overlay(picture, cell.heatmap, cell.box)
    axes.imshow(np.asarray(shown), aspect="equal")
    axes.set_anchor("NW")
    if cell.mask is not None:
        inside = np.asarray(load_image(cell.mask).convert("L").resize(picture.size)) > 127
        if inside.any() and not inside.all():
            axes.contour(inside, levels=[0.5], colors=[OUTLINE], linewidths=1.0)
    if cell.heatmap is not None and not cell.heatmap.any():
        axes.text(0.5, 0.5, "no evidence for this\nclass in the last layer", fontsize=7,
                  ha="center", va="center", transform=axes.transAxes, color="white",
                  bbox={"facecolor": "black", "alpha": 0.6, "edgecolor": "none"})  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    for place, line in enumerate(cell.caption.split("\n")):
        axes.annotate(line, (0, 0), xytext=(0, -(0.06 + place * LINE) * POINTS),
                      xycoords="axes fraction", textcoords="offset points", fontsize=8, va="top",
                      parse_math=False,
                      color=WARNING if place in cell.marked else "black")  # fmt: skip


def _draw_scale(figure: Figure, layout: _Layout) -> None:
    """Draw the colour scale next to the first row."""
    picture = layout.pictures[0]
    foot = layout.height - layout.head - layout.above - picture
    axes = _add_axes(figure, layout, (layout.width - 0.7, foot, 0.12, 0.97 * picture))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), COLOUR_MAP), cax=axes)
    bar.set_label("heat, of each map's maximum", fontsize=7)
    bar.ax.set_xlabel("dark grey:\nnot seen", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)


def caption_of(
    answer: tuple[str, float],
    energy: float | None,
    *,
    explained: tuple[str, float] | None = None,
    outside: float | None = None,
) -> str:
    """Return the caption of a heatmap: prediction, probability, share of heat inside the mask.

    Args:
        answer: The predicted class's code and probability.
        energy: In [0, 1]; None or NaN where it is unknown.
        explained: Code and probability of the class that the heatmap is for, where it was chosen
            whatever the answer.
        outside: Share of the lesion that the model did not see, in [0, 1]; None or NaN where it is
            unknown. Less than half a per cent is not worth a line.
    """
    said = "{} {:.0%}".format(*answer)
    if explained is not None:
        said = f"answer: {said}"
        if explained[0] != answer[0]:
            said += ", {} {:.0%}".format(*explained)
    inside = "" if energy is None or np.isnan(energy) else f"\n{energy:.0%} of heat in lesion"
    unseen = "" if outside is None or not outside >= 0.005 else f"\n{outside:.0%} of lesion unseen"
    return f"{said}{inside}{unseen}"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"
