"""How others train: the recipe of transformers' example, and timm's loader and defaults.

The example is transformers' examples/pytorch/image-classification: a Trainer with its defaults on
PIL images under `set_transform`. timm is its own loader and optimiser with their defaults, in a
loop that does no more than its train.py.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import datasets
import timm
import torch
from PIL import Image
from timm.data import create_loader
from timm.optim import create_optimizer_v2
from torch.nn.functional import cross_entropy
from torchvision import transforms
from transformers import Trainer, TrainingArguments

from hf_lesion.benchmark.steps import Setting, time_steps, time_trainer
from hf_lesion.labels import CODES
from hf_lesion.models.preprocessing import Preprocessing, preprocessing_of
from hf_lesion.training.samples import collate


def example_run(rows: datasets.Dataset, setting: Setting) -> Callable[[], float]:
    """Return a function that trains as transformers' example does, and says how long it took."""
    _, processor = setting.build()
    preprocessing = preprocessing_of(processor)
    pil = transforms.Compose(
        [
            transforms.RandomResizedCrop(setting.image_size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )

    def apply(batch: dict[str, Any]) -> dict[str, Any]:
        return {
            "pixel_values": [pil(image.convert("RGB")) for image in batch["image"]],
            "labels": batch["label"],
        }

    images = rows.with_transform(apply)

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                remove_unused_columns=False,
                use_cpu=not torch.accelerator.is_available(),
                dataloader_pin_memory=torch.cuda.is_available(),
                **setting.for_trainer(),
            )
            model, _ = setting.build()
            return time_trainer(
                Trainer(model=model, args=arguments, train_dataset=images, data_collator=collate)
            )

    return run


def timm_run(rows: datasets.Dataset, setting: Setting) -> Callable[[], float]:
    """Return a function that trains as timm does, and says how long it took."""
    preprocessing = preprocessing_of(setting.build()[1])

    def run() -> float:
        model = timm.create_model(setting.model, num_classes=len(CODES)).train()
        optimizer = create_optimizer_v2(model, opt="sgd", lr=0.01, momentum=0.9)
        loader = _timm_loader(rows, setting, preprocessing)

        def step(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
            images, labels = batch
            cross_entropy(model(images), labels).backward()
            optimizer.step()
            optimizer.zero_grad()

        return time_steps(step, _repeat(loader), setting)

    return run


class _Pairs(torch.utils.data.Dataset):
    """Rows as timm wants them; it sets `transform`."""

    def __init__(self, rows: datasets.Dataset):
        self.rows = rows
        self.transform: Callable[[Image.Image], torch.Tensor] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        row = self.rows[index]
        image = row["image"].convert("RGB")
        return (image if self.transform is None else self.transform(image)), row["label"]


def _timm_loader(
    rows: datasets.Dataset, setting: Setting, preprocessing: Preprocessing
) -> Iterable[Any]:
    return create_loader(
        _Pairs(rows),
        input_size=(3, setting.image_size, setting.image_size),
        batch_size=setting.batch_size,
        is_training=True,
        mean=preprocessing.mean,
        std=preprocessing.std,
        use_prefetcher=False,
        device=torch.device("cpu"),
    )


def _repeat(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader
