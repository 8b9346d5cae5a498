"""Training samples: a torch dataset whose samples depend only on (seed, epoch, index).

A resumed run therefore repeats the augmentation exactly, with any number of workers.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from datasets import Dataset, Image
from PIL import Image as PILImage
from transformers import BaseImageProcessor

from hf_lesion.errors import InputError
from hf_lesion.io.decoding import load_image
from hf_lesion.training.augmentation import Transform
from hf_lesion.training.mixup import mix, sample_mix

SEED_BYTES = 7  # torch.manual_seed takes 64 bits, signed


class LesionSamples(torch.utils.data.Dataset):
    """Rows of a dataset split as `{"pixel_values": (3, S, S), "labels": int}`.

    Args:
        rows: A split with the columns `image` and `label`.
        transform: Function from a PIL image to a tensor; may use torch's global generator.
        seed: Seed of the run.
        weights: (N,) sampling weights of the rows, sampled with replacement; None visits each row
            once per epoch.
        taught: Whether a `TeacherCollator` softens the labels (training, not evaluation).
        mixup: Alpha of mixup; 0 disables it.
        cutmix: Alpha of CutMix; 0 disables it. With both, each sample uses either at random.
        least_side: Shorter side in pixels to which a JPEG may be decoded at reduced size, which is
            faster; None decodes the full size.
        batch_size: Images per step of all processes; None for evaluation, with each image once.
        drop_last: Drop the incomplete last batch, whose images differ between epochs.
    """

    def __init__(
        self,
        rows: Dataset,
        transform: Transform,
        *,
        seed: int = 0,
        weights: torch.Tensor | None = None,
        taught: bool = False,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        least_side: int | None = None,
        batch_size: int | None = None,
        drop_last: bool = False,
    ):
        self.rows = rows.select_columns(["image", "label"]).cast_column(
            "image", Image(decode=False)
        )
        self.transform = transform
        self.seed = seed
        self.weights = weights
        self.taught = taught
        self.mixup, self.cutmix = mixup, cutmix
        self.least_side = least_side
        self.length = epoch_length(len(rows), batch_size, drop_last=drop_last)
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next samples."""
        self.epoch = epoch
        self.drawn = None
        generator = torch.Generator().manual_seed(sample_seed(self.seed, epoch, -1))
        if self.weights is not None:
            self.drawn = torch.multinomial(
                self.weights.double(), self.length, replacement=True, generator=generator
            )
        elif self.length != len(self.rows):
            order = torch.randperm(len(self.rows), generator=generator)
            self.drawn = torch.cat([order, order])[: self.length]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index if self.drawn is None else int(self.drawn[index])]
        draft = None if self.least_side is None else (self.least_side, self.least_side)
        image = load_image(row["image"]["bytes"], draft=draft)
        with seeded(sample_seed(self.seed, self.epoch, index)):
            pixel_values = self.transform(image)
            mixed = sample_mix(self.mixup, self.cutmix, pixel_values.shape[-1])
        return {
            "pixel_values": pixel_values,
            "labels": row["label"],
            "taught": self.taught,
            "mix": mixed,
        }


def epoch_length(images: int, batch_size: int | None, *, drop_last: bool) -> int:
    """Return the number of samples of an epoch, usually one per image.

    If the last batch would have a single image, one sample is added, a second view of some image:
    batch norm fails on a single feature map of 1x1. `batch_size` is of all processes.
    """
    if batch_size is None:
        return images
    left_over = images % batch_size
    if drop_last:
        if images < batch_size:
            raise InputError(
                f"--dataloader_drop_last leaves no batch: expected at least {batch_size} images, "
                f"got {images}. Pass a smaller --per_device_train_batch_size."
            )
        return images - left_over
    return images + (left_over == 1 < batch_size)


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Return an independent seed for each (seed, epoch, index)."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{index}".encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES], "big")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator inside the block, and restore its state afterwards.

    `torch.random.fork_rng` with `torch.manual_seed` also queries accelerators, which takes 0.2 ms
    per sample.
    """
    generator = torch.random.default_generator
    before = generator.get_state()
    try:
        generator.manual_seed(seed)
        yield
    finally:
        generator.set_state(before)


class EvalTransform:
    """The preprocessing that is saved with the weights, for one image.

    A class rather than a closure, so that spawned workers can unpickle it.
    """

    def __init__(self, processor: BaseImageProcessor):
        self.processor = processor

    def __call__(self, image: PILImage.Image) -> torch.Tensor:
        """Return (3, S, S) pixel values of an RGB image."""
        return self.processor(images=image, return_tensors="pt")["pixel_values"][0]


Collator = Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]


def collate(samples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Stack samples to `{"pixel_values": (B, 3, S, S), "labels": (B,)}`.

    With mixup or CutMix, labels are (B, C) soft labels.
    """
    batch = {
        "pixel_values": torch.stack([sample["pixel_values"] for sample in samples]),
        "labels": torch.tensor([sample["labels"] for sample in samples]),
    }
    if samples[0].get("mix") is None:
        return batch
    return mix(batch, [sample["mix"] for sample in samples])
