"""Figure of heatmap scores: bars with intervals next to the baselines, and curves.

Colours are those of Okabe and Ito, "Color Universal Design" (2008), which colour-blind readers can
tell apart.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_lesion.explain.faithfulness import DELETION, INSERTION
from hf_lesion.explain.names import CONTROL_NAMES, GAUSSIAN, name_of
from hf_lesion.io.figures import new_figure, title_figure
from hf_lesion.labels import CODES

PANELS = {
    "energy": "Energy inside the lesion",
    "pointing": "Pointing game",
    "iou_0.5": "IoU at half of the maximum",
}
SIDES = {"right": "#0072B2", "wrong": "#D55E00"}
CURVES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
GREY, FAINT = "0.45", "#DDDDDD"
SIZE = (11.0, 8.2)  # inches


def draw_scores(record: Mapping[str, Any], *, title: str) -> Figure:
    """Draw one split's entry of `explanations.json` that has "localisation"; or more of it."""
    figure = new_figure(SIZE)
    grid = figure.add_gridspec(2, 6)
    maps = record["localisation"]["maps"]
    for place, (measure, label) in enumerate(PANELS.items()):
        axes = figure.add_subplot(grid[0, 2 * place : 2 * place + 2])
        _draw_bars(axes, maps, measure, label, with_names=place == 0)
    detailed = next(kind for kind in maps if "classes" in maps[kind])
    _draw_classes(figure.add_subplot(grid[1, :2]), maps, detailed)
    if "faithfulness" in record:
        for place, name in enumerate((DELETION, INSERTION)):
            axes = figure.add_subplot(grid[1, 2 + 2 * place : 4 + 2 * place])
            _draw_curves(axes, record["faithfulness"], name, with_legend=place == 1)
    title_figure(figure, title, characters=110)
    return figure


def _draw_bars(
    axes: Axes, maps: Mapping[str, Any], measure: str, label: str, *, with_names: bool
) -> None:
    kinds = list(maps)
    places = np.arange(len(kinds))
    values, lows, highs = (
        np.asarray([maps[kind]["all"][measure][index] for kind in kinds], dtype=float)
        for index in range(3)
    )
    colours = [GREY if kind in CONTROL_NAMES else CURVES[0] for kind in kinds]
    axes.barh(places, values, color=colours, height=0.7)
    axes.errorbar(
        values, places, xerr=[values - lows, highs - values], fmt="none", color="black", lw=1
    )
    axes.axvline(maps[GAUSSIAN]["all"][measure][0], color="black", ls=":", lw=1)
    axes.set_yticks(
        places, [name_of(kind, kinds) for kind in kinds] if with_names else [], fontsize=8
    )
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    _plain(axes, label)


def _draw_classes(axes: Axes, maps: Mapping[str, Any], kind: str) -> None:
    for shift, (side, colour) in zip((-0.17, 0.17), SIDES.items(), strict=True):
        for place, code in enumerate(CODES):
            own = maps[kind]["classes"][code][side]
            value, low, high = own["energy"]
            if value is None:
                continue
            axes.plot(
                value, place + shift, "o", color=colour, ms=4, label=side if not place else ""
            )
            if low is not None:
                axes.plot([low, high], [place + shift] * 2, color=colour, lw=1.2)
    axes.set_yticks(range(len(CODES)), CODES, fontsize=8)
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.legend(fontsize=7, frameon=False, title="prediction", title_fontsize=7)
    _plain(axes, f"{name_of(kind, maps)}: heat inside, by diagnosis")


def _draw_curves(axes: Axes, found: Mapping[str, Any], name: str, *, with_legend: bool) -> None:
    for colour, (kind, own) in zip(CURVES * 2, found["maps"].items(), strict=False):
        is_control = kind in CONTROL_NAMES
        axes.plot(
            found["shares"],
            own["curves"][name],
            color=GREY if is_control else colour,
            ls={"gaussian": ":", "random": "--", "untrained": "-."}.get(kind, "-"),
            label=name_of(kind, found["maps"]),
            lw=1.4,
        )
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"Share of the pixels in the {name}", fontsize=8)
    better = "less is better" if name == DELETION else "more is better"
    _plain(axes, f"{name.capitalize()}: probability ({better})")
    if with_legend:
        axes.legend(fontsize=7, frameon=False)


def _plain(axes: Axes, label: str) -> None:
    axes.set_title(label, fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", color=FAINT, lw=0.7)
    axes.set_axisbelow(True)
