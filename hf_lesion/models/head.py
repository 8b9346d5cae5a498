"""The last linear layer of a classifier, and softmax as torch computes it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from hf_lesion.errors import InputError


def find_head(model: nn.Module, classes: int) -> nn.Linear:
    """Return the linear layer that turns features into logits: the last with as many outputs."""
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    heads = [layer for layer in linear if layer.out_features == classes]
    if not heads:
        raise InputError(
            f"{type(model).__name__} has no linear layer with {classes} outputs, so it has no "
            "penultimate features. Pass a model whose last layer is linear."
        )
    return heads[-1]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities of (N, C) logits, computed as torch (and so `pipeline()`) does."""
    return torch.from_numpy(logits).softmax(dim=-1).numpy()


def head_name(model: PreTrainedModel) -> str:
    """Return the name of the last linear layer, whose input the penultimate features are."""
    head = find_head(model, model.config.num_labels)
    return next(name for name, layer in model.named_modules() if layer is head)
