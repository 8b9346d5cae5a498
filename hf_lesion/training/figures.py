"""How a run went, drawn: loss and validation scores over the epochs."""

from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from hf_lesion.io.figures import new_figure, write_figure

# Okabe and Ito's palette: told apart by colour-blind readers.
TRAIN_COLOUR = "#0072B2"
VALIDATION_COLOUR = "#D55E00"
SECOND_COLOUR = "#009E73"


def draw_curves(history: list[dict[str, Any]], file: Path) -> None:
    """Draw a Trainer's log history to a PNG: losses left, validation scores right.

    Args:
        history: `trainer.state.log_history`.
        file: Where the figure goes.
    """
    figure = new_figure((10, 4))
    losses, scores = figure.subplots(1, 2)
    _plot(losses, history, "loss", "train", TRAIN_COLOUR)
    _plot(losses, history, "eval_loss", "validation", VALIDATION_COLOUR)
    losses.set(xlabel="epoch", ylabel="loss", title="Loss")
    _plot(scores, history, "eval_accuracy", "accuracy", TRAIN_COLOUR)
    _plot(scores, history, "eval_balanced_accuracy", "balanced accuracy", VALIDATION_COLOUR)
    _plot(scores, history, "eval_macro_f1", "macro F1", SECOND_COLOUR)
    scores.set(xlabel="epoch", ylabel="score", title="Validation", ylim=(0, 1))
    for axes in (losses, scores):
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.lines:
            axes.legend(frameon=False)
    write_figure(figure, file, resolution=120)


def _plot(axes: Any, history: list[dict[str, Any]], key: str, label: str, colour: str) -> None:
    points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
    if points:
        marker = "o" if key.startswith("eval") else None
        axes.plot(
            *zip(*points, strict=True), label=label, color=colour, marker=marker, markersize=4
        )
