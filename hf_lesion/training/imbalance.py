"""Three answers to 67 % of the images being nevi: weighted draws or a weighted loss."""

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.labels import CODES

Imbalance = Literal["none", "oversample", "class_weights", "sqrt_sampler"]
IMBALANCES: tuple[str, ...] = get_args(Imbalance)
POWERS = {"none": 0.0, "oversample": 1.0, "class_weights": 0.0, "sqrt_sampler": 0.5}


def count_classes(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (C,) images per class of (N,) class ids.

    Raises:
        InputError: If a class has no image: it could never be predicted.
    """
    counts = np.bincount(labels, minlength=len(CODES))
    if empty := [code for code, count in zip(CODES, counts, strict=True) if not count]:
        raise InputError(
            f"The train split has no image of {list_offenders(empty)}. Prepare a larger dataset, "
            "or another --seed."
        )
    return counts


def sampling_weights(
    labels: NDArray[np.int64], imbalance: str, *, power: float | None = None
) -> torch.Tensor | None:
    """Return the (N,) chances for drawing rows, or None for each row once.

    `oversample` draws every class equally often; `sqrt_sampler` in proportion to the root of its
    size, half way between that and the data (Mahajan et al., "Exploring the Limits of Weakly
    Supervised Pretraining", ECCV 2018).

    Args:
        labels: (N,) class ids.
        imbalance: One of `IMBALANCES`.
        power: P: each class is drawn in proportion to its size to the power of 1 - P, in [0, 1];
            None for that of `imbalance`, which is one of `POWERS`.
    """
    check_imbalance(imbalance)
    counts = count_classes(labels)
    power = POWERS[imbalance] if power is None else power
    return torch.from_numpy((1.0 / counts**power)[labels]) if power else None


def class_weights(labels: NDArray[np.int64], imbalance: str) -> torch.Tensor | None:
    """Return (C,) loss weights in inverse proportion to class size, or None.

    Their mean over the training images is 1, so that the loss keeps its scale.
    """
    check_imbalance(imbalance)
    counts = count_classes(labels)
    if imbalance != "class_weights":
        return None
    return torch.from_numpy(counts.sum() / (len(counts) * counts)).float()


def check_imbalance(imbalance: str) -> None:
    """Raise InputError if this is none of `IMBALANCES`."""
    if imbalance not in IMBALANCES:
        raise InputError(
            f"Unknown imbalance {imbalance!r}: expected one of {', '.join(IMBALANCES)}."
        )
