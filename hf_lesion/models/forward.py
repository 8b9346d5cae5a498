"""Forward passes: logits, with or without hooks on the layers; softmax; the last linear layer."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from hf_lesion.errors import InputError


def forward(model: PreTrainedModel, pixel_values: torch.Tensor) -> torch.Tensor:
    """Return (B, C) logits of (B, 3, S, S) pixel values, on a model's own device and precision."""
    return model(pixel_values=pixel_values.to(model.device, model.dtype)).logits


def forward_with_hooks(model: PreTrainedModel, pixel_values: torch.Tensor) -> torch.Tensor:
    """As `forward`, but uncompiled, since compiled code ignores hooks that were added later.

    The model must have passed `check_not_compiled`.
    """
    call = model.forward if _is_compiled(model) else model
    return call(pixel_values=pixel_values.to(model.device, model.dtype)).logits


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities of (N, C) logits, computed as torch (and so `pipeline()`) does."""
    return torch.from_numpy(logits).softmax(dim=-1).numpy()


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


def head_name(model: PreTrainedModel) -> str:
    """Return the name of the last linear layer; its input are the penultimate features."""
    head = find_head(model, model.config.num_labels)
    return next(name for name, layer in model.named_modules() if layer is head)


def check_not_compiled(model: PreTrainedModel) -> None:
    """Raise InputError if parts of a model are compiled; the whole of it may be."""
    if any(map(_is_compiled, islice(walk(model), 1, None))):
        raise InputError(
            "A part of the model is compiled, so its layers can't be read. Compile the whole of "
            "it instead: classifier.model = torch.compile(classifier.model)."
        )


def walk(model: nn.Module) -> Iterator[nn.Module]:
    """Yield a module and all below it; five times as fast as `modules()`, which names them."""
    waiting = [model]
    while waiting:
        module = waiting.pop()
        yield module
        waiting += [child for child in module._modules.values() if child is not None]


def _is_compiled(module: nn.Module) -> bool:
    # By `module.compile()`, or by `torch.compile(module)`.
    return module._compiled_call_impl is not None or "_orig_mod" in module._modules
