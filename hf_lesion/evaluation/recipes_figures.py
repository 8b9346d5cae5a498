"""The comparison of recipes as a picture: every one with its interval and its seeds."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_lesion.canvas import mark_score, name_rows, new_figure, title_figure
from hf_lesion.evaluation.recipes import MEASURES, STUDENT_ACCURACY

WIDTH, ROW, FRAME = 10.5, 0.42, 1.9  # inches
TITLE_WIDTH = 100  # characters that fit in one line
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
    figure = new_figure((WIDTH, FRAME + ROW * len(rows)))
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    for axes, name in zip(panels, MEASURES, strict=True):
        for place, (_, cell, leaks) in enumerate(rows):
            _draw_row(axes, len(rows) - 1 - place, cell[name], LEAKY if leaks else HONEST)
        axes.set_title(name.replace("_", " "), fontsize=10)
        name_rows(axes, [label for label, *_ in reversed(rows)])
        axes.set_xticks([0.0, 0.2, 0.4, 0.6, 0.8])
    panels[0].axvline(STUDENT_ACCURACY, color=LEAKY, linestyle=":", linewidth=1)
    panels[0].set_xlabel(f"dotted: {STUDENT_LABEL}", fontsize=9)
    title = "What a leak adds: red rows have tested lesions in train"
    title_figure(figure, title, characters=TITLE_WIDTH)
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
    mark_score(axes, place, found["mean"], found["interval"], colour)
    axes.plot(found["seeds"], [place] * len(found["seeds"]), "|", color=colour, markersize=11)
    axes.annotate(
        f"{found['mean']:.3f}", (found["mean"], place), xytext=(0, 8), ha="center",
        textcoords="offset points", fontsize=8, color=colour,
    )  # fmt: skip
