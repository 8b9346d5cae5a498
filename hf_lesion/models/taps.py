"""What a network sees of an image on its way to the answer: colours, and its layers' maps, pooled.

Read off during the one forward pass that gives the logits. A gate judges by it whether an image is
of the kind that the network was made for: the early layers, which every image passes, tell more of
that than the last one, which keeps only what tells the diagnoses apart.
"""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel, TimmWrapperForImageClassification

from hf_lesion.errors import InputError
from hf_lesion.models.cnn import LesionCnnForImageClassification
from hf_lesion.models.head import find_head

COLOURS = "colours"
GRIDS = (8, 16, 32)  # cells a side, on which edges are measured: coarse, so blind to sharpness
GRID = 16
QUANTILES = (0.02, 0.1, 0.5, 0.9, 0.98)
TINY = 1e-3


def tap_points(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the names of the layers that can be read off, from the first to the penultimate.

    For a timm network those of its `feature_info`, for our CNN its blocks; then the last linear
    layer, whose input is meant.
    """
    names: list[str] = []
    if isinstance(model, LesionCnnForImageClassification):
        names = [f"features.{index}" for index in range(len(model.features))]
    elif isinstance(model, TimmWrapperForImageClassification):
        stages = getattr(model.timm_model, "feature_info", None) or []
        names = [f"timm_model.{stage['module']}" for stage in stages]
    return (*names, head_name(model))


def head_name(model: PreTrainedModel) -> str:
    """Return the name of the last linear layer, whose input the penultimate features are.

    Raises:
        InputError: If there is none.
    """
    head = find_head(model, model.config.num_labels)
    return next(name for name, layer in model.named_modules() if layer is head)


def forward(model: PreTrainedModel, pixel_values: torch.Tensor) -> torch.Tensor:
    """Return a model's (B, C) logits, computed on its own device and in its own precision.

    Args:
        model: A classifier.
        pixel_values: (B, 3, S, S) from its own preprocessing.
    """
    return model(pixel_values=pixel_values.to(model.device, model.dtype)).logits


def forward_with_hooks(model: PreTrainedModel, pixel_values: torch.Tensor) -> torch.Tensor:
    """Return what `forward` does, by code that calls hooks: compiled code knows none added later.

    Args:
        model: As for `forward`; `check_not_compiled` passed it.
        pixel_values: As for `forward`.
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


def look(
    model: PreTrainedModel, pixel_values: torch.Tensor, names: Sequence[str] = ()
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Run a model once; return its (B, C) logits and what it saw, by name.

    Args:
        model: A classifier.
        pixel_values: (B, 3, S, S) from its own preprocessing.
        names: `COLOURS`, or of its submodules.

    Returns:
        Both in float32 on the CPU; each (B, D) with a D of its own.

    Raises:
        InputError: If layers are to be read and a part of the model is compiled.
    """
    if names:
        check_not_compiled(model)
    with torch.inference_mode(), tapped(model, names, pixel_values) as seen:
        logits = (forward_with_hooks if names else forward)(model, pixel_values)
    return logits.float().cpu(), {name: seen[name].cpu() for name in names}


@contextlib.contextmanager
def tapped(
    model: PreTrainedModel, names: Sequence[str], pixel_values: torch.Tensor
) -> Iterator[dict[str, torch.Tensor]]:
    """Collect what layers give while the block runs: (B, 2C) means and deviations of their maps.

    Of a linear layer what goes into it is taken: (B, D) penultimate features. The colours are
    those of the pixel values themselves, whatever precision the model computes in.

    Args:
        model: A classifier.
        names: `COLOURS`, or of its submodules.
        pixel_values: (B, 3, S, S) what the block shows to the model.
    """
    seen: dict[str, torch.Tensor] = {}
    hooks = []
    for name in names:
        if name == COLOURS:
            with torch.inference_mode():
                seen[COLOURS] = describe_colours(pixel_values.float())
            continue
        layer = model.get_submodule(name)

        def keep(_: nn.Module, inputs: tuple, output: torch.Tensor, name: str = name) -> None:
            with torch.inference_mode():
                is_linear = isinstance(_, nn.Linear)
                seen[name] = inputs[0].float() if is_linear else pool(output.float())

        hooks.append(layer.register_forward_hook(keep))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def pool(maps: torch.Tensor) -> torch.Tensor:
    """Return (B, 2C) means and standard deviations over the positions of (B, C, H, W) maps."""
    flat = maps.flatten(2)
    mean = flat.mean(2)
    # Six times as fast on a CPU as `std`, which goes through the values one by one.
    deviation = torch.linalg.vector_norm(flat - mean[..., None], dim=2) / flat.shape[2] ** 0.5
    return torch.cat([mean, deviation], dim=1)


def describe_colours(pixel_values: torch.Tensor) -> torch.Tensor:
    """Return (B, 65) colours, their spread and coarse edges of (B, 3, S, S) pixel values.

    All of it on a grid of 8 to 32 cells a side, where a sharp image looks like a soft one.
    """
    cells = functional.adaptive_avg_pool2d(pixel_values, GRID)
    flat = cells.flatten(2)
    centred = flat - flat.mean(2, keepdim=True)
    spread = centred.square().mean(2).clamp_min(TINY**2).sqrt()
    pairs = torch.stack([centred[:, a] * centred[:, b] for a, b in ((0, 1), (0, 2), (1, 2))], 1)
    products = torch.stack([spread[:, a] * spread[:, b] for a, b in ((0, 1), (0, 2), (1, 2))], 1)
    chroma = torch.stack([flat[:, 0] - flat[:, 1], flat[:, 1] - flat[:, 2]], dim=1)
    parts = [flat.mean(2), spread.log(), _quantiles(flat, QUANTILES), pairs.mean(2) / products]
    parts += [chroma.mean(2), chroma.std(2), _quantiles(chroma, (QUANTILES[0], QUANTILES[-1]))]
    parts += [_edges(functional.adaptive_avg_pool2d(pixel_values, side)) for side in GRIDS]
    border = torch.cat([cells[:, :, 0], cells[:, :, -1], cells[..., 0], cells[..., -1]], dim=2)
    third = slice(GRID // 3, GRID - GRID // 3)
    middle = cells[:, :, third, third].mean((2, 3))
    return torch.cat([*parts, middle - border.mean(2), border.std(2)], dim=1)


def _quantiles(values: torch.Tensor, levels: Sequence[float]) -> torch.Tensor:
    """Return (B, Q * C) quantiles of (B, C, N) values."""
    found = torch.quantile(values, torch.tensor(levels, device=values.device), dim=2)
    return found.permute(1, 0, 2).flatten(1)


def _edges(grid: torch.Tensor) -> torch.Tensor:
    """Return (B, 9): mean step across and down, and how uneven steps are, of each channel."""
    across = (grid[..., 1:] - grid[..., :-1]).abs().flatten(2)
    down = (grid[..., 1:, :] - grid[..., :-1, :]).abs().flatten(2)
    both = torch.cat([across, down], dim=2)
    uneven = both.square().mean(2).sqrt() / (both.mean(2) + TINY)
    return torch.cat([(across.mean(2) + TINY).log(), (down.mean(2) + TINY).log(), uneven], dim=1)
