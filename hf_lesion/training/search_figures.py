"""What a search found, drawn by Optuna's own plots."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from matplotlib import pyplot
from optuna.visualization import matplotlib as plots

from hf_lesion.files import whole_file

WIDTH, HEIGHT, PANEL = 10, 5, 4  # inches


def draw_study(study: optuna.Study, folder: Path, *, metric: str) -> list[Path]:
    """Draw a study's course and what each setting did, as PNG files.

    Args:
        study: With one completed trial at least; those plots that compare trials need two that
            differ.
        folder: Where `history.png`, `intermediate.png`, `slices.png`, `parallel.png` and
            `importances.png` go.
        metric: What the trials were judged by.

    Returns:
        The files.
    """
    draws: dict[str, Callable[..., Any]] = {
        "history": plots.plot_optimization_history,
        "slices": plots.plot_slice,
    }
    if any(trial.intermediate_values for trial in study.trials):
        draws["intermediate"] = plots.plot_intermediate_values
    completed = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    if len({trial.value for trial in completed}) > 1:
        draws["parallel"] = plots.plot_parallel_coordinate
        draws["importances"] = plots.plot_param_importances
    return [_draw(name, draw, study, folder, metric) for name, draw in draws.items()]


def _draw(
    name: str, draw: Callable[..., Any], study: optuna.Study, folder: Path, metric: str
) -> Path:
    label = {} if name == "intermediate" else {"target_name": metric.replace("_", " ")}
    with warnings.catch_warnings(), pyplot.style.context("default"):
        # Optuna calls all its matplotlib plots experimental.
        warnings.simplefilter("ignore")
        axes = draw(study, **label)
        figure = (axes if hasattr(axes, "figure") else axes.flat[0]).figure
        panels = len(axes) if name == "slices" and hasattr(axes, "__len__") else 1
        figure.set_size_inches(max(WIDTH, PANEL * panels), HEIGHT)
        file = folder / f"{name}.png"
        with whole_file(file) as partial:
            figure.savefig(partial, dpi=100, bbox_inches="tight")
        pyplot.close(figure)
    return file
