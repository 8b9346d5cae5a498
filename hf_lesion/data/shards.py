"""Parquet shards: images, masks and metadata in the format that `datasets.load_dataset` reads.

`datasets` stores an image as a struct of bytes and file name. The shards are written with pyarrow
and the Arrow schema of the features; files are embedded unchanged unless they are resized.
"""

import hashlib
import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, Value

from hf_lesion.data.description import measure_spread
from hf_lesion.data.resizing import Resize, encode_image, encode_mask
from hf_lesion.data.sources import MASK_ENDING
from hf_lesion.errors import InputError
from hf_lesion.io.decoding import ImageFile, decode, load_image, upright_size
from hf_lesion.labels import CODES, LABEL2ID

TEXT_COLUMNS = ("lesion_id", "image_id", "dx_type", "sex", "localization", "dataset")
ROWS_PER_SHARD = 2000  # about 550 MB of 600×450 originals; the Hub recommends about 500 MB
ROWS_PER_GROUP = 100  # held by a streaming reader: about 28 MB of 600×450 originals


@dataclass(frozen=True)
class Item:
    """An image to write: its metadata and files."""

    metadata: Mapping[Hashable, Any]
    image_file: ImageFile
    mask_file: ImageFile | None


@dataclass(frozen=True)
class Outcome:
    """Result of reading an item: its row, or the reason why the image or mask cannot be read."""

    image_id: str
    row: dict[str, Any] | None = None  # None if the image cannot be decoded
    sha256: str | None = None  # of the bytes of the stored image
    row_sha256: str | None = None  # of all columns
    width: int | None = None  # of the stored image, upright, in pixels
    height: int | None = None
    was_cut: bool = False
    was_enlarged: bool = False
    has_mask: bool = False
    spread: float | None = None  # as from `measure_spread`
    image_problem: str | None = None
    mask_problem: str | None = None


def build_features() -> Features:
    """Return the features of the dataset.

    `image` is decoded to RGB, `mask` to grey levels (0 or 255; white = lesion), including palette
    PNGs. `mask` is null if missing, `age` is in years and null if unknown, `label` is an index into
    `CODES`.
    """
    columns: dict[str, Any] = {
        "image": Image(mode="RGB"),
        "mask": Image(mode="L"),
        "label": ClassLabel(names=list(CODES)),
        "lesion_id": Value("string"),
        "image_id": Value("string"),
        "dx_type": Value("string"),
        "age": Value("float32"),
        "sex": Value("string"),
        "localization": Value("string"),
        "dataset": Value("string"),
    }
    return Features(columns)


def write_split(
    folder: Path,
    split: str,
    items: list[Item],
    *,
    resize: Resize,
    advance: Callable[[int], object],
) -> Iterator[Outcome]:
    """Write `folder`/`split`-0000i-of-0000n.parquet and yield the outcome of each item.

    Items are read in parallel, `ROWS_PER_GROUP` at a time, so that memory does not grow with the
    dataset. Items whose image cannot be decoded are left out of the shards.

    `advance` is called with the number of items that have been processed since the last call.
    """
    schema = build_features().arrow_schema
    shards = max(1, math.ceil(len(items) / ROWS_PER_SHARD))
    read = partial(read_item, resize=resize)
    with ThreadPoolExecutor() as pool:
        for shard in range(shards):
            part = items[shard * len(items) // shards : (shard + 1) * len(items) // shards]
            name = f"{split}-{shard:05d}-of-{shards:05d}.parquet"
            # pyarrow rejects paths that are not UTF-8.
            with (folder / name).open("wb") as sink, pq.ParquetWriter(sink, schema) as writer:
                for start in range(0, len(part), ROWS_PER_GROUP):
                    batch = part[start : start + ROWS_PER_GROUP]
                    outcomes = list(pool.map(read, batch))
                    rows = [outcome.row for outcome in outcomes if outcome.row is not None]
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                    advance(len(batch))
                    yield from outcomes


def read_item(item: Item, *, resize: Resize) -> Outcome:
    """Read and decode the files of an item, and build its row."""
    image_id = item.metadata["image_id"]
    try:
        data = item.image_file.read_bytes()
        image = decode(data)
        size = upright_size(image)
        box, stored_size = resize.compute_box(*size)
        name = item.image_file.name
        if not resize.keeps_files:
            data, name = encode_image(load_image(image), resize), f"{image_id}.jpg"
    except InputError as error:
        return Outcome(image_id, image_problem=f"{item.image_file.name}: {error}")
    mask, spread, mask_problem = _read_mask(item, size, resize)
    row = {
        "image": {"bytes": data, "path": name},
        "mask": None if mask is None else {"bytes": mask, "path": f"{image_id}{MASK_ENDING}.png"},
        "label": LABEL2ID[item.metadata["dx"]],
        "age": None if math.isnan(item.metadata["age"]) else item.metadata["age"],
        **{column: item.metadata[column] for column in TEXT_COLUMNS},
    }
    sha256 = hashlib.sha256(data).hexdigest()
    hashed = {**row, "image": sha256, "mask": mask and mask.hex()}
    return Outcome(
        image_id,
        row,
        sha256,
        row_sha256=hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest(),
        width=stored_size[0],
        height=stored_size[1],
        was_cut=box != (0, 0, *size),
        was_enlarged=stored_size[0] > box[2] - box[0],
        has_mask=mask is not None,
        spread=spread,
        mask_problem=mask_problem,
    )


def _read_mask(
    item: Item, size: tuple[int, int], resize: Resize
) -> tuple[bytes | None, float | None, str | None]:
    """Return the stored bytes of a mask and the spread of its lesion, or why it cannot be read."""
    if item.mask_file is None:
        return None, None, None
    try:
        data = item.mask_file.read_bytes()
        mask = decode(data)
        if not resize.keeps_files:
            data = encode_mask(load_image(mask).convert("L"), resize, size)
            mask = PIL.Image.open(BytesIO(data))
            size = mask.size
    except InputError as error:
        return None, None, f"{item.mask_file.name}: {error}"
    return data, measure_spread(mask.convert("L"), size), None
