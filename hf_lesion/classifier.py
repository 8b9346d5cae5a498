"""`LesionClassifier`: images to probabilities, verdicts and heatmaps, in one forward pass."""

import contextlib
import functools
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from transformers import BaseImageProcessor, PreTrainedModel

from hf_lesion.calibration.reliability import FILE as RELIABILITY
from hf_lesion.calibration.reliability import Reliability, read_reliability
from hf_lesion.errors import InputError
from hf_lesion.explain.gradcam import (
    GRADCAM,
    PREDICTED,
    Explanation,
    Target,
    Trace,
    check_method,
    explain_each,
    explain_nothing,
    join,
    to_array,
    trace,
)
from hf_lesion.io.checksums import TRAINING, WEIGHTS, file_sha256
from hf_lesion.io.files import read_json_if_there
from hf_lesion.io.images import Pictures, count_images, read_images
from hf_lesion.labels import CODES
from hf_lesion.models.build import load_snapshot
from hf_lesion.models.forward import head_name, softmax, walk
from hf_lesion.models.preprocessing import (
    Box,
    Preprocessing,
    limit_shape,
    preprocessing_of,
    seen_box,
)
from hf_lesion.models.snapshot import open_snapshot
from hf_lesion.ood.features import collect_features, forward_with_features
from hf_lesion.ood.gate import GATE, Gate, Verdict, find_gate, judge
from hf_lesion.prediction import Prediction, Targets, class_of, pair

BATCH_SIZE = 32
# Pixel values (B, 3, H, W), what to explain in each image, and the part of it that was seen.
Batch = tuple[torch.Tensor, Sequence[Target], Sequence[Box]]
Seen = tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]
BLANK = Image.new("RGB", (2, 2))
logger = logging.getLogger(__name__)
# Hooks belong to a network, so that classifiers which share one share its lock.
_LOCKS: WeakKeyDictionary[nn.Module, threading.Lock] = WeakKeyDictionary()


