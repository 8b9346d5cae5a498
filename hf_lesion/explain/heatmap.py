"""Heatmaps by pytorch-grad-cam's methods: any number of classes from one forward pass.

Activations and gradients of the target layer are taken here, with no gradient below it and no hook
left behind; what they are weighed by is the library's own code (`hf_lesion.explain.methods`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import PreTrainedModel

from hf_lesion.errors import InputError
from hf_lesion.explain.layers import activations_of, target_layer
from hf_lesion.explain.methods import GRADCAM, check_method, needs_gradient, weigh
from hf_lesion.explain.placement import place
from hf_lesion.explain.scaling import find_flat, stretch, to_unit
from hf_lesion.explain.views import VIEWS, lay_back, show
from hf_lesion.models.preprocessing import Box, seen_box
from hf_lesion.pixels import Source, load_image

COLOUR_MAP = "inferno"
OPACITY = 0.5
UNSEEN = 0.4  # of its brightness is left to what the network did not see
PREDICTED, RUNNER_UP = "predicted", "runner-up"
RANKS = {PREDICTED: 0, RUNNER_UP: 1}
Target = int | str


@dataclass(frozen=True)
class Heatmaps:
    """Where a network looked, for one class or several of each image: "…" is B, or B and K.

    Attributes:
        maps: (…, H, W) float32 in [0, 1], each stretched from its own least to its own greatest
            value, as pytorch-grad-cam does; all zero where it is flat.
        lows: (…) the values that 0 stands for: maps compare only on their raw scale.
        highs: (…) the values that 1 stands for.
        targets: (…) the class ids that were explained.
        logits: (B, C) of the same forward pass.
    """

    maps: NDArray[np.float32]
    lows: NDArray[np.float32]
    highs: NDArray[np.float32]
    targets: NDArray[np.int64]
    logits: NDArray[np.float32]

    @property
    def raw(self) -> NDArray[np.float32]:
        """(…, H, W) the maps on their raw scale."""
        lows, highs = self.lows[..., None, None], self.highs[..., None, None]
        return lows + self.maps * (highs - lows)


def explain(
    model: PreTrainedModel,
    pixel_values: torch.Tensor,
    targets: Sequence[Target] | None = None,
    *,
    method: str = GRADCAM,
    layer: str | None = None,
    fine: bool = False,
) -> Heatmaps:
    """Compute one heatmap for each image in a single forward pass.

    The caller holds the model's lock: activations are taken by hooks, and a prediction in another
    thread would fire them.

    Args:
        model: A classifier in evaluation mode.
        pixel_values: (B, 3, H, W) preprocessed images on the model's device.
        targets: (B,) class ids, `PREDICTED` or `RUNNER_UP`; None explains the predicted classes.
        method: One of `methods.METHODS`.
        layer: Name of the module to read; None knows it.
        fine: Average over the image and `views.VIEWS` of it, which takes nine times as long.

    Raises:
        InputError: If a class id or their number is wrong, the method is unknown, or no target
            layer is known or it gives no feature map.
    """
    count = len(pixel_values)
    wanted = [PREDICTED] * count if targets is None else list(targets)
    if len(wanted) != count:
        raise InputError(f"Expected one target per image ({count}), got {len(wanted)}.")
    columns = [[target] for target in wanted]
    return _first_class(_explain(model, pixel_values, columns, _Way(method, layer, fine)))


def explain_classes(
    model: PreTrainedModel,
    pixel_values: torch.Tensor,
    classes: Sequence[Target],
    *,
    method: str = GRADCAM,
    layer: str | None = None,
    fine: bool = False,
) -> Heatmaps:
    """Compute a heatmap for each of K classes of each image in a single forward pass.

    Arguments and errors are those of `explain`, but for `classes`: (K,) class ids, `PREDICTED` or
    `RUNNER_UP`, the same for all images.
    """
    wanted = [list(classes)] * len(pixel_values)
    return _explain(model, pixel_values, wanted, _Way(method, layer, fine))


def explain_methods(
    model: PreTrainedModel, pixel_values: torch.Tensor, methods: Sequence[str]
) -> dict[str, Heatmaps]:
    """Compute the heatmap of each image's predicted class by several methods in one forward pass.

    Arguments and errors are those of `explain`.
    """
    for method in methods:
        check_method(method)
    way = _Way(GRADCAM, None, fine=False)
    taken = _take(model, pixel_values, [[PREDICTED]] * len(pixel_values), way)
    found = {method: _build(method, taken) for method in methods}
    return {method: _first_class(own) for method, own in found.items()}


def check_targets(targets: Sequence[Target], classes: int) -> None:
    """Raise InputError unless each is a valid class id or a rank."""
    for target in targets:
        if target not in RANKS and not (not isinstance(target, str) and 0 <= int(target) < classes):
            raise InputError(f"Expected class ids from 0 to {classes - 1}, got {target}.")


@dataclass(frozen=True)
class _Way:
    """How to explain: the method, the layer's name, and whether by several views."""

    method: str
    layer: str | None
    fine: bool


