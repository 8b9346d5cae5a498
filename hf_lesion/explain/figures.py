"""Pictures with their heatmaps: models side by side, cases of a class, changed images.

What shows images of a dataset belongs where git ignores it.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.explain.agreement import Agreement
from hf_lesion.explain.heatmap import COLOUR_MAP, overlay
from hf_lesion.files import whole_file
from hf_lesion.labels import CODES

CELL = 2.1  # inches
LINE = 0.145  # inches a line of text below a picture
PAIRS_A_LINE = 3
HEAD = 0.75  # inches
THUMBNAIL = 240  # pixels: what a cell shows
OUTLINE = "#56B4E9"
WARNING = "#D55E00"
RESOLUTION = 110


@dataclass(frozen=True)
class Cell:
    """One picture of a figure.

    Attributes:
        image: RGB.
        heatmap: (H, W) in [0, 1] over the whole frame; None shows the image alone.
        caption: Below it, one or two lines.
        mask: Grey, white = lesion: its outline is drawn; None draws none.
    """

    image: Image.Image
    heatmap: NDArray[np.float32] | None = None
    caption: str = ""
    mask: Image.Image | None = None


@dataclass(frozen=True)
class Row:
    """A row of cells with a remark below it.

    Attributes:
        cells: As many in each row.
        remark: One or two lines; empty for none.
        is_warning: Whether the remark stands out.
    """

    cells: Sequence[Cell]
    remark: str = ""
    is_warning: bool = field(default=False)


def draw_rows(rows: Sequence[Row], *, title: str, names: Sequence[str] = ()) -> Figure:
    """Draw rows of pictures, their heatmaps on one colour scale.

    Args:
        rows: At least one.
        title: Stands above all.
        names: Stand above the columns.
    """
    columns = max(len(row.cells) for row in rows)
    width = columns * CELL + 0.9
    lines = max(row.remark.count("\n") + bool(row.remark) for row in rows)
    row_height = CELL * _aspect(rows) + _caption_room(rows) + lines * LINE
    height = HEAD + len(rows) * row_height
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    for place, row in enumerate(rows):
        top = height - HEAD - place * row_height
        for column, cell in enumerate(row.cells):
            axes = figure.add_axes(
                (
                    (column + 0.03) * CELL / width,
                    (top - CELL * _aspect(rows)) / height,
                    0.94 * CELL / width,
                    CELL * _aspect(rows) * 0.97 / height,
                )
            )
            _draw_cell(axes, cell)
            if place == 0 and column < len(names):
                axes.set_title(names[column], fontsize=9, pad=4)
        if row.remark:
            figure.text(
                0.03 * CELL / width,
                (top - row_height + 0.1 + lines * LINE) / height,
                row.remark,
                va="top",
                fontsize=8,
                color=WARNING if row.is_warning else "0.25",
                fontweight="bold" if row.is_warning else "normal",
            )
    figure.suptitle(textwrap.fill(title, int(width * 11)), x=0.01, y=1 - 0.08 / height,
                    ha="left", va="top", fontsize=11)  # fmt: skip
    if any(cell.heatmap is not None for row in rows for cell in row.cells):
        _draw_scale(figure, width, height)
    return figure


def describe_agreement(found: Mapping[tuple[str, str], Agreement]) -> tuple[str, bool]:
    """Return a remark on how far models agree on where to look, and whether some do not."""
    pairs = [
        f"{first}–{second} r {_number(one.pearson)}, IoU {_number(one.iou)}"
        f"{' (apart)' if one.is_apart else ''}"
        for (first, second), one in found.items()
    ]
    is_apart = any(one.is_apart for one in found.values())
    lines = [";  ".join(pairs[at : at + PAIRS_A_LINE]) for at in range(0, len(pairs), PAIRS_A_LINE)]
    said = ["Some of these models look at different places:"] if is_apart else []
    return "\n".join([*said, *lines]), is_apart


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=RESOLUTION)


def _aspect(rows: Sequence[Row]) -> float:
    width, height = rows[0].cells[0].image.size
    return min(1.3, height / width)


def _caption_room(rows: Sequence[Row]) -> float:
    lines = max(cell.caption.count("\n") + 1 for row in rows for cell in row.cells)
    return 0.3 + lines * LINE


def _draw_cell(axes: Axes, cell: Cell) -> None:
    picture = cell.image.convert("RGB").copy()
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    shown = picture if cell.heatmap is None else overlay(picture, cell.heatmap)
    axes.imshow(np.asarray(shown), aspect="auto")
    if cell.mask is not None:
        inside = np.asarray(cell.mask.convert("L").resize(picture.size)) > 127
        if inside.any() and not inside.all():
            axes.contour(inside, levels=[0.5], colors=[OUTLINE], linewidths=1.0)
    if cell.heatmap is not None and not cell.heatmap.any():
        axes.text(0.5, 0.5, "no evidence for this\nclass in the last layer", fontsize=7,
                  ha="center", va="center", transform=axes.transAxes, color="white",
                  bbox={"facecolor": "black", "alpha": 0.6, "edgecolor": "none"})  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.text(0, -0.04, cell.caption, transform=axes.transAxes, fontsize=8, va="top")


def _draw_scale(figure: Figure, width: float, height: float) -> None:
    bottom = max(0.15, height - HEAD - 2.2)
    axes = figure.add_axes(
        (1 - 0.62 / width, bottom / height, 0.12 / width, (height - HEAD - bottom) / height)
    )
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), COLOUR_MAP), cax=axes)
    bar.set_label("heat, of the map's own maximum", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)


def caption_of(code_or_id: str | int, probability: float, energy: float | None) -> str:
    """Return what stands under a heatmap: prediction, probability, share of the heat inside."""
    code = code_or_id if isinstance(code_or_id, str) else CODES[code_or_id]
    inside = "" if energy is None or np.isnan(energy) else f"\n{energy:.0%} of heat in lesion"
    return f"{code} {probability:.0%}{inside}"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"
