"""Predicting with Grad-CAM against one forward pass, the limit, and pytorch-grad-cam's own way."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from transformers import PreTrainedModel

from hf_lesion.benchmark.timing import Candidate
from hf_lesion.classifier import LesionClassifier
from hf_lesion.explain.heatmap import explain, explain_classes
from hf_lesion.explain.layers import target_layer
from hf_lesion.labels import CODES
from hf_lesion.models.build import build_model

LIMIT = "one forward pass"
ONE, ALL = "ours, one class", f"ours, all {len(CODES)} classes"
LIBRARY = "pytorch-grad-cam, one class"
AIMS = {ONE: 1.3, ALL: 1.5}  # times the limit


class Logits(nn.Module):
    """The wrapper that pytorch-grad-cam asks for."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return (B, C) logits of (B, 3, H, W) pixel values."""
        return self.model(pixel_values=pixel_values).logits


def load(name: str, image_size: int) -> tuple[PreTrainedModel, torch.Tensor]:
    """Return a frozen classifier, and pixel values of one image.

    Args:
        name: Folder of a saved model, at its own size; else cnn or a timm architecture.
        image_size: Of an architecture, in pixels.
    """
    torch.manual_seed(0)
    if Path(name).is_dir():
        classifier = LesionClassifier.from_pretrained(name)
        model, (height, width) = classifier.model, classifier.image_size
    else:
        model, _ = build_model(name, image_size=image_size)
        height = width = image_size
    return model.eval().requires_grad_(False), torch.randn(1, 3, height, width)


def candidates(
    model: PreTrainedModel, pixel_values: torch.Tensor, *, calls: int
) -> list[Candidate]:
    """Return the ways to answer so many requests, the limit first: one image each, as on the page.

    Args:
        model: A frozen classifier in evaluation mode.
        pixel_values: (1, 3, H, W).
        calls: How many in one run.
    """
    # As it comes from `from_pretrained`: its weights ask for gradients.
    theirs = copy.deepcopy(model).requires_grad_(True)
    layers = [target_layer(theirs)]

    def predict() -> NDArray[np.float32]:
        with torch.inference_mode():
            return model(pixel_values=pixel_values).logits.softmax(dim=-1).numpy()

    def library() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return library_maps(theirs, layers, pixel_values)

    ways = {
        LIMIT: predict,
        ONE: lambda: explain(model, pixel_values),
        ALL: lambda: explain_classes(model, pixel_values, range(len(CODES))),
        LIBRARY: library,
    }
    return [
        Candidate(name, lambda way=way: [way() for _ in range(calls)])  # type: ignore[misc]
        for name, way in ways.items()
    ]


def library_maps(
    model: PreTrainedModel,
    layers: list[nn.Module],
    pixel_values: torch.Tensor,
    targets: Sequence[int] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (B, H, W) maps and (B, C) logits as the README of pytorch-grad-cam gets them."""
    wanted = None if targets is None else [ClassifierOutputTarget(target) for target in targets]
    with GradCAM(model=Logits(model), target_layers=layers) as cam:
        maps = cam(input_tensor=pixel_values, targets=wanted)
        return maps, cam.outputs.detach().numpy()


def greatest_difference(model: PreTrainedModel, pixel_values: torch.Tensor) -> float:
    """Return by how much our maps of all classes differ from the library's, at the most."""
    ours = explain_classes(model, pixel_values, range(len(CODES))).maps[0]
    theirs = copy.deepcopy(model).requires_grad_(True)
    layers = [target_layer(theirs)]
    differences = [
        np.abs(ours[target] - library_maps(theirs, layers, pixel_values, [target])[0][0]).max()
        for target in range(len(CODES))
    ]
    return float(max(differences))


def format_times(title: str, summary: dict[str, dict[str, Any]], difference: float) -> str:
    """Return how many forward passes each way takes, as text for a terminal."""
    width = max(len(name) for name in summary)
    lines = [title, f"  {'':<{width}}  {'ms':>8}   forward passes (range)"]
    for name, found in summary.items():
        low, high = (1 / ratio for ratio in reversed(found["ratio_range"]))
        times = 1 / found["ratio"]
        aim = ""
        if name in AIMS:
            verdict = "met" if times <= AIMS[name] else "missed"
            aim = f"  aim {AIMS[name]}: {verdict}"
        lines.append(
            f"  {name:<{width}}  {1000 / found['items_per_second']:>8.1f}   "
            f"{times:.2f} x  ({low:.2f} to {high:.2f}){aim}"
        )
    lines.append(f"  greatest difference of a map from the library's: {difference:.1e}")
    return "\n".join(lines)
