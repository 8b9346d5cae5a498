"""Charts of a dataset's metadata, drawn without a display or global state.

Colours are those of Okabe and Ito, "Color Universal Design" (2008), which colour-blind readers can
tell apart, or matplotlib's cividis, which they see as everybody else does.
"""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_lesion.canvas import new_figure
from hf_lesion.data import exploration
from hf_lesion.files import whole_file
from hf_lesion.labels import CODES, NAMES

OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#0072B2", "#CC79A7")
COLOUR_OF = dict(zip(CODES, OKABE_ITO, strict=True))
GREY, FAINT, INK = "#BBBBBB", "#DDDDDD", "#222222"
MAP = "cividis"
INK_SWITCH = 0.5  # of cividis: below it white is easier to read, above it black
SIZE = (8.0, 4.5)  # inches
CELL, LETTER, MARGINS = 0.62, 0.09, 4.0  # inches, of a table's parts
MOST_LEVEL = 5  # columns whose names are written level
ROOM = 1.25  # of the longest bar, for the numbers at its end
LEAST_LABEL = 0.05  # a narrower part of a bar holds no number


def write_svg(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, whole or not at all; the same figure gives the same bytes."""
    # Without salt and date, matplotlib puts chance and the clock into the file.
    with whole_file(path) as partial, matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(partial, metadata={"Date": None})


def plain(axes: Axes, *, grid: str | None = None) -> None:
    """Remove what a chart does not need, and lay faint lines along one axis ("x" or "y")."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis="x" if grid == "x" else "y", color=FAINT, linewidth=0.8)
        axes.spines["left" if grid == "x" else "bottom"].set_color(INK)


def name_of(code: str) -> str:
    """Return a diagnosis as a chart names it."""
    return f"{NAMES[code]} ({code})"


def draw_class_bars(counts: pd.Series) -> Figure:
    """Draw the number of images of each diagnosis, the most frequent on top.

    Args:
        counts: (7,) by code.
    """
    counts = counts.sort_values()
    figure = new_figure(SIZE)
    axes = figure.add_subplot()
    bars = axes.barh(
        [name_of(code) for code in counts.index],
        counts.to_numpy(),
        color=[COLOUR_OF[code] for code in counts.index],
    )
    shares = counts / max(1, counts.sum())
    labels = [f"{n:,}  ({share:.1%})" for n, share in zip(counts, shares, strict=True)]
    axes.bar_label(bars, labels, padding=4)
    axes.set_xlim(0, max(1, counts.max()) * ROOM)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("Images")
    axes.set_title("Images by diagnosis", loc="left")
    plain(axes, grid="x")
    return figure


def draw_class_pie(counts: pd.Series) -> Figure:
    """Draw the share of each diagnosis as a pie, with the shares in a legend beside it.

    Args:
        counts: (7,) by code.
    """
    counts = counts[counts > 0].sort_values(ascending=False)
    figure = new_figure(SIZE)
    axes = figure.add_subplot()
    wedges, _ = axes.pie(
        counts.to_numpy(),
        colors=[COLOUR_OF[code] for code in counts.index],
        startangle=90,
        counterclock=False,
        wedgeprops={"edgecolor": "white", "linewidth": 1.5},
    )
    shares = [f"{name_of(str(c))}: {n / counts.sum():.1%}" for c, n in counts.items()]
    figure.legend(wedges, shares, loc="outside right center", frameon=False)
    axes.set_title("Share of the images by diagnosis", loc="left")
    return figure


def draw_boxes(
    axes: Axes, values: pd.Series, dx: pd.Series, *, label: str, counted: bool = True
) -> None:
    """Draw a box for each diagnosis: quartiles, and whiskers from the 5th to the 95th percentile.

    Args:
        axes: Where to draw.
        values: (N,) numbers; NaN is left out.
        dx: (N,) codes.
        label: Of the values, with their unit.
        counted: Write under each code how many values it has.
    """
    parts = {code: values[(dx == code) & values.notna()].to_numpy() for code in CODES}
    known = {code: part for code, part in parts.items() if len(part)}
    names = [f"{c}\n{len(part):,}" if counted else c for c, part in known.items()]
    if known:
        boxes = axes.boxplot(
            list(known.values()),
            whis=(5, 95),
            widths=0.6,
            showfliers=False,
            patch_artist=True,
            medianprops={"color": INK, "linewidth": 2},
        )
        for patch, code in zip(boxes["boxes"], known, strict=True):
            patch.set_facecolor(COLOUR_OF[code])
    axes.set_xticks(range(1, len(known) + 1), names)
    axes.set_ylabel(label)
    plain(axes, grid="y")


def draw_age(frame: pd.DataFrame) -> Figure:
    """Draw the patients' ages by diagnosis; `frame` as from `exploration.read_frame`."""
    figure = new_figure(SIZE)
    axes = figure.add_subplot()
    draw_boxes(axes, frame["age"], frame["dx"], label="Age in years")
    axes.set_title("Age by diagnosis (box: half of the images; line: median)", loc="left")
    return figure


def draw_shares(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw for each diagnosis how its images divide, as bars of one length.

    Args:
        table: Counts with diagnoses as rows, as from `exploration.tabulate`.
        title: Stands above.
    """
    shares = table.div(table.sum(axis=1), axis=0).iloc[::-1]
    names = [f"{name_of(code)}, {table.loc[code].sum():,}" for code in shares.index]
    figure = new_figure(SIZE)
    axes = figure.add_subplot()
    left = np.zeros(len(shares))
    for colour, (value, part) in zip(_colours(table), shares.items(), strict=True):
        bars = axes.barh(names, part, left=left, color=colour, label=value, edgecolor="white")
        texts = [f"{share:.0%}" if share >= LEAST_LABEL else "" for share in part]
        axes.bar_label(bars, texts, label_type="center", color=INK, fontsize=9)
        left += part.to_numpy()
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_xlim(0, 1)
    axes.set_xlabel("Share of the diagnosis's images")
    figure.suptitle(title, x=0.01, ha="left")
    figure.legend(loc="outside lower center", ncols=min(5, len(table.columns)), frameon=False)
    plain(axes)
    return figure


def draw_table(table: pd.DataFrame, *, title: str, label: str) -> Figure:
    """Draw counts as coloured cells: the colour is the share within the diagnosis.

    Args:
        table: Counts with diagnoses as rows, as from `exploration.tabulate`.
        title: Stands above.
        label: What the columns are.
    """
    counts = table.to_numpy()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    most = shares.max() or 1.0
    slanted = len(table.columns) > MOST_LEVEL
    longest = max(len(str(value)) for value in table.columns)
    cell = CELL if slanted else max(CELL, longest * LETTER)
    figure = new_figure((max(SIZE[0], MARGINS + cell * len(table.columns)), SIZE[1]))
    axes = figure.add_subplot()
    picture = axes.imshow(shares, cmap=MAP, vmin=0, vmax=most, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] < INK_SWITCH * most else "black"
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(table.columns)), table.columns, rotation=40 if slanted else 0)
    if slanted:
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(table)), [name_of(code) for code in table.index])
    axes.set_xlabel(label)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(picture, ax=axes, pad=0.02)
    bar.set_label("Share of the diagnosis's images")
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def draw_per_lesion(counts: pd.Series) -> Figure:
    """Draw how many lesions have one image, two, and so on.

    Args:
        counts: Lesions by number of images, as from `exploration.count_per_lesion`.
    """
    figure = new_figure(SIZE)
    axes = figure.add_subplot()
    bars = axes.bar([str(number) for number in counts.index], counts, color=OKABE_ITO[5])
    axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3)
    axes.set_xlabel("Images of the lesion")
    axes.set_ylabel("Lesions")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title("Images per lesion", loc="left")
    axes.margins(y=0.1)
    plain(axes, grid="y")
    return figure


def draw_missing(missing: pd.DataFrame) -> Figure:
    """Draw how many values each column lacks.

    Args:
        missing: As from `exploration.count_missing`.
    """
    missing = missing.iloc[::-1]
    figure = new_figure(SIZE)
    axes = figure.add_subplot()
    null, word = missing["null"], missing["unknown"]
    axes.barh(missing.index, null, color=OKABE_ITO[4], label="empty")
    axes.barh(missing.index, word, left=null, color=OKABE_ITO[1], label='the word "unknown"')
    for place, (empty, unknown) in enumerate(zip(null, word, strict=True)):
        axes.text(empty + unknown, place, f" {empty + unknown:,}", va="center")
    axes.set_xlim(0, max(1, (null + word).max()) * ROOM)
    axes.set_xlabel("Images")
    axes.set_title("Missing values", loc="left")
    axes.legend(frameon=False, loc="lower right")
    plain(axes, grid="x")
    return figure


def _colours(table: pd.DataFrame) -> list[str]:
    # Never the blue of the palette here: the numbers in the bars are dark.
    choice = iter((OKABE_ITO[1], OKABE_ITO[0], OKABE_ITO[2], OKABE_ITO[3], OKABE_ITO[6]))
    return [GREY if value == exploration.UNKNOWN else next(choice, FAINT) for value in table]
