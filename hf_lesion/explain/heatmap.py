"""Grad-CAM heatmaps through pytorch-grad-cam, with no gradient below the target layer.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization" (ICCV 2017).
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from transformers import PreTrainedModel, TimmWrapperForImageClassification

from hf_lesion.errors import InputError
from hf_lesion.models.cnn import LesionCnnForImageClassification

COLOUR_MAP = "inferno"
OPACITY = 0.5


@dataclass(frozen=True)
class Heatmaps:
    """Where a network looked, for one class of each image.

    Attributes:
        maps: (B, H, W) float32 in [0, 1], each stretched from its own least to its own greatest
            value, as pytorch-grad-cam does; all zero where no place stands out, be it that none
            speaks for the class or that all do alike.
        targets: (B,) the class ids that were explained.
        logits: (B, C) of the same forward pass.
    """

    maps: NDArray[np.float32]
    targets: NDArray[np.int64]
    logits: NDArray[np.float32]


def explain(
    model: PreTrainedModel, pixel_values: torch.Tensor, targets: Sequence[int] | None = None
) -> Heatmaps:
    """Compute one Grad-CAM heatmap per image in a single forward pass.

    The caller holds the model's lock: pytorch-grad-cam keeps its state in hooks, and a prediction
    in another thread would fire them.

    Args:
        model: A classifier in evaluation mode.
        pixel_values: (B, 3, H, W) preprocessed images on the model's device.
        targets: (B,) class ids to explain; None explains the predicted class of each image.

    Raises:
        InputError: If a class id or their number is wrong, or no target layer is known.
    """
    check_targets(targets, len(pixel_values), model.config.num_labels)
    wanted = None if targets is None else [ClassifierOutputTarget(target) for target in targets]
    layer = target_layer(model)
    network = _Logits(model)
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        _gradient_from(layer),
        GradCAM(network, [layer]) as cam,
    ):
        maps = cam(pixel_values.detach().clone(), wanted)
        logits = cam.outputs.detach().cpu().numpy()
    chosen = np.asarray(logits.argmax(axis=1) if targets is None else targets, dtype=np.int64)
    return Heatmaps(_unit_range(maps), chosen, logits)


def check_targets(targets: Sequence[int] | None, images: int, classes: int) -> None:
    """Raise InputError unless there is one valid class id per image."""
    if targets is None:
        return
    if len(targets) != images:
        raise InputError(f"Expected one target per image ({images}), got {len(targets)}.")
    if wrong := [target for target in targets if not 0 <= target < classes]:
        raise InputError(f"Expected class ids from 0 to {classes - 1}, got {wrong[0]}.")


def target_layer(model: PreTrainedModel) -> nn.Module:
    """Return the layer whose activations Grad-CAM weighs: the last one with positions.

    For a timm network that is the last entry of its `feature_info`; for our CNN the activation
    before the last max-pooling.

    Raises:
        InputError: If the architecture is none of these.
    """
    if isinstance(model, LesionCnnForImageClassification):
        return list(model.features[-1].children())[-2]
    if isinstance(model, TimmWrapperForImageClassification):
        features = getattr(model.timm_model, "feature_info", None)
        if features:
            return model.timm_model.get_submodule(features[-1]["module"])
    raise InputError(
        f"No Grad-CAM target layer is known for {type(model).__name__}. "
        "Choose cnn or a convolutional timm model (ResNet, DenseNet, EfficientNet, …)."
    )


def overlay(
    image: Image.Image, heatmap: NDArray[np.float32], *, opacity: float = OPACITY
) -> Image.Image:
    """Return the image with a heatmap in colour blended over it.

    The colours are matplotlib's inferno: even steps to the eye, and readable in grey and by
    colour-blind readers.

    Args:
        image: RGB image of any size.
        heatmap: (H, W) in [0, 1], covering the whole frame of the image.
        opacity: Weight of the colours in [0, 1].
    """
    resized = Image.fromarray(np.asarray(heatmap, dtype=np.float32)).resize(
        image.size, Image.Resampling.BICUBIC
    )
    values = np.clip(np.asarray(resized), 0.0, 1.0)
    colours = matplotlib.colormaps[COLOUR_MAP](values, bytes=True)[..., :3]
    return Image.blend(image.convert("RGB"), Image.fromarray(colours), opacity)


class _Logits(nn.Module):
    """Gives pytorch-grad-cam the bare tensor that it needs."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.model(pixel_values=pixel_values).logits


@contextlib.contextmanager
def _gradient_from(layer: nn.Module) -> Iterator[None]:
    """Let gradients start at this layer's output: nothing below it is back-propagated."""

    def start(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        # The clone is no leaf, so a ReLU that works in place may follow.
        return output.detach().requires_grad_(True).clone()

    handle = layer.register_forward_hook(start)
    try:
        yield
    finally:
        handle.remove()


def _unit_range(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clean (B, H, W) maps: NaN (a constant map divided by its range) means no evidence."""
    return np.clip(np.nan_to_num(np.asarray(maps, dtype=np.float32)), 0.0, 1.0)
