"""Training figures: learning curves of a run, and examples of the augmentations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.io.figures import new_figure, write_figure
from hf_lesion.models.preprocessing import Preprocessing
from hf_lesion.training.augmentation import AUGMENTATIONS, build_train_transform
from hf_lesion.training.mixup import mix, sample_mix
from hf_lesion.training.samples import sample_seed, seeded

# Okabe and Ito's palette, distinguishable with colour blindness.
TRAIN_COLOUR = "#0072B2"
VALIDATION_COLOUR = "#D55E00"
SECOND_COLOUR = "#009E73"
SIDE = 128  # pixels
VIEWS = 7
UNNORMALISED = Preprocessing(SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
MIXUP_ALPHA, CUTMIX_ALPHA = 0.4, 1.0
CELL = 1.3  # inches


def plot_training_curves(history: list[dict[str, Any]], file: Path) -> None:
    """Plot the losses and validation scores in a `trainer.state.log_history` to a PNG."""
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


def plot_augmentations(images: Sequence[Image.Image]) -> Figure:
    """Plot random views of an image, one row per augmentation and for mixup and CutMix.

    The second image is mixed into the first.
    """
    rows = {name: _views(images[0], name) for name in AUGMENTATIONS}
    rows["mixup"] = _mixed_views(images, MIXUP_ALPHA, 0.0)
    rows["cutmix"] = _mixed_views(images, 0.0, CUTMIX_ALPHA)
    figure = new_figure((CELL * (VIEWS + 1), CELL * len(rows)))
    for axes, (name, views) in zip(figure.subplots(len(rows), VIEWS), rows.items(), strict=True):
        for cell, view in zip(axes, views, strict=True):
            cell.imshow(view)
            cell.set(xticks=[], yticks=[])
            cell.spines[:].set_visible(False)
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def _plot(axes: Any, history: list[dict[str, Any]], key: str, label: str, colour: str) -> None:
    points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
    if points:
        marker = "o" if key.startswith("eval") else None
        axes.plot(
            *zip(*points, strict=True), label=label, color=colour, marker=marker, markersize=4
        )


def _views(image: Image.Image, augmentation: str) -> list[NDArray[np.float32]]:
    transform = build_train_transform(UNNORMALISED, augmentation)
    views = []
    for index in range(VIEWS):
        with seeded(sample_seed(0, 0, index)):
            views.append(_to_array(transform(image)))
    return views


def _mixed_views(
    images: Sequence[Image.Image], mixup: float, cutmix: float
) -> list[NDArray[np.float32]]:
    transform = build_train_transform(UNNORMALISED, "none")
    pair = torch.stack([transform(image) for image in images[:2]])
    views = []
    for index in range(VIEWS):
        with seeded(sample_seed(0, 0, index)):
            sampled = sample_mix(mixup, cutmix, SIDE)
        assert sampled is not None
        mixed = mix({"pixel_values": pair, "labels": torch.tensor([0, 1])}, [sampled, sampled])
        views.append(_to_array(mixed["pixel_values"][0]))
    return views


def _to_array(pixel_values: torch.Tensor) -> NDArray[np.float32]:
    return pixel_values.clamp(0, 1).permute(1, 2, 0).numpy()
