"""One classifier for scripts, Space and notebooks: images in, probabilities and heatmaps out."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import BaseImageProcessor, PreTrainedModel

from hf_lesion.errors import InputError
from hf_lesion.explain.heatmap import Heatmaps, explain
from hf_lesion.labels import CODES, LABEL2ID
from hf_lesion.models.build import load_snapshot
from hf_lesion.models.head import find_head, inputs_of
from hf_lesion.models.snapshot import open_snapshot
from hf_lesion.pixels import load_image

RECORD = "training.json"


@dataclass(frozen=True)
class Explanation:
    """Heatmaps and the probabilities of the same forward pass.

    Attributes:
        heatmaps: (N, H, W) float32 in [0, 1] over the whole frame of each image, each stretched to
            its own range; all zero where no place stands out for the class.
        targets: (N,) the class ids that were explained.
        probabilities: (N, C) float32.
    """

    heatmaps: NDArray[np.float32]
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float32]


class LesionClassifier:
    """A model, its preprocessing and a lock: safe to share between threads.

    Attributes:
        name: The folder's name or the Hub id.
        codes: The diagnoses in the order of every array of C values.
        record: What `training.json` beside the weights says; empty if there is none.
        revision: The commit on the Hub that was loaded; None for a folder.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: BaseImageProcessor,
        *,
        name: str,
        record: dict[str, Any] | None = None,
        revision: str | None = None,
    ):
        # Frozen weights: an explanation then leaves no gradients behind.
        self.model = model.eval().requires_grad_(False)
        self.processor = processor
        self.name = name
        self.codes = CODES
        self.record = record or {}
        self.revision = revision
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
        return cls(
            model,
            processor,
            name=snapshot.name,
            record=read_record(snapshot.folder),
            revision=snapshot.revision,
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
        parts = [np.empty((0, len(self.codes)), dtype=np.float32)]
        for start in range(0, len(images), batch_size):
            pixel_values = self.preprocess(images[start : start + batch_size])
            with self._lock, torch.inference_mode():
                logits = self.model(pixel_values=pixel_values.to(self.model.device)).logits
            parts.append(logits.float().cpu().numpy())
        return np.concatenate(parts)

    def predict(
        self, images: Sequence[Image.Image], *, batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Return (N, C) probabilities of images of any size and mode; rows sum to 1."""
        return softmax(self.logits(images, batch_size=batch_size))

    def features(
        self, images: Sequence[Image.Image], *, batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Return (N, D) penultimate features: what the last linear layer turns into logits.

        Raises:
            InputError: If the model has no linear layer at its end.
        """
        head = find_head(self.model, len(self.codes))
        parts = [np.empty((0, head.in_features), dtype=np.float32)]
        for start in range(0, len(images), batch_size):
            pixel_values = self.preprocess(images[start : start + batch_size])
            with self._lock, torch.inference_mode(), inputs_of(head) as seen:
                self.model(pixel_values=pixel_values.to(self.model.device))
            parts.append(seen[0].float().cpu().numpy())
        return np.concatenate(parts)

    def explain(
        self, images: Sequence[Image.Image], targets: Sequence[int | str] | None = None
    ) -> Explanation:
        """Return a Grad-CAM heatmap for one class of each image, with the probabilities.

        Args:
            images: Images of any size and mode.
            targets: One class id or code per image; None explains the predicted classes.

        Raises:
            InputError: If a target is no class, their number differs from the images', or the
                architecture has no known target layer.
        """
        ids = None if targets is None else [class_id(target) for target in targets]
        if not len(images):
            side = self.image_size
            return Explanation(
                np.empty((0, *side), np.float32), np.empty(0, np.int64), self.predict([])
            )
        pixel_values = self.preprocess(images).to(self.model.device)
        with self._lock:
            found: Heatmaps = explain(self.model, pixel_values, ids)
        return Explanation(found.maps, found.targets, softmax(found.logits))


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
    file = folder / RECORD
    if not file.is_file():
        return {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is not JSON: {error}. Train the model again.") from error
