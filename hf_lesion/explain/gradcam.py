"""Grad-CAM and related heatmaps: any number of classes from one forward pass.

Activations and gradients of the target layer are collected here, without computing gradients below
it and without leaving hooks; pytorch-grad-cam computes the weights of the maps.

Sources: Grad-CAM (Selvaraju et al., ICCV 2017), Grad-CAM++ (Chattopadhay et al., WACV 2018),
HiResCAM (Draelos and Carin, arXiv 2011.08891), LayerCAM (Jiang et al., IEEE TIP 2021), EigenCAM
(Muhammad and Yeasin, IJCNN 2020): the first principal component of the activations, the same for
every class, with the sign that the decomposition gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from pytorch_grad_cam.base_cam import BaseCAM
from torch import nn
from transformers import PreTrainedModel

from hf_lesion.errors import InputError
from hf_lesion.explain.layers import activations_of, target_layer
from hf_lesion.explain.names import PREDICTED, RUNNER_UP
from hf_lesion.explain.placement import find_flat, stretch, to_unit
from hf_lesion.explain.views import VIEWS, lay_back, show
from hf_lesion.labels import CODES
from hf_lesion.models.forward import check_not_compiled, forward_with_hooks, softmax
from hf_lesion.models.preprocessing import Box

GRADCAM, EIGENCAM = "gradcam", "eigencam"
METHODS: dict[str, type[BaseCAM]] = {
    GRADCAM: GradCAM,
    "gradcam++": GradCAMPlusPlus,
    "hirescam": HiResCAM,
    "layercam": LayerCAM,
    EIGENCAM: EigenCAM,
}
RANKS = {PREDICTED: 0, RUNNER_UP: 1}
Target = int | str


@dataclass(frozen=True)
class Explanation:
    """Heatmaps and the probabilities of the same forward pass; "…" is N, or N and K classes.

    Attributes:
        heatmaps: (…, H, W) float32 in [0, 1] over the model's input, each stretched to its own
            range, as pytorch-grad-cam does; all zero if flat.
        targets: (…) the class ids that were explained.
        probabilities: (N, C) float32.
        lows: (…) raw value that 0 stands for, in the units of the method.
        highs: (…) raw value that 1 stands for.
        boxes: The part of each of N images that fills the input, for `overlay`: its left, upper,
            right and lower edge as shares of the image's width and height.
        method: One of `METHODS`.
    """

    heatmaps: NDArray[np.float32]
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    lows: NDArray[np.float32]
    highs: NDArray[np.float32]
    boxes: tuple[Box, ...] = ()
    method: str = GRADCAM

    @property
    def flat(self) -> NDArray[np.bool_]:
        """(…) whether the map is flat: the layer has no evidence for this class."""
        return find_flat(self.heatmaps)

    @property
    def raw(self) -> NDArray[np.float32]:
        """(…, H, W) the maps on their raw scale, where those of one model compare."""
        lows, highs = self.lows[..., None, None], self.highs[..., None, None]
        return lows + self.heatmaps * (highs - lows)

    def first(self) -> "Explanation":
        """Return the explanation of the first of K classes alone: (N, K, …) becomes (N, …)."""
        kept = {
            name: getattr(self, name)[:, 0] for name in ("heatmaps", "targets", "lows", "highs")
        }
        return replace(self, **kept)


def join(parts: Sequence[Explanation]) -> Explanation:
    """Concatenate the explanations of one or more batches."""
    names = ("heatmaps", "targets", "probabilities", "lows", "highs")
    together: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in names
    }
    together["boxes"] = tuple(box for part in parts for box in part.boxes)
    return replace(parts[0], **together)


def explain_nothing(shape: tuple[int, ...], size: tuple[int, int], method: str) -> Explanation:
    """Return the explanation of no images, with `shape` (0,), or (0, K) of K classes."""
    none, answers = np.empty(shape, np.float32), np.empty((0, len(CODES)), np.float32)
    maps = np.empty((*shape, *size), np.float32)
    return Explanation(maps, np.empty(shape, np.int64), answers, none, none, method=method)


@dataclass(frozen=True)
class Trace:
    """A forward pass whose graph above the target layer is kept for explanations.

    Any class, by any method, then costs one backward pass through the layers above the target
    layer, and no lock: hooks and forward passes are over.

    Attributes:
        logits: (B, C), with the graph.
        activation: (B, K, h, w) of the target layer, where the graph starts.
        size: Height and width of the input, which the maps have as well.
    """

    logits: torch.Tensor
    activation: torch.Tensor
    size: tuple[int, int]

    def explain(self, wanted: Sequence[Sequence[Target]], method: str = GRADCAM) -> Explanation:
        """Return the heatmaps of K classes of each image; which part of it was seen is not known.

        Args:
            wanted: (B, K) class ids, `PREDICTED` or `RUNNER_UP`.
            method: One of `METHODS`.
        """
        logits = to_array(self.logits)
        targets = choose_targets(logits, wanted)
        activations = to_array(self.activation)
        if method != EIGENCAM:
            gradients = map(self._differentiate, targets.T)
            parts = [self._weigh(method, activations, gradient) for gradient in gradients]
        else:  # no gradient: one map for all classes
            parts = [self._weigh(method, activations, None)] * targets.shape[1]
        maps, lows, highs = (np.stack(column, axis=1) for column in zip(*parts, strict=True))
        return Explanation(maps, targets, softmax(logits), lows, highs, method=method)

    def _differentiate(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the gradients (B, K', h, w) of one class's logit for each of (B,) class ids."""
        # Whatever the caller has switched off.
        with torch.inference_mode(False), torch.enable_grad():
            column = torch.from_numpy(ids).to(self.logits.device)[:, None]
            # Images do not mix: the gradient of the sum holds that of each.
            objective = self.logits.gather(1, column).sum()
            return to_array(torch.autograd.grad(objective, self.activation, retain_graph=True)[0])

    def _weigh(
        self, method: str, activations: NDArray[np.float32], gradient: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        sizes = np.abs(activations)
        if gradient is not None:
            sizes = sizes * np.abs(gradient)
        # The library's classes keep no state in this call: it is a function of what is passed.
        raw = _library(method).get_cam_image(None, None, None, activations, gradient, False)
        return stretch(np.asarray(raw, np.float32), sizes.sum(axis=1), self.size)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A forward pass that can still be explained can't be copied or pickled: it holds a "
            "graph. Keep what it gives: probabilities and heatmaps."
        )


