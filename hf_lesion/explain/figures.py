"""Figures of images with heatmaps: several models, cases of a class, changed images.

Figures that show images of a dataset must not be committed to git.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.explain.agreement import Agreement
from hf_lesion.explain.overlay import COLOUR_MAP, overlay
from hf_lesion.io.decoding import load_image
from hf_lesion.io.figures import new_figure
from hf_lesion.models.preprocessing import Box

CELL = 2.1  # inches
LINE = 0.145  # inches a line of text above or below a picture
TITLE_LINE, NAMES, GAP, SCALE = 0.25, 0.22, 0.25, 0.5  # inches
PAIRS_A_LINE = 3
THUMBNAIL = 240  # pixels: what a cell shows
OUTLINE = "#56B4E9"
WARNING = "#D55E00"
FLATTEST, TALLEST = 0.3, 1.3  # room of a picture, in widths: what is taller is drawn narrower
RESOLUTION = 110  # dots per inch, for figures of small pictures


@dataclass(frozen=True)
class Cell:
    """One picture of a figure, shown by its own proportions, as `load_image` shows it."""

    image: Image.Image
    heatmap: NDArray[np.float32] | None = None  # (H, W) in [0, 1] over the model's input
    caption: str = ""  # below it, a few lines
    mask: Image.Image | None = None  # grey, white = lesion: its outline is drawn
    marked: Sequence[int] = ()  # which lines of the caption stand out
    box: Box | None = None  # what fills the input, as `Explanation.boxes`; None: centre square


@dataclass(frozen=True)
class Row:
    """A row of as many cells as each, with a title above and a remark below it."""

    cells: Sequence[Cell]
    remark: str = ""  # a few lines
    is_warning: bool = False  # title and remark stand out
    title: str = ""  # one line


def draw_rows(rows: Sequence[Row], *, title: str, names: Sequence[str] = ()) -> Figure:
    """Draw rows of pictures with their heatmaps on one colour scale, under names of the columns."""
    columns = max(len(row.cells) for row in rows)
    has_scale = any(cell.heatmap is not None for row in rows for cell in row.cells)
    heights = [_measure_height(row) for row in rows] + [SCALE] * has_scale
    heights[0] += NAMES if names else 0.0
    wrapped = textwrap.fill(title, int(columns * CELL * 11))
    head = TITLE_LINE * (1 + wrapped.count("\n"))
    figure = new_figure((columns * CELL, sum(heights) + head))
    figure.suptitle(wrapped, x=0.01, ha="left", fontsize=11, parse_math=False)
    bands = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for band, row in zip(bands, rows, strict=False):
        _draw_row(band, row, columns)
    for axes, name in zip(bands[0].axes, names, strict=False):
        axes.set_title(name, loc="left", fontsize=9, parse_math=False)
    if has_scale:
        axes = bands[-1].subplots(subplot_kw={"box_aspect": 0.06 / columns})
        scale = ScalarMappable(Normalize(0, 1), COLOUR_MAP)
        bar = figure.colorbar(scale, cax=axes, orientation="horizontal")
        bar.set_label("heat, of each map's maximum; dark grey: not seen", fontsize=7)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)
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


def _measure_height(row: Row) -> float:
    """Return the height of a row in inches."""
    texts = [row.title, row.remark, max((cell.caption for cell in row.cells), key=_count_lines)]
    sizes = [load_image(cell.image).size for cell in row.cells]
    tallest = max(min(TALLEST, max(FLATTEST, height / width)) for width, height in sizes)
    return CELL * tallest + LINE * sum(map(_count_lines, texts)) + GAP


def _count_lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _draw_row(band: SubFigure, row: Row, columns: int) -> None:
    style: dict[str, Any] = {"x": 0.01, "ha": "left", "fontsize": 8, "parse_math": False}
    style |= {"color": WARNING, "fontweight": "bold"} if row.is_warning else {"color": "0.25"}
    if row.title:
        band.suptitle(row.title, **style)
    if row.remark:
        band.supxlabel(row.remark, **style)
    for place, axes in enumerate(band.subplots(1, columns, squeeze=False)[0]):
        if place < len(row.cells):
            _draw_cell(axes, row.cells[place])
        else:
            axes.set_axis_off()


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
        axes.annotate(line, (0, 0), xytext=(0, -4 - 10 * place),
                      xycoords="axes fraction", textcoords="offset points", fontsize=8, va="top",
                      parse_math=False,
                      color=WARNING if place in cell.marked else "black")  # fmt: skip


def caption_of(
    answer: tuple[str, float],
    energy: float | None,
    *,
    explained: tuple[str, float] | None = None,
    outside: float | None = None,
) -> str:
    """Return the caption of a heatmap: prediction, probability, share of the map inside the mask.

    `explained` are code and probability of the explained class, if it was chosen by the caller.
    `energy` and `outside`, the share of the lesion outside the input, are in [0, 1], None or NaN if
    unknown; less than half a per cent outside is omitted.
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
