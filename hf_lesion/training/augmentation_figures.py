"""Training views of a lesion: each augmentation, mixup and CutMix."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.io.figures import new_figure
from hf_lesion.models.preprocessing import Preprocessing
from hf_lesion.training.augmentation import AUGMENTATIONS, build_train_transform
from hf_lesion.training.mixup import draw_mix, mix
from hf_lesion.training.samples import sample_seed, seeded

SIDE = 128  # pixels, of the smallest models that ship
VIEWS = 7
MIXUP_ALPHA, CUTMIX_ALPHA = 0.4, 1.0
CELL = 1.3  # inches


def draw_augmentations(images: Sequence[Image.Image], *, seed: int = 0) -> Figure:
    """Draw one row of views for each augmentation, one for mixup and one for CutMix.

    Args:
        images: Two images: the one that is varied, and the one that is mixed into it.
        seed: Decides the draws.
    """
    rows = {name: _views(images[0], name, seed) for name in AUGMENTATIONS}
    rows["mixup"] = _mixtures(images, seed, MIXUP_ALPHA, 0.0)
    rows["cutmix"] = _mixtures(images, seed, 0.0, CUTMIX_ALPHA)
    figure = new_figure((CELL * (VIEWS + 1), CELL * len(rows)))
    for axes, (name, views) in zip(figure.subplots(len(rows), VIEWS), rows.items(), strict=True):
        for cell, view in zip(axes, views, strict=True):
            cell.imshow(view)
            cell.set(xticks=[], yticks=[])
            cell.spines[:].set_visible(False)
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def _views(image: Image.Image, augmentation: str, seed: int) -> list[NDArray[np.float32]]:
    transform = build_train_transform(_unnormalised(), augmentation)
    views = []
    for index in range(VIEWS):
        with seeded(sample_seed(seed, 0, index)):
            views.append(_as_picture(transform(image)))
    return views


def _mixtures(
    images: Sequence[Image.Image], seed: int, mixup: float, cutmix: float
) -> list[NDArray[np.float32]]:
    transform = build_train_transform(_unnormalised(), "none")
    pair = torch.stack([transform(image) for image in images[:2]])
    views = []
    for index in range(VIEWS):
        with seeded(sample_seed(seed, 0, index)):
            drawn = draw_mix(mixup, cutmix, SIDE)
        assert drawn is not None
        mixed = mix({"pixel_values": pair, "labels": torch.tensor([0, 1])}, [drawn, drawn])
        views.append(_as_picture(mixed["pixel_values"][0]))
    return views


def _unnormalised() -> Preprocessing:
    return Preprocessing(SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def _as_picture(pixel_values: torch.Tensor) -> NDArray[np.float32]:
    return pixel_values.clamp(0, 1).permute(1, 2, 0).numpy()
