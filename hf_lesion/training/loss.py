"""Cross-entropy as the Trainer wants it: summed, over the items of the whole accumulated batch."""

from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import ImageClassifierOutput

LossFunction = Callable[..., torch.Tensor]


def build_loss(
    *, class_weights: torch.Tensor | None = None, label_smoothing: float = 0.0
) -> LossFunction:
    """Return a `compute_loss_func` for the Trainer.

    Labels are (B,) class ids or (B, C) soft labels. With gradient accumulation the Trainer does not
    divide by the number of steps when a loss function is set: a mean would be that many times too
    large, so this is the sum over `num_items_in_batch`.

    Args:
        class_weights: (C,) weight of each class.
        label_smoothing: Share of each label that is spread evenly over the classes, in [0, 1).
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


def _items(labels: torch.Tensor, counted: torch.Tensor | int | None) -> torch.Tensor | float:
    if counted is None:
        return len(labels)
    # The Trainer counts the numbers in `labels`; a soft label has C of them.
    return counted / labels.shape[1] if labels.ndim == 2 else counted
