"""ONNX networks for browsers: scores, all seven heatmaps and the gate from one pass.

Grad-CAM needs no backward pass if a network ends in global average pooling and one linear layer:
the gradient of a logit with respect to the last feature map is the classifier's weights, the same
at every position (Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016;
Selvaraju et al., "Grad-CAM", ICCV 2017, section 3.1). If timm's `conv_head`, a 1×1 convolution, is
in between, the weights are propagated back through it, scaled by the fraction of positions at which
each of its units is active; this requires ReLU or ReLU6. Every export is compared with Grad-CAM by
back-propagation and rejected if they differ.

Weights are rounded for storage and computed in float32, so activation ranges need no calibration.
Large layers are rounded to eight bits with one scale per output channel, the others to float16. For
tf_efficientnet_lite0 this takes 4.5 MB. With all layers in eight bits it would take 3.7 MB, with a
largest error of 0.10 instead of 0.01 in a probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn import functional

from hf_lesion.classifier import LesionClassifier, softmax
from hf_lesion.errors import InputError
from hf_lesion.explain.layers import target_layer
from hf_lesion.explain.placement import FLAT, stretch
from hf_lesion.hub.onnx import INPUT, check_packages, draw_images, open_session, write_network
from hf_lesion.io.files import whole_file
from hf_lesion.labels import CODES
from hf_lesion.models.forward import find_head
from hf_lesion.ood.features import COLOURS, describe_colours, pool
from hf_lesion.ood.gate import STRANGE, project

if TYPE_CHECKING:
    from onnx import NodeProto
    from onnxruntime import InferenceSession

LOGITS, MAPS, GATE = "logits", "maps", "gate"
WEIGHED = ("Conv", "ConvTranspose")  # operators whose weights are rounded
LEVELS = 127
LARGE, SMALL = 100_000, 1024  # numbers in a tensor: eight bits from, float32 below
COMPARED_IMAGES = 50
TOLERANCE = 1e-3  # of heatmaps in [0, 1], before weights are rounded


@dataclass(frozen=True)
class Difference:
    """Differences between the exported network with rounded weights and the original."""

    images: int
    median: float  # over images, of the largest difference of a probability
    worst: float  # the greatest of these
    heatmap: float  # median of the largest difference of the top class's heatmap in [0, 1]
    same_top: float  # share of images with the same top class
    same_gate: float  # share of images with the same decision of the gate


class BrowserNetwork(nn.Module):
    """A classifier as one graph, from (1, 3, S, S) pixel values to the outputs of `forward`."""

    def __init__(self, classifier: LesionClassifier):
        super().__init__()
        self.model, self.gate = classifier.network, classifier.gate
        self.target = target_layer(self.model)
        self.head = find_head(self.model, len(CODES))
        inside = getattr(self.model, "timm_model", self.model)
        self.conv = getattr(inside, "conv_head", None)
        self.norm = getattr(inside, "bn2", None) if self.conv is not None else None
        self._inputs = [] if self.gate is None else [n for n in self.gate.inputs if n != COLOURS]

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return (1, C) logits, (1, C, h, w) raw heatmaps and, with a gate, (1, 2).

        The last contains the distance from dermoscopic images and the classifier's score.
        """
        named = [(name, self.model.get_submodule(name)) for name in self._inputs]
        named += [(MAPS, self.target), *([] if self.norm is None else [(LOGITS, self.norm)])]
        seen: dict[str, torch.Tensor] = {}
        hooks = [module.register_forward_hook(_keep(seen, name)) for name, module in named]
        logits = self.model(pixel_values=pixel_values).logits
        for hook in hooks:
            hook.remove()
        maps = _add_up(seen[MAPS], self._weights(seen.get(LOGITS)))
        if self.gate is None:
            return logits, maps
        features = [
            describe_colours(pixel_values) if name == COLOURS else seen[name]
            for name in self.gate.inputs
        ]
        return logits, maps, self._measure(torch.cat(features, dim=1))

    def _weights(self, expanded: torch.Tensor | None) -> torch.Tensor:
        """Return (C, K, 1, 1): the mean gradient of each logit by each channel, up to a factor."""
        weights = self.head.weight[:, :, None, None]
        if self.conv is None or self.norm is None or expanded is None:
            return weights
        highest = 6 if isinstance(self.norm.act, nn.ReLU6) else torch.inf
        active = ((expanded > 0) & (expanded < highest)).float().mean((2, 3), keepdim=True)
        scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        # The backward pass of a convolution, with its own weights: they are in the file once.
        return functional.conv_transpose2d(
            weights * active * scale[None, :, None, None], self.conv.weight
        )

    def _measure(self, features: torch.Tensor) -> torch.Tensor:
        gate = self.gate
        assert gate is not None
        used = features[:, : len(gate.mean)]
        points = project(used, gate.mean, gate.scale, gate.directions) - gate.centre
        # As pytorch-ood: half the squared Mahalanobis distance.
        distance = 0.5 * ((points @ gate.precision) * points).sum(1)
        score = distance * 0 - 1 if gate.weight is None else features @ gate.weight + gate.offset
        return torch.stack([distance, score], dim=1)


def export_for_browser(
    classifier: LesionClassifier, file: Path, *, images: Sequence[Image.Image] | None = None
) -> Difference:
    """Write the network of a classifier on the CPU for `space/static`, and compare the two.

    They are compared on `images`, or on some that are drawn.
    """
    check_packages()
    check_ending(classifier)
    preprocessing = classifier.preprocessing
    if (preprocessing.crop_mode, preprocessing.crop_pct) != ("centre", 1):
        raise InputError(
            f"The page crops images to the centre square; expected the same of {classifier.name}, "
            f"got {preprocessing.crop_mode}, {preprocessing.crop_pct:.0%}. Train it with centre "
            "crops."
        )
    compared = draw_images(COMPARED_IMAGES) if images is None else images
    with whole_file(file) as partial:
        pixel_values = torch.zeros(1, 3, preprocessing.image_size, preprocessing.image_size)
        outputs = [LOGITS, MAPS, *([] if classifier.gate is None else [GATE])]
        write_network(BrowserNetwork(classifier), partial, pixel_values, outputs)
        shorten(partial)
        return compare(classifier, open_session(partial), compared)


