"""Figure of robustness: balanced accuracy under each distortion, worst first."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_lesion.io.figures import mark_score, name_rows, new_figure, title_figure

WIDTH, ROW, FRAME = 8.6, 0.34, 1.9  # inches
DOT, WORST, UNCHANGED = "#1f6f8b", "#b3402a", "0.35"
TITLE_WIDTH = 80  # characters that fit in one line


def draw_robustness(record: dict[str, Any], *, title: str) -> Figure:
    """Draw balanced accuracy under each distortion, with its interval.

    Args:
        record: As from `robustness.measure`.
        title: Stands above; wrapped where it is too long.
    """
    ordered = sorted(
        record["distortions"].values(),
        key=lambda scores: -scores["metrics"]["balanced_accuracy"],
    )
    rows = [("right under every one of these", record["always_right"])]
    rows += [(_label(scores, record), scores) for scores in reversed(ordered)]
    rows.append(("unchanged", record["unchanged"]))
    figure = new_figure((WIDTH, FRAME + ROW * len(rows)))
    axes = figure.add_subplot()
    worst = record["distortions"].get(record["worst"])
    for place, (_, scores) in enumerate(rows):
        colour = WORST if scores is worst or place == 0 else DOT
        _draw_row(axes, place, scores, UNCHANGED if place == len(rows) - 1 else colour)
    before = record["unchanged"]["metrics"]["balanced_accuracy"]
    axes.axvline(before, color=UNCHANGED, linestyle=":", linewidth=1)
    name_rows(axes, [label for label, _ in rows])
    axes.set_xlabel("balanced accuracy, with 95 % interval over lesions")
    title_figure(figure, title, characters=TITLE_WIDTH)
    return figure


def _label(scores: dict[str, Any], record: dict[str, Any]) -> str:
    few = scores["images"] != record["images"]
    return f"{scores['label']} ({scores['images']:,} images)" if few else scores["label"]


def _draw_row(axes: Axes, place: int, scores: dict[str, Any], colour: str) -> None:
    value = scores["metrics"]["balanced_accuracy"]
    bounds = scores["intervals"]["balanced_accuracy"]
    mark_score(axes, place, value, bounds, colour)
    axes.annotate(
        f"{value:.3f}", (bounds[1], place), xytext=(6, 0), textcoords="offset points",
        va="center", fontsize=8.5, color=colour,
    )  # fmt: skip
