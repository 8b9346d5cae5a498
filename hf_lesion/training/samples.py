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

from hf_lesion.models.transforms import Transform
from hf_lesion.pixels import load_image
from hf_lesion.training.mixup import draw_share, mix

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
        mixup: Alpha of mixup; 0 leaves every image by itself.
        least_side: The shorter side in pixels down to which a large JPEG may be decoded smaller,
            which is faster; None decodes all of it.
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
        least_side: int | None = None,
    ):
        self.rows = rows.select_columns(["image", "label"]).cast_column(
            "image", Image(decode=False)
        )
        self.transform = transform
        self.seed = seed
        self.weights = weights
        self.taught = taught
        self.mixup = mixup
        self.least_side = least_side
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose draws the next samples are."""
        self.epoch = epoch
        self.drawn = None
        if self.weights is not None:
            generator = torch.Generator().manual_seed(sample_seed(self.seed, epoch, -1))
            self.drawn = torch.multinomial(
                self.weights.double(), len(self.rows), replacement=True, generator=generator
            )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index if self.drawn is None else int(self.drawn[index])]
        draft = None if self.least_side is None else (self.least_side, self.least_side)
        image = load_image(row["image"]["bytes"], draft=draft)
        with seeded(sample_seed(self.seed, self.epoch, index)):
            pixel_values = self.transform(image)
            share = draw_share(self.mixup) if self.mixup else None
        return {
            "pixel_values": pixel_values,
            "labels": row["label"],
            "taught": self.taught,
            "share": share,
        }


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

    With mixup, labels are (B, C) soft labels.
    """
    batch = {
        "pixel_values": torch.stack([sample["pixel_values"] for sample in samples]),
        "labels": torch.tensor([sample["labels"] for sample in samples]),
    }
    shares = [sample.get("share") for sample in samples]
    return batch if None in shares else mix(batch, torch.tensor(shares))