def trace(model: PreTrainedModel, pixel_values: torch.Tensor, *, layer: str | None = None) -> Trace:
    """Run one forward pass and keep the activations that heatmaps need.

    The caller must hold the model's lock, since a prediction in another thread would trigger the
    hooks that collect the activations.

    Args:
        model: A classifier in evaluation mode.
        pixel_values: (B, 3, H, W) preprocessed images.
        layer: Name of the module to read; None takes `layers.target_layer`.

    Raises:
        InputError: If no target layer is known, it gives no feature map, or a part of the model is
            compiled.
    """
    check_not_compiled(model)
    with activations_of([target_layer(model, layer)]) as found:
        logits = forward_with_hooks(model, pixel_values)
    height, width = pixel_values.shape[-2:]
    return Trace(logits, found[0], (height, width))


def explain_each(
    model: PreTrainedModel,
    pixel_values: torch.Tensor,
    wanted: Sequence[Sequence[Target]],
    methods: Sequence[str],
    *,
    layer: str | None = None,
    fine: bool = False,
) -> dict[str, Explanation]:
    """Compute the heatmaps of K classes of each image by several methods in one forward pass.

    `wanted` are (B, K) class ids, `PREDICTED` or `RUNNER_UP`; `fine` averages over the image and
    `views.VIEWS` of it, which takes nine times as long. All else is as for `trace`.

    Raises:
        InputError: If a method is unknown, or as `trace`.
    """
    for method in methods:
        check_method(method)
    traced = trace(model, pixel_values, layer=layer)
    found = {method: traced.explain(wanted, method) for method in methods}
    if fine:
        for method, own in found.items():
            found[method] = _refine(model, pixel_values, own, layer)
    return found


def _refine(
    model: PreTrainedModel, pixel_values: torch.Tensor, found: Explanation, layer: str | None
) -> Explanation:
    """Return the mean of the maps of each image and of its shifted and mirrored views."""
    chosen: list[list[Target]] = found.targets.tolist()
    parts, is_flat = [found.raw], found.flat
    for view in VIEWS:
        seen = trace(model, show(pixel_values, view), layer=layer).explain(chosen, found.method)
        parts.append(lay_back(seen.raw, view))
        is_flat &= seen.flat
    mean = np.nanmean(np.stack(parts), axis=0)
    lows, highs = mean.min(axis=(-2, -1)), mean.max(axis=(-2, -1))
    maps = to_unit(mean, lows, highs, is_flat)
    return replace(found, heatmaps=maps, lows=lows, highs=highs)


def check_method(method: str) -> None:
    """Raise InputError unless the method is known."""
    if method not in METHODS:
        raise InputError(f"Unknown method {method!r}: expected one of {', '.join(METHODS)}.")


@cache
def _library(method: str) -> BaseCAM:
    """Return the library's object, built without a network or layer and so without hooks."""
    return METHODS[method](nn.Linear(1, 1), [])


def choose_targets(
    logits: NDArray[np.float32], wanted: Sequence[Sequence[Target]]
) -> NDArray[np.int64]:
    """Return (B, K) class ids for class ids and ranks."""
    order = np.argsort(-logits, axis=1, kind="stable")
    return np.asarray(
        [
            [row[RANKS[target]] if target in RANKS else int(target) for target in targets]
            for row, targets in zip(order, wanted, strict=True)
        ],
        dtype=np.int64,
    ).reshape(len(wanted), -1)


def to_array(tensor: torch.Tensor) -> NDArray[np.float32]:
    """Return the values of a tensor on any device, in any precision, as a float32 array."""
    return tensor.detach().float().cpu().numpy()