class LesionClassifier:
    """A model and its preprocessing; safe to share between threads.

    All methods accept one image or many; see `hf_lesion.io.images.read_images`. The first axis of
    every returned array has length N, the number of images, and N = 1 for a single image. Images
    are read and processed in batches, also from a generator, so memory holds one batch and the
    results. For `classifier(images)`, which keeps the images, see `Prediction`.

    The model may be on any device, in half precision or bfloat16, or compiled
    (`classifier.model = torch.compile(classifier.model)`; methods that read or explain layers run
    it uncompiled). It is put into evaluation mode before every pass, and its weights are frozen. A
    classifier can be copied and pickled; `copy.copy` shares the model.

    Attributes:
        name: The folder's name or the Hub id.
        codes: The diagnoses in the order of every array of C values.
        record: What `training.json` next to the weights says; empty if there is none.
        revision: The commit on the Hub that was loaded; None for a folder.
        gate: Rejects non-dermoscopic images and marks unsure answers; None if the model has none.
        reliability: Says how often such results are right; None likewise.
        weights_sha256: Of the weights file; None for a model that was not loaded from one.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: BaseImageProcessor,
        *,
        name: str,
        record: dict[str, Any] | None = None,
        revision: str | None = None,
        gate: Gate | None = None,
        reliability: Reliability | None = None,
    ):
        # Frozen weights: an explanation then leaves no gradients behind.
        self.model = model.eval().requires_grad_(False)
        self.processor = processor
        self.name = name
        self.codes = CODES
        self.record = record or {}
        self.revision, self.gate, self.reliability = revision, gate, reliability
        self.weights_sha256: str | None = None

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
    ) -> "LesionClassifier":
        """Load a classifier from a folder or the Hub.

        A gate or reliability that was fitted on other weights is left out, and a warning logged.

        Args:
            source: Folder that `scripts/train.py` saved, or a Hub id, also as "owner/name@v1".
            revision: Branch, tag or commit on the Hub.
            device: Where to compute; None takes a GPU if there is one.

        Raises:
            InputError: If it can't be loaded, does not match its SHA256SUMS, or lacks the
                seven diagnoses in our order.
        """
        snapshot = open_snapshot(str(source), revision=revision)
        folder = snapshot.folder
        model, processor = load_snapshot(snapshot)
        model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        own = file_sha256(folder / WEIGHTS) if (folder / WEIGHTS).is_file() else None
        gate, reliability = find_gate(folder), read_reliability(folder)
        classifier = cls(
            model,
            processor,
            gate=gate if _is_of(own, gate, folder / GATE) else None,
            name=snapshot.name,
            record=read_json_if_there(folder / TRAINING, fix="Train the model again."),
            revision=snapshot.revision,
            reliability=reliability if _is_of(own, reliability, folder / RELIABILITY) else None,
        )
        classifier.weights_sha256 = own
        return classifier

    def to(self, *args: Any, **kwargs: Any) -> "LesionClassifier":
        """Move the model to a device or a floating-point type, as `model.to` does."""
        self.model.to(*args, **kwargs)
        return self

    @property
    def network(self) -> PreTrainedModel:
        """The model itself, which a compiled one wraps: where layers can be read."""
        return getattr(self.model, "_orig_mod", self.model)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the model's input in pixels."""
        height, width = self.preprocess(BLANK).shape[-2:]
        return height, width

    def preprocess(self, images: Pictures) -> torch.Tensor:
        """Return (N, 3, H, W) pixel values; for 8-bit sRGB exactly those of `pipeline()`.

        Other modes and colour profiles are converted by `load_image` first, since `pipeline()`
        puts transparent images on black and reads 16-bit images as white. Very elongated images
        are shortened (see `limit_shape`), which may shift the result by less than a pixel.
        """
        return self._stack(self._preprocess(image) for image in read_images(images))

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing of an image: crop, input size and normalisation.

        Raises:
            InputError: If the processor does not make square images of one size.
        """
        return preprocessing_of(self.processor)

    def seen_boxes(self, images: Pictures) -> tuple[Box, ...]:
        """Return the part of each image that the network sees: see `seen_box`."""
        return tuple(map(self._find_box, read_images(images)))

    def __call__(
        self,
        images: Pictures,
        *,
        target: Targets = None,
        method: str = GRADCAM,
        batch_size: int = BATCH_SIZE,
    ) -> Prediction:
        """Return probabilities, verdicts and heatmaps of some images, from one forward pass.

        The images are kept, and so is what any other heatmap of them is made of: for more images
        than one looks at, use `judge` and `explain`, which keep none. The arguments are those of
        `explain`; a network that can't be explained is an error only once a heatmap is requested.
        """
        check_method(method)
        pairs = list(pair(read_images(images), target, count_images(images)))
        pixel_values = self._stack(self._preprocess(image) for image, _ in pairs)
        starts = range(0, len(pairs), _checked(batch_size))
        parts = [self._trace(pixel_values[start : start + batch_size]) for start in starts]
        logits, seen = self._gather([part[:2] for part in parts], self._inputs)
        probabilities = softmax(logits)
        return Prediction(
            tuple(image for image, _ in pairs),
            pixel_values,
            tuple(self._find_box(image) for image, _ in pairs),
            probabilities,
            self.share_right(probabilities),
            tuple(judge(self.gate, probabilities, seen)),
            tuple(wanted for _, wanted in pairs),
            method,
            tuple(traced for *_, traced in parts),
        )

    def logits(self, images: Pictures, *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
        """Return (N, C) logits of images of any size and mode."""
        return self.look(images, batch_size=batch_size)[0]

    def predict(self, images: Pictures, *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
        """Return (N, C) probabilities of images of any size and mode; rows sum to 1."""
        return softmax(self.logits(images, batch_size=batch_size))

    def share_right(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64] | None:
        """Return (N,) expected shares of correct predictions at the top of (N, C) `probabilities`.

        Values in [0, 1]; see `calibration.reliability`. None if the model has no reliability map.
        """
        return self.reliability.share_right(probabilities) if self.reliability else None

    def features(self, images: Pictures, *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
        """Return (N, D) penultimate features, the inputs of the last linear layer.

        Raises:
            InputError: If the model does not end in a linear layer.
        """
        name = head_name(self.network)
        return self.look(images, [name], batch_size=batch_size)[1][name]

    def judge(
        self, images: Pictures, *, batch_size: int = BATCH_SIZE
    ) -> tuple[NDArray[np.float32], list[Verdict]]:
        """Return (N, C) probabilities and, from the same forward pass, a verdict on each image."""
        logits, seen = self.look(images, self._inputs, batch_size=batch_size)
        probabilities = softmax(logits)
        return probabilities, judge(self.gate, probabilities, seen)

    def look(
        self, images: Pictures, names: Sequence[str] = (), *, batch_size: int = BATCH_SIZE
    ) -> Seen:
        """Return (N, C) logits and (N, D) features by name; see `ood.features`."""
        batches = self._batches(images, None, batch_size)
        return self._gather([self._look(part, names) for part, *_ in batches], names)

    def forward(self, pixel_values: torch.Tensor) -> NDArray[np.float32]:
        """Return (B, C) logits of (B, 3, H, W) pixel values, as from `preprocess`, in one pass."""
        return self._look(pixel_values, ())[0]

    def explain(
        self,
        images: Pictures,
        targets: Targets = None,
        method: str = GRADCAM,
        *,
        layer: str | None = None,
        fine: bool = False,
        batch_size: int = BATCH_SIZE,
    ) -> Explanation:
        """Return a heatmap for one class of each image, with the probabilities.

        Args:
            images: Images of any size and mode.
            targets: A class id or code, "predicted" or "runner-up" (why not that one?): one for
                all images, or a sequence of one for each. None explains the predicted classes.
            method: gradcam, gradcam++, hirescam, layercam or eigencam.
            layer: Name of the module to read, for an architecture that we do not know.
            fine: Average over shifted and mirrored copies: a finer map, nine times as long.
            batch_size: How many images go through the network at once.

        Raises:
            InputError: If a target is not a class, their number differs from the images', the
                method is unknown, or the architecture has no known target layer.
        """
        batches = self._batches(images, targets, batch_size)
        wanted = ((part, [[one] for one in targets], boxes) for part, targets, boxes in batches)
        return self._explain(wanted, 1, [method], layer=layer, fine=fine)[method].first()

    def explain_classes(
        self,
        images: Pictures,
        classes: Sequence[Target] | None = None,
        method: str = GRADCAM,
        *,
        layer: str | None = None,
        fine: bool = False,
        batch_size: int = BATCH_SIZE,
    ) -> Explanation:
        """Return a heatmap for each of K classes of each image, from one forward pass.

        `classes` are ids or codes, "predicted" or "runner-up"; None explains all seven. The other
        arguments are as for `explain`.
        """
        ids = [class_of(target) for target in (self.codes if classes is None else classes)]
        batches = self._batches(images, None, batch_size)
        wanted = ((part, [ids] * len(part), boxes) for part, _, boxes in batches)
        return self._explain(wanted, len(ids), [method], layer=layer, fine=fine)[method]

    def explain_methods(
        self, images: Pictures, methods: Sequence[str], *, batch_size: int = BATCH_SIZE
    ) -> dict[str, Explanation]:
        """Return the predicted classes' heatmaps by several methods, from one forward pass."""
        batches = self._batches(images, None, batch_size)
        wanted = ((part, [[PREDICTED]] * len(part), boxes) for part, _, boxes in batches)
        found = self._explain(wanted, 1, methods)
        return {method: one.first() for method, one in found.items()}

    @property
    def _inputs(self) -> tuple[str, ...]:
        return () if self.gate is None else self.gate.inputs

    def _preprocess(self, image: Image.Image) -> torch.Tensor:
        fitting = limit_shape(image, self.processor)
        return self.processor(images=[fitting], return_tensors="pt")["pixel_values"]

    def _find_box(self, image: Image.Image) -> Box:
        own = self.preprocessing
        return seen_box(own.crop_mode, image.size, own.crop_pct)

    def _stack(self, pixels: Iterable[torch.Tensor]) -> torch.Tensor:
        found = list(pixels)
        return torch.cat(found) if found else self._preprocess(BLANK)[:0]

    def _batches(self, images: Pictures, targets: Targets, batch_size: int) -> Iterator[Batch]:
        """Yield preprocessed batches; only one of the images is in memory at a time."""
        pairs = pair(read_images(images), targets, count_images(images))
        rows = ((self._preprocess(image), wanted, self._find_box(image)) for image, wanted in pairs)
        while some := list(islice(rows, _checked(batch_size))):
            pixels, wanted, boxes = zip(*some, strict=True)
            yield torch.cat(pixels), wanted, boxes

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[PreTrainedModel]:
        """Lock the network and keep it in evaluation mode until the block ends."""
        network = self.network
        with _LOCKS.setdefault(network, threading.Lock()):
            if any(module.training for module in walk(network)):
                network.eval()
            yield network

    def _look(self, pixel_values: torch.Tensor, names: Sequence[str]) -> Seen:
        with self._evaluating() as network:
            # Hooks are called in the model itself only.
            logits, seen = forward_with_features(
                network if names else self.model, pixel_values, names
            )
        return logits.numpy(), {name: found.numpy() for name, found in seen.items()}

    def _trace(
        self, pixel_values: torch.Tensor
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]], Trace | InputError]:
        """Run a forward pass and keep what heatmaps need, or why they cannot be computed."""
        try:
            with (
                self._evaluating() as network,
                collect_features(network, self._inputs, pixel_values) as seen,
            ):
                traced = trace(network, pixel_values)
        except InputError as error:
            return (*self._look(pixel_values, self._inputs), error)
        return to_array(traced.logits), {name: to_array(one) for name, one in seen.items()}, traced

    def _gather(self, parts: Sequence[Seen], names: Sequence[str]) -> Seen:
        """Concatenate the results of batches; for no images, a blank one gives the shapes."""
        count = sum(len(logits) for logits, _ in parts)
        parts = parts or [self._look(self._preprocess(BLANK), names)]
        logits = np.concatenate([part[0] for part in parts])[:count]
        return logits, {n: np.concatenate([part[1][n] for part in parts])[:count] for n in names}

    def _explain(
        self,
        batches: Iterable[tuple[torch.Tensor, Sequence[Sequence[Target]], Sequence[Box]]],
        classes: int,
        methods: Sequence[str],
        *,
        layer: str | None = None,
        fine: bool = False,
    ) -> dict[str, Explanation]:
        """Return (N, K, …) explanations by each method of batches with their (B, K) targets."""
        found: dict[str, list[Explanation]] = {method: [] for method in methods}
        for pixel_values, wanted, boxes in batches:
            with self._evaluating() as network:
                parts = explain_each(network, pixel_values, wanted, methods, layer=layer, fine=fine)
            for method, part in parts.items():
                found[method].append(replace(part, boxes=tuple(boxes)))
        nothing = functools.partial(explain_nothing, (0, classes))
        return {
            method: join(parts) if parts else nothing(self.image_size, method)
            for method, parts in found.items()
        }


def _checked(batch_size: int) -> int:
    if batch_size < 1:
        raise InputError(f"Expected a batch size of at least 1, got {batch_size}.")
    return batch_size


def _is_of(own: str | None, found: Gate | Reliability | None, file: Path) -> bool:
    """Tell whether something was fitted on these weights; log a warning if not."""
    if found is not None and found.weights_sha256 != own:
        logger.warning("%s was not fitted on these weights and is not used. Fit it again.", file)
    return found is not None and found.weights_sha256 == own