def check_ending(classifier: LesionClassifier) -> None:
    """Raise InputError unless heatmaps without a backward pass equal those of back-propagation."""
    problem = InputError(
        f"{classifier.name} does not end in global average pooling and one linear layer, so the "
        "page can't compute its heatmaps. Choose another network: cnn with "
        'pooling="average" and no hidden layers, a ResNet or DenseNet, or an EfficientNet with '
        "ReLU or ReLU6, such as tf_efficientnet_lite0."
    )
    images = draw_images(2)
    expected = classifier.explain_classes(images).heatmaps
    try:
        with torch.no_grad():
            pixels = classifier.preprocess(images)
            network = BrowserNetwork(classifier).eval()
            found = np.concatenate([network(one[None])[1].numpy() for one in pixels])
    except RuntimeError as error:  # shapes that do not fit
        raise problem from error
    if not np.abs(_enlarge(found, expected.shape[-1]) - expected).max() <= TOLERANCE:
        raise problem


def shorten(file: Path) -> None:
    """Round the weights of an ONNX file as described above, and drop debugging data."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(file))
    graph = model.graph
    used = {node.input[1] for node in graph.node if node.op_type in WEIGHED}
    tensors, nodes = [], []
    for tensor in graph.initializer:
        if tensor.name not in used:
            tensors.append(tensor)
            continue
        stored, restoring = round_weights(tensor.name, numpy_helper.to_array(tensor))
        tensors += [numpy_helper.from_array(values, name) for name, values in stored.items()]
        nodes += restoring
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    nodes += graph.node
    for name, values in (("initializer", tensors), ("node", nodes), ("value_info", [])):
        graph.ClearField(name)
        getattr(graph, name).extend(values)
    model.ClearField("metadata_props")
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def round_weights(
    name: str, values: NDArray[np.float32]
) -> tuple[dict[str, NDArray[Any]], list["NodeProto"]]:
    """Return a weight in its stored form, and the operators that convert it to float32.

    The operators are folded when a session is opened; DequantizeLinear would be run each time.
    `values` are the (K, …) weights of K output channels.
    """
    from onnx import TensorProto, helper

    if values.size < SMALL:
        return {name: values}, []
    stored, plain = f"{name}_stored", f"{name}_plain"
    if values.size < LARGE:
        cast = helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT)
        return {stored: values.astype(np.float16)}, [cast]
    scale = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True) / LEVELS
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    cast = helper.make_node("Cast", [stored], [plain], to=TensorProto.FLOAT)
    multiply = helper.make_node("Mul", [plain, f"{name}_scale"], [name])
    eight = np.rint(values / scale).astype(np.int8)
    return {stored: eight, f"{name}_scale": scale}, [cast, multiply]


def compare(
    classifier: LesionClassifier, session: "InferenceSession", images: Sequence[Image.Image]
) -> Difference:
    """Compare an exported network with PyTorch, image by image."""
    pixels = classifier.preprocess(images).numpy()
    outputs: list[list[NDArray[np.float32]]] = [
        session.run(None, {INPUT: one[None]}) for one in pixels
    ]
    logits, maps = (np.concatenate([output[at] for output in outputs]) for at in (0, 1))
    prediction = classifier(list(images))
    expected, found = prediction.probabilities, softmax(logits)
    apart = np.abs(found - expected).max(axis=1)
    top, rows = expected.argmax(axis=1), np.arange(len(expected))
    heatmaps = _enlarge(maps[rows, top][:, None], pixels.shape[-1])[:, 0]
    alike = np.array([True])
    if classifier.gate is not None:
        distances, scores = np.concatenate([output[2] for output in outputs]).T
        rejected = classifier.gate.decide(distances, scores)
        alike = np.array([v.kind == STRANGE for v in prediction.verdicts]) == rejected
    return Difference(
        len(images),
        float(np.median(apart)),
        float(apart.max()),
        float(np.median(np.abs(heatmaps - prediction.heatmaps).max(axis=(1, 2)))),
        float((found.argmax(axis=1) == top).mean()),
        float(np.mean(alike)),
    )


def _keep(seen: dict[str, torch.Tensor], name: str) -> Any:
    """Return a hook that keeps a map; a stage of the gate pooled, a linear layer's input."""
    own = name in (MAPS, LOGITS)

    def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(module, nn.Linear):
            seen[name] = inputs[0]
        else:
            # A clone: an in-place ReLU may follow.
            seen[name] = output.clone() if own else pool(output)

    return hook


def _add_up(activation: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return (1, C, h, w) weighted sums of (1, K, h, w), not below zero; zero where one is flat."""
    terms = activation * weights
    maps = terms.sum(1).relu()
    ranges = maps.amax((1, 2)) - maps.amin((1, 2))
    stands_out = ranges > FLAT * terms.abs().sum(1).amax((1, 2))
    return (maps * stands_out[:, None, None])[None]


def _enlarge(maps: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return (B, C, S, S) heatmaps in [0, 1] of (B, C, h, w) raw ones."""
    flat = maps.reshape(-1, *maps.shape[2:])
    found = stretch(flat, np.zeros_like(flat), (side, side))[0]
    return found.reshape(*maps.shape[:2], side, side)
