"""The last linear layer of a classifier: what stands before it are the penultimate features."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from hf_lesion.errors import InputError


def find_head(model: nn.Module, classes: int) -> nn.Linear:
    """Return the linear layer that turns features into logits.

    Args:
        model: A classifier.
        classes: C, how many logits it gives.

    Raises:
        InputError: If no linear layer has C outputs.
    """
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    heads = [layer for layer in linear if layer.out_features == classes]
    if not heads:
        raise InputError(
            f"{type(model).__name__} has no linear layer with {classes} outputs, so it has no "
            "penultimate features. Pass a model whose last layer is linear."
        )
    return heads[-1]


@contextlib.contextmanager
def inputs_of(layer: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect what goes into a layer while the block runs: one tensor for each forward pass."""
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    try:
        yield seen
    finally:
        hook.remove()
