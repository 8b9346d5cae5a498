"""The training set as torch sees it: every sample a pure function of (seed, epoch, index).

Augmentation drawn from a global generator can't be replayed after a kill, nor be the same with
other numbers of workers; drawn from (seed, epoch, index) it is.
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
from hf_lesion.training.mixup import draw_mix, mix

SEED_BYTES = 7  # torch.manual_seed takes 64 bits, signed


class LesionSamples(torch.utils.data.Dataset):
    """Rows of a dataset split as `{"pixel_values": (3, S, S), "labels": int}`.

    Args:
        rows: A split with the columns `image` and `label`.
        transform: From a PIL image to a tensor; may draw from torch's global generator.
        seed: The run's seed.
        weights: (N,) chance of each row to be drawn; None visits each row once an epoch. Drawn with
            replacement, so a rare class is seen more often without a row ever being copied.
        taught: Whether a `TeacherCollator` softens the labels: in training, not in evaluation.
        mixup: Alpha of mixup; 0 for none.
        cutmix: Alpha of CutMix; 0 for none. With both, each sample draws one of the two.
        least_side: The shorter side in pixels down to which a large JPEG may be decoded smaller,
            which is faster; None decodes all of it.
        batch_size: Images that all processes take at once; None for an evaluation, which has each
            image once.
        drop_last: Leave out, in every epoch others, the images that do not fill a batch.
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
        """Choose the epoch whose draws the next samples are."""
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
            mixed = draw_mix(self.mixup, self.cutmix, pixel_values.shape[-1])
        return {
            "pixel_values": pixel_values,
            "labels": row["label"],
            "taught": self.taught,
            "mix": mixed,
        }


def epoch_length(images: int, batch_size: int | None, *, drop_last: bool) -> int:
    """Return how many samples an epoch has: usually one for each image.

    Where one image would be left over for the last batch, there is one sample more, a second view
    of some image: batch norm has no statistics of a single image, and fails on a map of 1x1.

    Args:
        images: N.
        batch_size: Images that all processes take at once; None for N samples.
        drop_last: Only as many samples as fill whole batches.

    Raises:
        InputError: If there is not one whole batch and others are to be dropped.
    """
    if batch_size is None:
        return images
    left_over = images % batch_size
    if drop_last:
        if images < batch_size:
            raise InputError(
                f"--dataloader_drop_last leaves nothing to train on: {images} images are fewer "
                f"than the {batch_size} of a batch. Pass a smaller --per_device_train_batch_size."
            )
        return images - left_over
    return images + (left_over == 1 < batch_size)


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Return an independent seed for each (seed, epoch, index)."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{index}".encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES], "big")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's CPU generator as seeded here, and leave it as it was before.

    `torch.random.fork_rng` with `torch.manual_seed` does the same and asks every kind of
    accelerator too: 0.2 ms, for each sample.
    """
    generator = torch.random.default_generator
    before = generator.get_state()
    try:
        generator.manual_seed(seed)
        yield
    finally:
        generator.set_state(before)


class EvalTransform:
    """The very preprocessing that is saved with the weights, one image at a time.

    A class, since workers that are not forked get it pickled.
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
