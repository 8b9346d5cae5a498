"""OOD features: colour statistics of the input and pooled activations of the network's stages.

They are collected by forward hooks during the pass that computes the logits. Early stages are more
informative about whether an image is dermoscopic than the last stage, which mainly retains what
separates the diagnoses.
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel, TimmWrapperForImageClassification

from hf_lesion.models.cnn import LesionCnnForImageClassification
from hf_lesion.models.forward import (
    check_not_compiled,
    forward,
    forward_with_hooks,
    head_name,
)

COLOURS = "colours"
GRIDS = (8, 16, 32)  # cells a side for edges: coarse, hence insensitive to sharpness
GRID = 16
QUANTILES = (0.02, 0.1, 0.5, 0.9, 0.98)
TINY = 1e-3


def feature_layers(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the names of a network's stages, then of its last linear layer.

    The stages are those of timm's `feature_info`, or the blocks of our CNN. The linear layer stands
    for its input, the penultimate features.
    """
    names: list[str] = []
    if isinstance(model, LesionCnnForImageClassification):
        names = [f"features.{index}" for index in range(len(model.features))]
    elif isinstance(model, TimmWrapperForImageClassification):
        stages = getattr(model.timm_model, "feature_info", None) or []
        names = [f"timm_model.{stage['module']}" for stage in stages]
    return (*names, head_name(model))


def forward_with_features(
    model: PreTrainedModel, pixel_values: torch.Tensor, names: Sequence[str] = ()
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return (B, C) logits and (B, D) features by name, from one forward pass.

    D differs by name, which is `COLOURS` or that of a submodule. All are float32, on the CPU.

    Raises:
        InputError: If layers are to be read and a part of the model is compiled.
    """
    if names:
        check_not_compiled(model)
    with torch.inference_mode(), collect_features(model, names, pixel_values) as found:
        logits = (forward_with_hooks if names else forward)(model, pixel_values)
    return logits.float().cpu(), {name: found[name].cpu() for name in names}


@contextlib.contextmanager
def collect_features(
    model: PreTrainedModel, names: Sequence[str], pixel_values: torch.Tensor
) -> Iterator[dict[str, torch.Tensor]]:
    """Fill the yielded mapping while the block runs the model on (B, 3, S, S) `pixel_values`.

    A stage gives (B, 2C) means and standard deviations of its maps, a linear layer its (B, D)
    input, `COLOURS` the (B, 65) of `describe_colours`, independent of the model's precision.
    """
    found: dict[str, torch.Tensor] = {}
    hooks = []
    for name in names:
        if name == COLOURS:
            with torch.inference_mode():
                found[COLOURS] = describe_colours(pixel_values.float())
            continue
        layer = model.get_submodule(name)

        def keep(module: nn.Module, inputs: tuple, output: torch.Tensor, name: str = name) -> None:
            with torch.inference_mode():
                is_linear = isinstance(module, nn.Linear)
                found[name] = inputs[0].float() if is_linear else pool(output.float())

        hooks.append(layer.register_forward_hook(keep))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def pool(maps: torch.Tensor) -> torch.Tensor:
    """Return (B, 2C) means and standard deviations over the positions of (B, C, H, W) maps."""
    flat = maps.flatten(2)
    mean = flat.mean(2)
    # Six times as fast on a CPU as `Tensor.std`.
    deviation = torch.linalg.vector_norm(flat - mean[..., None], dim=2) / flat.shape[2] ** 0.5
    return torch.cat([mean, deviation], dim=1)


def describe_colours(pixel_values: torch.Tensor) -> torch.Tensor:
    """Return (B, 65) colours, their spread and coarse edges of (B, 3, S, S) pixel values.

    All are measured on grids of 8 to 32 cells a side, on which sharpness hardly matters.
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
    """Return (B, 9) of each channel: mean step across, mean step down, unevenness of the steps."""
    across = (grid[..., 1:] - grid[..., :-1]).abs().flatten(2)
    down = (grid[..., 1:, :] - grid[..., :-1, :]).abs().flatten(2)
    both = torch.cat([across, down], dim=2)
    uneven = both.square().mean(2).sqrt() / (both.mean(2) + TINY)
    return torch.cat([(across.mean(2) + TINY).log(), (down.mean(2) + TINY).log(), uneven], dim=1)
