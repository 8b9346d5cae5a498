"""Loss and class imbalance: cross-entropy for the Trainer, class weights, sampling weights."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import ImageClassifierOutput

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.labels import CODES

Imbalance = Literal["none", "oversample", "class_weights", "sqrt_sampler"]
LossFunction = Callable[..., torch.Tensor]
# Default `sampling_power`: classes are drawn in proportion to their size to the power of 1 - P.
POWERS = {"none": 0.0, "oversample": 1.0, "class_weights": 0.0, "sqrt_sampler": 0.5}


def build_loss(
    *, class_weights: torch.Tensor | None = None, label_smoothing: float = 0.0
) -> LossFunction:
    """Return a `compute_loss_func` for the Trainer, with (C,) weights of the classes.

    Labels are (B,) class ids or (B, C) soft labels. The loss is the sum divided by
    `num_items_in_batch`, because the Trainer does not divide a custom loss by the number of
    gradient accumulation steps.
    """

    def loss(
        outputs: ImageClassifierOutput,
        labels: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        logits = outputs.logits.float()
        weight = None if class_weights is None else class_weights.to(logits.device)
        total = cross_entropy(
            logits, labels, weight=weight, label_smoothing=label_smoothing, reduction="sum"
        )
        return total / _items(labels, num_items_in_batch)

    return loss


def count_classes(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of images of each class, (C,), given (N,) class ids; none may be empty."""
    counts = np.bincount(labels, minlength=len(CODES))
    if empty := [code for code, count in zip(CODES, counts, strict=True) if not count]:
        raise InputError(
            f"The train split has no image of {list_offenders(empty)}. Prepare a larger dataset, "
            "or use another --seed."
        )
    return counts


def sampling_weights(
    labels: NDArray[np.int64], imbalance: str, *, power: float | None = None
) -> torch.Tensor | None:
    """Return (N,) sampling weights of the rows, or None to visit each row once.

    `oversample` samples all classes equally often, `sqrt_sampler` in proportion to the square root
    of their size (Mahajan et al., "Exploring the Limits of Weakly Supervised Pretraining", ECCV
    2018). With `power` P in [0, 1], a class is sampled in proportion to its size to the power of
    1 - P; None takes that of `imbalance` in `POWERS`.
    """
    counts = count_classes(labels)
    power = POWERS[imbalance] if power is None else power
    return torch.from_numpy((1.0 / counts**power)[labels]) if power else None


def class_weights(labels: NDArray[np.int64], imbalance: str) -> torch.Tensor | None:
    """Return (C,) loss weights in inverse proportion to class size, or None.

    Their mean over the training images is 1.
    """
    counts = count_classes(labels)
    if imbalance != "class_weights":
        return None
    return torch.from_numpy(counts.sum() / (len(counts) * counts)).float()


def _items(labels: torch.Tensor, counted: torch.Tensor | int | None) -> torch.Tensor | float:
    if counted is None:
        return len(labels)
    # The Trainer counts the elements of `labels`; a soft label has C elements.
    return counted / labels.shape[1] if labels.ndim == 2 else counted
