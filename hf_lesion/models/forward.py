"""Forward passes: logits of pixel values, with or without forward hooks on the layers."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import nn
from transformers import PreTrainedModel

from hf_lesion.errors import InputError


def forward(model: PreTrainedModel, pixel_values: torch.Tensor) -> torch.Tensor:
    """Return (B, C) logits of (B, 3, S, S) pixel values, on a model's own device and precision."""
    return model(pixel_values=pixel_values.to(model.device, model.dtype)).logits


def forward_with_hooks(model: PreTrainedModel, pixel_values: torch.Tensor) -> torch.Tensor:
    """Return what `forward` does, by code that calls hooks: compiled code knows none added later.

    The model must have passed `check_not_compiled`.
    """
    call = model.forward if _is_compiled(model) else model
    return call(pixel_values=pixel_values.to(model.device, model.dtype)).logits


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
