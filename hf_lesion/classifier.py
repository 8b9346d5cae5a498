"""One classifier for scripts, Space and notebooks: images in, probabilities and heatmaps out."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import BaseImageProcessor, PreTrainedModel

from hf_lesion.decision import GATE, Gate, Verdict, judge, read_gate
from hf_lesion.errors import InputError
from hf_lesion.explain.explanation import Explanation
from hf_lesion.explain.heatmap import (
    GRADCAM,
    RANKS,
    Heatmaps,
    Target,
    explain,
    explain_classes,
    explain_methods,
)
from hf_lesion.files import read_json_if_there
from hf_lesion.labels import CODES, LABEL2ID
from hf_lesion.manifest import TRAINING
from hf_lesion.models.build import load_snapshot
from hf_lesion.models.calibration import Calibration, read_calibration
from hf_lesion.models.snapshot import open_snapshot
from hf_lesion.models.taps import head_name, look
from hf_lesion.pixels import load_image


class LesionClassifier:
    """A model, its preprocessing and a lock: safe to share between threads.

    Attributes:
        name: The folder's name or the Hub id.
        codes: The diagnoses in the order of every array of C values.
        record: What `training.json` beside the weights says; empty if there is none.
        revision: The commit on the Hub that was loaded; None for a folder.
        gate: What tells strange images and unsure answers; None if the model came without one.
        calibration: What corrects probabilities that are shown as chances; None likewise.
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
        calibration: Calibration | None = None,
    ):
        # Frozen weights: an explanation then leaves no gradients behind.
        self.model = model.eval().requires_grad_(False)
        self.processor = processor
        self.name = name
        self.codes = CODES
        self.record = record or {}
        self.revision, self.gate, self.calibration = revision, gate, calibration
        self._lock = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
    ) -> "LesionClassifier":
        """Load a classifier from a folder or the Hub.

        Args:
            source: Folder that `scripts/train.py` saved, or a Hub id, also as "owner/name@v1".
            revision: Branch, tag or commit on the Hub.
            device: Where to compute; None takes a GPU if there is one.

        Raises:
            InputError: If it can't be loaded, is damaged by its SHA256SUMS, or does not have the
                seven diagnoses in our order.
        """
        snapshot = open_snapshot(str(source), revision=revision)
        model, processor = load_snapshot(snapshot)
        model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        gate = snapshot.folder / GATE
        return cls(
            model,
            processor,
            gate=read_gate(gate) if gate.is_file() else None,
            name=snapshot.name,
            record=read_record(snapshot.folder),
            revision=snapshot.revision,
            calibration=read_calibration(snapshot.folder),
        )

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the model's input in pixels."""
        height, width = self.preprocess([Image.new("RGB", (2, 2))]).shape[-2:]
        return height, width

    def preprocess(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return (B, 3, H, W) pixel values; of 8-bit RGB exactly those that `pipeline()` makes.

        Other modes are read by `load_image` first: `pipeline()` shows a transparent image on black
        and a 16-bit one as white.
        """
        rgb = [load_image(image) for image in images]
        return self.processor(images=rgb, return_tensors="pt")["pixel_values"]

    def logits(self, images: Sequence[Image.Image], *, batch_size: int = 32) -> NDArray[np.float32]:
        """Return (N, C) logits of images of any size and mode."""
        return self.look(images, batch_size=batch_size)[0]

    def predict(
        self, images: Sequence[Image.Image], *, batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Return (N, C) probabilities of images of any size and mode; rows sum to 1."""
        return softmax(self.logits(images, batch_size=batch_size))

    def shown(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return (N, C) what to show as chances for (N, C) answers: see `models.calibration`."""
        return self.calibration.shown(probabilities) if self.calibration else probabilities

    def features(
        self, images: Sequence[Image.Image], *, batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Return (N, D) penultimate features: what the last linear layer turns into logits.

        Raises:
            InputError: If the model has no linear layer at its end.
        """
        name = head_name(self.model)
        return self.look(images, [name], batch_size=batch_size)[1][name]

    def judge(
        self, images: Sequence[Image.Image], *, batch_size: int = 32
    ) -> tuple[NDArray[np.float32], list[Verdict]]:
        """Return (N, C) probabilities and, from the same forward pass, a verdict on each image."""
        logits, seen = self.look(
            images, () if self.gate is None else self.gate.inputs, batch_size=batch_size
        )
        probabilities = softmax(logits)
        return probabilities, judge(self.gate, probabilities, seen)

    def look(
        self, images: Sequence[Image.Image], names: Sequence[str] = (), *, batch_size: int = 32
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Return (N, C) logits and (N, ...) what `taps.look` reads off in the same passes."""
        parts = []
        for start in range(0, max(1, len(images)), batch_size):
            # Of no images at all a blank one tells the shapes.
            some = images[start : start + batch_size] or [Image.new("RGB", (2, 2))]
            pixel_values = self.preprocess(some).to(self.model.device)
            with self._lock:
                parts.append(look(self.model, pixel_values, names))
        logits = torch.cat([part[0] for part in parts])[: len(images)].numpy()
        seen = {name: torch.cat([part[1][name] for part in parts]) for name in names}
        return logits, {name: found[: len(images)].numpy() for name, found in seen.items()}

    def explain(
        self,
        images: Sequence[Image.Image],
        targets: Sequence[Target] | None = None,
        method: str = GRADCAM,
        *,
        layer: str | None = None,
        fine: bool = False,
    ) -> Explanation:
        """Return a heatmap for one class of each image, with the probabilities.

        Args:
            images: Images of any size and mode.
            targets: For each image a class id or code, "predicted" or "runner-up" (why not that
                one?); None explains the predicted classes.
            method: gradcam, gradcam++, hirescam, layercam or eigencam.
            layer: Name of the module to read, for an architecture that we do not know.
            fine: Average over shifted and mirrored copies: a finer map, nine times as long.

        Raises:
            InputError: If a target is no class, their number differs from the images', the method
                is unknown, or the architecture has no known target layer.
        """
        ids = None if targets is None else [_target(target) for target in targets]
        if not len(images):
            return self._no_explanation((0,), method)
        pixel_values = self.preprocess(images).to(self.model.device)
        with self._lock:
            found = explain(self.model, pixel_values, ids, method=method, layer=layer, fine=fine)
        return _as_explanation(found, method)

    def explain_classes(
        self,
        images: Sequence[Image.Image],
        classes: Sequence[Target] | None = None,
        method: str = GRADCAM,
        *,
        layer: str | None = None,
        fine: bool = False,
    ) -> Explanation:
        """Return a heatmap for each of several classes of each image, from one forward pass.

        Args:
            images: Images of any size and mode.
            classes: K class ids or codes, "predicted" or "runner-up"; None explains all seven.
            method: As for `explain`.
            layer: As for `explain`.
            fine: As for `explain`.

        Raises:
            InputError: As `explain`.
        """
        ids = [_target(target) for target in (self.codes if classes is None else classes)]
        if not len(images):
            return self._no_explanation((0, len(ids)), method)
        pixel_values = self.preprocess(images).to(self.model.device)
        with self._lock:
            found = explain_classes(
                self.model, pixel_values, ids, method=method, layer=layer, fine=fine
            )
        return _as_explanation(found, method)

    def explain_methods(
        self, images: Sequence[Image.Image], methods: Sequence[str]
    ) -> dict[str, Explanation]:
        """Return the predicted classes' heatmaps by several methods, from one forward pass.

        Args:
            images: At least one, of any size and mode.
            methods: As `method` of `explain`.

        Raises:
            InputError: As `explain`.
        """
        pixel_values = self.preprocess(images).to(self.model.device)
        with self._lock:
            found = explain_methods(self.model, pixel_values, methods)
        return {method: _as_explanation(own, method) for method, own in found.items()}

    def _no_explanation(self, shape: tuple[int, ...], method: str) -> Explanation:
        nothing = np.empty(shape, np.float32)
        maps = np.empty((*shape, *self.image_size), np.float32)
        return Explanation(
            maps, np.empty(shape, np.int64), self.predict([]), nothing, nothing, method
        )


def _as_explanation(found: Heatmaps, method: str) -> Explanation:
    probabilities = softmax(found.logits)
    return Explanation(found.maps, found.targets, probabilities, found.lows, found.highs, method)


def _target(target: Target) -> Target:
    return target if target in RANKS else class_id(target)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities of (N, C) logits, computed as torch (and so `pipeline()`) does."""
    return torch.from_numpy(logits).softmax(dim=-1).numpy()


def class_id(target: int | str) -> int:
    """Return the class id of a diagnosis given as id or code.

    Raises:
        InputError: If it is neither.
    """
    if isinstance(target, str) and target in LABEL2ID:
        return LABEL2ID[target]
    if not isinstance(target, str) and 0 <= int(target) < len(CODES):
        return int(target)
    raise InputError(
        f"Unknown class {target!r}: expected an id from 0 to {len(CODES) - 1} "
        f"or one of {', '.join(CODES)}."
    )


def read_record(folder: Path) -> dict[str, Any]:
    """Return the training record beside a model's weights.

    Returns:
        What `training.json` says; empty if there is none.

    Raises:
        InputError: If it is no JSON.
    """
    return read_json_if_there(folder / TRAINING, fix="Train the model again.")