@dataclass(frozen=True)
class _Taken:
    """What one forward pass and K backward passes gave; gradients are None if not needed."""

    activations: NDArray[np.float32]
    gradients: list[NDArray[np.float32]] | None
    targets: NDArray[np.int64]
    logits: NDArray[np.float32]
    size: tuple[int, int]


def _first_class(found: Heatmaps) -> Heatmaps:
    return Heatmaps(
        found.maps[:, 0], found.lows[:, 0], found.highs[:, 0], found.targets[:, 0], found.logits
    )


def _explain(
    model: PreTrainedModel, pixel_values: torch.Tensor, wanted: list[list[Target]], way: _Way
) -> Heatmaps:
    check_method(way.method)
    for targets in wanted:
        check_targets(targets, model.config.num_labels)
    found = _explain_once(model, pixel_values, wanted, way)
    if not way.fine:
        return found
    chosen: list[list[Target]] = found.targets.tolist()
    parts, is_flat = [found.raw], find_flat(found.maps)
    for view in VIEWS:
        seen = _explain_once(model, show(pixel_values, view), chosen, way)
        parts.append(lay_back(seen.raw, view))
        is_flat &= find_flat(seen.maps)
    mean = np.nanmean(np.stack(parts), axis=0)
    lows, highs = mean.min(axis=(-2, -1)), mean.max(axis=(-2, -1))
    maps = to_unit(mean, lows, highs, is_flat)
    return Heatmaps(maps, lows, highs, found.targets, found.logits)


def _explain_once(
    model: PreTrainedModel, pixel_values: torch.Tensor, wanted: list[list[Target]], way: _Way
) -> Heatmaps:
    return _build(way.method, _take(model, pixel_values, wanted, way))


def _take(
    model: PreTrainedModel, pixel_values: torch.Tensor, wanted: list[list[Target]], way: _Way
) -> _Taken:
    with activations_of([target_layer(model, way.layer)]) as found:
        logits = model(pixel_values=pixel_values).logits
        answers = logits.detach().float().cpu().numpy()
        targets = choose_targets(answers, wanted)
        gradients = None
        if needs_gradient(way.method):
            gradients = _gradients(logits, found[0], targets)
    height, width = pixel_values.shape[-2:]
    return _Taken(_to_array(found[0]), gradients, targets, answers, (height, width))


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


def _gradients(
    logits: torch.Tensor, activation: torch.Tensor, targets: NDArray[np.int64]
) -> list[NDArray[np.float32]]:
    """Return K arrays (B, K', h, w): images do not mix, so the sum of their logits will do."""
    ids = torch.from_numpy(targets).to(logits.device)
    found = []
    for column in range(ids.shape[1]):
        objective = logits.gather(1, ids[:, column : column + 1]).sum()
        is_last = column == ids.shape[1] - 1
        gradient = torch.autograd.grad(objective, activation, retain_graph=not is_last)[0]
        found.append(_to_array(gradient))
    return found


def _to_array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().cpu().numpy()


def _build(method: str, taken: _Taken) -> Heatmaps:
    activations, size = taken.activations, taken.size
    if taken.gradients is None or not needs_gradient(method):  # one map for all classes
        parts = [stretch(weigh(method, activations, None), np.abs(activations).sum(axis=1), size)]
        parts *= taken.targets.shape[1]
    else:
        parts = [
            stretch(
                weigh(method, activations, gradient),
                np.einsum("bkhw,bkhw->bhw", np.abs(activations), np.abs(gradient)),
                size,
            )
            for gradient in taken.gradients
        ]
    maps, lows, highs = (np.stack(column, axis=1) for column in zip(*parts, strict=True))
    return Heatmaps(maps, lows, highs, taken.targets, taken.logits)


def overlay(
    image: Source,
    heatmap: NDArray[np.float32],
    box: Box | None = None,
    *,
    opacity: float = OPACITY,
) -> Image.Image:
    """Return the upright image with a heatmap in colour blended over what the network saw of it.

    The colours are matplotlib's inferno: even steps to the eye, and readable in grey and by
    colour-blind readers. What the network did not see is dark and grey.

    Args:
        image: Whatever `explain` takes: an image of any size, mode and orientation.
        heatmap: (H, W) in [0, 1] over the network's input.
        box: The part of the image that fills the input, as `Explanation.boxes` has it; None for the
            centre square, which models see unless they were made otherwise.
        opacity: Weight of the colours in [0, 1]; 0 gives the image as it is.
    """
    picture = load_image(image)
    box = box or seen_box("centre", picture.size)
    placed = place(heatmap, box, picture.size)
    colours = matplotlib.colormaps[COLOUR_MAP](np.clip(placed, 0.0, 1.0), bytes=True)[..., :3]
    coloured = Image.blend(picture, Image.fromarray(colours), opacity)
    grey = picture.convert("L").point(lambda value: UNSEEN * value).convert("RGB")
    unseen = Image.blend(picture, grey, min(1.0, opacity / OPACITY))
    return Image.composite(unseen, coloured, Image.fromarray(np.isnan(placed)))
