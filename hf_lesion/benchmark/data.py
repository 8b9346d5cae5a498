"""From Parquet to a batch: our transforms against the straightforward PIL pipeline.

The pipeline to compare with is that of transformers' examples/pytorch/image-classification: PIL
images under `set_transform`, RandomResizedCrop, flip, ToTensor, Normalize.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from PIL import Image
from torchvision import transforms

from hf_lesion.benchmark.timing import Candidate
from hf_lesion.labels import CODES
from hf_lesion.models.preprocessing import Preprocessing, build_stock_processor
from hf_lesion.models.transforms import build_train_transform, least_side
from hf_lesion.synthetic.lesions import draw_lesion
from hf_lesion.training.samples import EvalTransform, LesionSamples, collate

BATCH = 32
QUALITY = 90
SIDE = 128
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as timm states them for ResNets
TRAIN = ("standard", "strong")


def write_images(
    folder: Path, size: tuple[int, int], *, count: int, source: Path | None = None
) -> datasets.Dataset:
    """Write JPEGs of one size into a Parquet file and load it.

    Args:
        folder: Where the file goes.
        size: Width and height in pixels.
        count: How many images.
        source: A prepared dataset whose train images are resized; None draws lesions.
    """
    pictures = _read_pictures(source, count) if source else _draw_pictures(count, size)
    rows = {
        "image": [{"bytes": _encode(picture.resize(size)), "path": None} for picture in pictures],
        "label": [index % len(CODES) for index in range(len(pictures))],
    }
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=list(CODES))
    )
    file = folder / f"{size[0]}x{size[1]}.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(file)
    return datasets.load_dataset(
        "parquet", data_files=str(file), split="train", cache_dir=str(folder / "cache")
    )


def train_candidates(rows: datasets.Dataset) -> list[Candidate]:
    """Return the PIL pipeline and our augmentations, from rows to training batches."""
    preprocessing = Preprocessing(SIDE, MEAN, STD)
    pil = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIDE),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    ours = [
        Candidate(
            f"ours, {name}",
            _reader(
                LesionSamples(
                    rows,
                    build_train_transform(preprocessing, name),
                    least_side=least_side(preprocessing, name),
                )
            ),
        )
        for name in TRAIN
    ]
    return [Candidate("PIL: crop, flip", _reader(_with_transform(rows, pil))), *ours]


def eval_candidates(rows: datasets.Dataset) -> list[Candidate]:
    """Return the PIL pipeline and our preprocessing, from rows to evaluation batches."""
    pil = transforms.Compose(
        [
            transforms.Resize(SIDE),
            transforms.CenterCrop(SIDE),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    processor = build_stock_processor(Preprocessing(SIDE, MEAN, STD))
    return [
        Candidate("PIL: resize, centre crop", _reader(_with_transform(rows, pil))),
        Candidate("ours", _reader(LesionSamples(rows, EvalTransform(processor)))),
    ]


def _with_transform(
    rows: datasets.Dataset, transform: Callable[[Image.Image], torch.Tensor]
) -> datasets.Dataset:
    def apply(batch: dict[str, Any]) -> dict[str, Any]:
        pixels = [transform(image.convert("RGB")) for image in batch["image"]]
        return {"pixel_values": pixels, "labels": batch["label"]}

    return rows.with_transform(apply)


def _reader(samples: Any) -> Callable[[], int]:
    """Return a function that reads all samples in batches, in this process."""
    loader = torch.utils.data.DataLoader(samples, batch_size=BATCH, collate_fn=collate)

    def read() -> int:
        return sum(len(batch["labels"]) for batch in loader)

    return read


def _draw_pictures(count: int, size: tuple[int, int]) -> list[Image.Image]:
    # A few, repeated: what is measured does not look at them, and drawing takes longer.
    drawn = [draw_lesion(code, seed=seed, size=size)[0] for seed, code in enumerate(CODES)]
    return [drawn[index % len(drawn)] for index in range(count)]


def _read_pictures(source: Path, count: int) -> Sequence[Image.Image]:
    rows = datasets.load_dataset(str(source), split="train")
    return [row["image"].convert("RGB") for row in rows.select(range(min(count, len(rows))))]


def _encode(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=QUALITY)
    return stream.getvalue()
