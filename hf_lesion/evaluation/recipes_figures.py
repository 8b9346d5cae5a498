"""The comparison of recipes as a picture: every one with its interval and its seeds."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hf_lesion.evaluation.recipes import MEASURES, STUDENT_ACCURACY

WIDTH, ROW, FRAME = 10.5, 0.42, 1.9  # inches
HONEST, LEAKY = "#1f6f8b", "#b3402a"
LABELS = {
    ("leak", "without"): "tested lesions not in train",
    ("leak", "with"): "their other images in train",
    ("protocols", "honest"): "split by lesion, then copied",
    ("protocols", "copied"): "copied, then split by row",
}
LEAKS = {("leak", "with"), ("protocols", "copied")}
STUDENT_LABEL = f"student project: {STUDENT_ACCURACY:.1%}"


def draw_results(results: dict[str, Any]) -> Figure:
    """Draw accuracy and balanced accuracy of every recipe that was run.

    Args:
        results: As from `recipes.build_results`.
    """
    rows = list_rows(results)
    figure = Figure(figsize=(WIDTH, FRAME + ROW * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    for axes, name in zip(panels, MEASURES, strict=True):
        for place, (_, cell, leaks) in enumerate(rows):
            _draw_row(axes, len(rows) - 1 - place, cell[name], LEAKY if leaks else HONEST)
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_xlim(0, 1)
        axes.set_xticks([0.0, 0.2, 0.4, 0.6, 0.8])
        axes.grid(axis="x", color="0.92")
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
    panels[0].axvline(STUDENT_ACCURACY, color=LEAKY, linestyle=":", linewidth=1)
    panels[0].set_xlabel(f"dotted: {STUDENT_LABEL}", fontsize=9)
    panels[0].set_yticks(range(len(rows)), [label for label, *_ in reversed(rows)], fontsize=9)
    figure.suptitle(
        "What a leak adds: red rows have tested lesions in train", x=0.01, ha="left", fontsize=12
    )
    return figure


def list_rows(results: dict[str, Any]) -> list[tuple[str, dict[str, Any], bool]]:
    """Return label, scores and whether it leaks, of every recipe that was run."""
    rows = [
        (label, results[question][arm], (question, arm) in LEAKS)
        for (question, arm), label in LABELS.items()
    ]
    rows += [
        (f"{network}, {data} data", cell, False)
        for network, by_data in results["balance"].items()
        for data, cell in by_data.items()
    ]
    return [row for row in rows if row[1] is not None]


def _draw_row(axes: Axes, place: int, found: dict[str, Any], colour: str) -> None:
    low, high = found["interval"]
    if low is not None:
        axes.plot([low, high], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot(found["seeds"], [place] * len(found["seeds"]), "|", color=colour, markersize=11)
    axes.plot([found["mean"]], [place], marker="o", markersize=6, color=colour)
    axes.annotate(
        f"{found['mean']:.3f}", (found["mean"], place), xytext=(0, 8), ha="center",
        textcoords="offset points", fontsize=8, color=colour,
    )  # fmt: skip
