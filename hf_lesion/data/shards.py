"""Writing images, masks and metadata into Parquet shards that `datasets.load_dataset` reads.

`datasets` stores an image as a struct of bytes and name, so the shards are written with pyarrow and
the features' own schema: files are embedded byte for byte unless they are to be resized or cut.
"""

import hashlib
import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, Value

from hf_lesion.data.description import measure_spread
from hf_lesion.data.framing import Framing, encode_image, encode_mask
from hf_lesion.data.images import MASK_ENDING, PictureFile, decode_picture
from hf_lesion.errors import InputError
from hf_lesion.io.decoding import load_image, upright_size
from hf_lesion.labels import CODES, LABEL2ID

TEXT_COLUMNS = ("lesion_id", "image_id", "dx_type", "sex", "localization", "dataset")
ROWS_PER_SHARD = 2000  # about 550 MB of 600×450 originals; the Hub likes shards up to 500 MB
ROWS_PER_GROUP = 100  # what a streaming reader holds: about 28 MB of 600×450 originals


@dataclass(frozen=True)
class Item:
    """One image to be written: its metadata and files."""

    metadata: Mapping[Hashable, Any]
    image_file: PictureFile
    mask_file: PictureFile | None


@dataclass(frozen=True)
class Outcome:
    """What became of an item: its row if its image decodes, and why image or mask do not.

    Attributes:
        image_id: Of the image.
        row: Its columns; None if it does not decode.
        sha256: Of the stored image's bytes.
        row_sha256: Over every column.
        width: Of the stored image when upright, in pixels.
        height: Likewise.
        was_cut: Whether a part of the source's image was left out.
        was_enlarged: Whether it has more pixels across than what was kept of the source's image.
        has_mask: Whether a mask is stored.
        spread: Of the lesion, as from `measure_spread`.
        image_problem: Why the image is not stored.
        mask_problem: Why the mask is not stored.
    """

    image_id: str
    row: dict[str, Any] | None = None
    sha256: str | None = None
    row_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    was_cut: bool = False
    was_enlarged: bool = False
    has_mask: bool = False
    spread: float | None = None
    image_problem: str | None = None
    mask_problem: str | None = None

    def without_row(self) -> "Outcome":
        """Return this outcome without the bytes of its files, to be kept for the whole dataset."""
        return replace(self, row=None)


def build_features() -> Features:
    """Return the columns of the dataset.

    `image` is decoded to RGB and `mask` to grey levels (0 or 255; white = lesion), whatever the
    stored bytes are: palette masks come out right. `mask` is null where there is none, `age` is in
    years and null where unknown, `label` is in the order of `CODES`.
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


def count_shards(rows: int) -> int:
    """Return into how many shards `rows` rows are written: at least one."""
    return max(1, -(-rows // ROWS_PER_SHARD))


def write_split(
    folder: Path,
    split: str,
    items: list[Item],
    *,
    framing: Framing,
    advance: Callable[[int], object],
) -> Iterator[Outcome]:
    """Write `folder`/`split`-0000i-of-0000n.parquet and yield what became of each item.

    Items are read on all cores, `ROWS_PER_GROUP` at a time, so that memory does not grow with the
    dataset. Items whose image does not decode are left out of the shards.

    Args:
        folder: An existing folder.
        split: Name of the split.
        items: What to write, in this order.
        framing: How images are stored.
        advance: Called with a number of items that are done.
    """
    schema, shards = build_features().arrow_schema, count_shards(len(items))
    read = partial(read_item, framing=framing)
    with ThreadPoolExecutor() as pool:
        for shard in range(shards):
            part = items[shard * len(items) // shards : (shard + 1) * len(items) // shards]
            name = f"{split}-{shard:05d}-of-{shards:05d}.parquet"
            # Opened here: Arrow takes no path that is not UTF-8.
            with (folder / name).open("wb") as sink, pq.ParquetWriter(sink, schema) as writer:
                for start in range(0, len(part), ROWS_PER_GROUP):
                    batch = part[start : start + ROWS_PER_GROUP]
                    outcomes = list(pool.map(read, batch))
                    rows = [outcome.row for outcome in outcomes if outcome.row is not None]
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                    advance(len(batch))
                    yield from outcomes


def read_item(item: Item, *, framing: Framing) -> Outcome:
    """Read an item's files, prove that they decode, and lay them out as a row."""
    image_id = item.metadata["image_id"]
    try:
        data, image = _read(item.image_file)
        size = upright_size(image)
        box, stored_size = framing.place(*size)
        name = item.image_file.name
        if not framing.keeps_files:
            data, name = encode_image(load_image(image), framing), f"{image_id}.jpg"
    except InputError as error:
        return Outcome(image_id, image_problem=f"{item.image_file.name}: {error}")
    mask, spread, mask_problem = _read_mask(item, size, framing)
    row = {
        "image": {"bytes": data, "path": name},
        "mask": None if mask is None else {"bytes": mask, "path": f"{image_id}{MASK_ENDING}.png"},
        "label": LABEL2ID[item.metadata["dx"]],
        "age": None if math.isnan(item.metadata["age"]) else item.metadata["age"],
        **{column: item.metadata[column] for column in TEXT_COLUMNS},
    }
    sha256 = hashlib.sha256(data).hexdigest()
    return Outcome(
        image_id,
        row,
        sha256,
        row_sha256=_hash_row({**row, "image": sha256, "mask": mask and mask.hex()}),
        width=stored_size[0],
        height=stored_size[1],
        was_cut=box != (0, 0, *size),
        was_enlarged=stored_size[0] > box[2] - box[0],
        has_mask=mask is not None,
        spread=spread,
        mask_problem=mask_problem,
    )


def _hash_row(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def _read(file: PictureFile) -> tuple[bytes, PIL.Image.Image]:
    data = file.read_bytes()
    return data, decode_picture(data)


def _read_mask(
    item: Item, size: tuple[int, int], framing: Framing
) -> tuple[bytes | None, float | None, str | None]:
    """Return the bytes to be stored of a mask and its lesion's spread, or what is wrong with it."""
    if item.mask_file is None:
        return None, None, None
    try:
        data, mask = _read(item.mask_file)
        if not framing.keeps_files:
            data = encode_mask(load_image(mask).convert("L"), framing, size)
            mask = PIL.Image.open(BytesIO(data))
            size = mask.size
    except InputError as error:
        return None, None, f"{item.mask_file.name}: {error}"
    return data, measure_spread(mask.convert("L"), size), None
