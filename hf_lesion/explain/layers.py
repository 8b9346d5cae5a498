"""Layers that output feature maps: the target layer of Grad-CAM, and the stages."""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from transformers import PreTrainedModel, TimmWrapperForImageClassification

from hf_lesion.errors import InputError
from hf_lesion.models.cnn import LesionCnnForImageClassification

ADVICE = (
    "Choose cnn or a convolutional timm model (ResNet, DenseNet, EfficientNet, MobileNet, "
    "ConvNeXt), or pass layer=, the name of the last module that gives a (B, C, H, W) feature map"
)


def target_layer(model: PreTrainedModel, name: str | None = None) -> nn.Module:
    """Return the target layer of Grad-CAM: the last one whose output is a feature map.

    For a timm network that is the last entry of its `feature_info`; for our CNN the activation
    before the last max-pooling; or the module of this name, as in `model.named_modules()`.

    Raises:
        InputError: If the architecture is not supported, or has no module of this name.
    """
    if name is not None:
        modules = dict(model.named_modules())
        if not name or name not in modules:
            raise InputError(
                f"{type(model).__name__} has no module {name!r}. Pass layer= a name from "
                f"named_modules(), for instance {_suggest(model)!r}."
            )
        return modules[name]
    layers = stage_layers(model)
    if not layers:
        raise InputError(
            f"No Grad-CAM target layer is known for {type(model).__name__}. {ADVICE}, "
            f"for instance {_suggest(model)!r}."
        )
    return layers[-1]


def stage_layers(model: PreTrainedModel) -> list[nn.Module]:
    """Return the last layer of each resolution, finest first; empty for an unknown architecture."""
    if isinstance(model, LesionCnnForImageClassification):
        return [list(block.children())[-2] for block in model.features]
    if isinstance(model, TimmWrapperForImageClassification):
        known = getattr(model.timm_model, "feature_info", None) or []
        return [model.timm_model.get_submodule(entry["module"]) for entry in known]
    return []


@contextlib.contextmanager
def activations_of(layers: Sequence[nn.Module]) -> Iterator[list[torch.Tensor]]:
    """Collect the layers' outputs while the block runs, as starting points of gradients.

    No graph is recorded below the first layer, so gradients stop there even if parameters require
    them. The hooks are removed when the block ends, also after an exception.

    The layers are in the order of the forward pass, which fills the yielded list with one
    (B, K, H, W) tensor for each; logits depend on all of them.

    Raises:
        InputError: In the forward pass, if an output is not a feature map.
    """
    found: list[torch.Tensor] = []

    def start(module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        if not isinstance(output, torch.Tensor) or output.ndim != 4:
            raise InputError(
                f"{type(module).__name__} gives {shape}, which is not a feature map (B, C, H, W), "
                f"so it cannot be drawn over an image. {ADVICE}."
            )
        torch.set_grad_enabled(True)  # until `no_grad` below ends
        found.append(output if found else output.detach().requires_grad_(True))
        # A clone: an in-place ReLU may follow, and must not change a leaf.
        return found[-1].clone()

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_hook(start).remove)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        yield found


def _suggest(model: nn.Module) -> str:
    """Return the name of the last convolution, or of the last module if there is none."""
    names = [name for name, _ in model.named_modules() if name] or [""]
    convolutions = [n for n, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    return (convolutions or names)[-1]
