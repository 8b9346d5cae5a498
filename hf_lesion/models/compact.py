"""Compact saving: weights in half precision on disk, float32 when loaded."""

from collections.abc import Collection
from pathlib import Path

import torch
from transformers import BaseImageProcessor, PreTrainedModel


def save_compact(
    model: PreTrainedModel,
    processor: BaseImageProcessor,
    folder: Path,
    *,
    whole: Collection[str] = (),
) -> None:
    """Save a float32 model with its large tensors in half precision.

    `config.json` keeps `"dtype": "float32"`, so that `pipeline()` and `from_pretrained` compute in
    float32: in float16 a CPU takes many times as long. Tensors with one dimension (biases, batch
    norm's statistics) are stored in half precision only if this changes no value by more than one
    part in a thousand, since a variance may be outside float16's range.

    Args:
        model: A classifier in float32; others are a ValueError.
        processor: Its image processor, saved next to it.
        folder: Folder to write to.
        whole: Names of tensors to keep in full precision.
    """
    if model.dtype != torch.float32:
        raise ValueError(f"Expected a float32 model, got {model.dtype}.")
    state = {
        name: tensor.half().contiguous() if name not in whole and _can_be_halved(tensor) else tensor
        for name, tensor in model.state_dict().items()
    }
    model.save_pretrained(folder, state_dict=state)
    processor.save_pretrained(folder)


def _can_be_halved(tensor: torch.Tensor) -> bool:
    if not tensor.is_floating_point():
        return False
    return tensor.ndim > 1 or torch.allclose(tensor.half().float(), tensor, rtol=1e-3, atol=0.0)
