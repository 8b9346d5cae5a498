"""Writing images, masks and metadata into Parquet shards that `datasets.load_dataset` reads.

Files are embedded byte for byte, never re-encoded: `datasets` stores an image as a struct of bytes
and name, so the shards are written with pyarrow and the features' own schema.
"""

import hashlib
import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, Value

from hf_lesion.data.images import MASK_ENDING, PictureFile, decode_picture
from hf_lesion.data.sharper import SHARP, check_sharp, crop_mask
from hf_lesion.errors import InputError
from hf_lesion.labels import CODES, LABEL2ID

TEXT_COLUMNS = ("lesion_id", "image_id", "dx_type", "sex", "localization", "dataset")
ROWS_PER_SHARD = 2000  # about 550 MB of 600×450 originals; the Hub likes shards up to 500 MB
ROWS_PER_GROUP = 100  # what a streaming reader holds: about 28 MB of 600×450 originals


@dataclass(frozen=True)
class Item:
    """One image to be written: its metadata and files; `copy` is "sharp", "soft" or None."""

    metadata: Mapping[Hashable, Any]
    image_file: PictureFile
    mask_file: PictureFile | None
    copy: str | None


@dataclass(frozen=True)
class Outcome:
    """What became of an item: its row if its image decodes, and why image or mask do not.

    `sha256` is that of the image's bytes, `row_sha256` covers every column.
    """

    image_id: str
    row: dict[str, Any] | None = None
    sha256: str | None = None
    row_sha256: str | None = None
    has_mask: bool = False
    image_problem: str | None = None
    mask_problem: str | None = None

    def without_row(self) -> "Outcome":
        """Return this outcome without the bytes of its files, to be kept for the whole dataset."""
        return replace(self, row=None)


def build_features(*, with_copy: bool) -> Features:
    """Return the columns of the dataset.

    `image` is decoded to RGB and `mask` to grey levels (0 or 255; white = lesion), whatever the
    stored bytes are: palette masks come out right. `mask` is null where there is none, `age` is in
    years and null where unknown, `label` is in the order of `CODES`.

    Args:
        with_copy: Add the column `copy`: "sharp" or "soft".
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
    if with_copy:
        columns["copy"] = Value("string")
    return Features(columns)


def count_shards(rows: int) -> int:
    """Return into how many shards `rows` rows are written: at least one."""
    return max(1, -(-rows // ROWS_PER_SHARD))


def write_split(
    folder: Path,
    split: str,
    items: list[Item],
    features: Features,
    *,
    advance: Callable[[int], object],
) -> Iterator[Outcome]:
    """Write `folder`/`split`-0000i-of-0000n.parquet and yield what became of each item.

    Items are read on all cores, `ROWS_PER_GROUP` at a time, so that memory does not grow with the
    dataset. Items whose image does not decode are left out of the shards.

    Args:
        folder: An existing folder.
        split: Name of the split.
        items: What to write, in this order.
        features: The columns, as by `build_features`.
        advance: Called with a number of items that are done.
    """
    shards = count_shards(len(items))
    with ThreadPoolExecutor() as pool:
        for shard in range(shards):
            part = items[shard * len(items) // shards : (shard + 1) * len(items) // shards]
            name = f"{split}-{shard:05d}-of-{shards:05d}.parquet"
            # Opened here: Arrow takes no path that is not UTF-8.
            with (
                (folder / name).open("wb") as stream,
                pq.ParquetWriter(stream, features.arrow_schema) as writer,
            ):
                for start in range(0, len(part), ROWS_PER_GROUP):
                    batch = part[start : start + ROWS_PER_GROUP]
                    outcomes = list(pool.map(read_item, batch))
                    rows = [outcome.row for outcome in outcomes if outcome.row is not None]
                    writer.write_table(pa.Table.from_pylist(rows, schema=features.arrow_schema))
                    advance(len(batch))
                    yield from outcomes


def read_item(item: Item) -> Outcome:
    """Read an item's files, prove that they decode, and lay them out as a row."""
    image_id = item.metadata["image_id"]
    try:
        data = item.image_file.read_bytes()
        image = decode_picture(data)
        if item.copy == SHARP:
            check_sharp(image)
    except InputError as error:
        return Outcome(image_id, image_problem=f"{item.image_file.name}: {error}")
    mask, mask_problem = _read_mask(item, image.size)
    row = {
        "image": {"bytes": data, "path": item.image_file.name},
        "mask": None if mask is None else {"bytes": mask, "path": f"{image_id}{MASK_ENDING}.png"},
        "label": LABEL2ID[item.metadata["dx"]],
        "age": None if math.isnan(item.metadata["age"]) else item.metadata["age"],
        **{column: item.metadata[column] for column in TEXT_COLUMNS},
        **({} if item.copy is None else {"copy": item.copy}),
    }
    sha256 = hashlib.sha256(data).hexdigest()
    return Outcome(
        image_id,
        row,
        sha256,
        row_sha256=_hash_row({**row, "image": sha256, "mask": mask and mask.hex()}),
        has_mask=mask is not None,
        mask_problem=mask_problem,
    )


def _hash_row(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def _read_mask(item: Item, size: tuple[int, int]) -> tuple[bytes | None, str | None]:
    """Return the mask's bytes, cut if the image is; or None and what is wrong with its file."""
    if item.mask_file is None:
        return None, None
    try:
        data = item.mask_file.read_bytes()
        if item.copy == SHARP:
            return crop_mask(data, size), None
        decode_picture(data)
    except InputError as error:
        return None, f"{item.mask_file.name}: {error}"
    return data, None
