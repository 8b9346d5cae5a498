"""Reader of prepared datasets: whole splits with random access, or single rows as a stream.

All code opens prepared datasets here. The Parquet files are opened by name because
`datasets.load_dataset` treats paths as glob patterns and would misread a folder with `[1]` in its
name.
"""

import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from hf_lesion.data.record import PREPARE_HINT, RECORD_FILE, fingerprint, read_record
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.decoding import decode, load_image
from hf_lesion.io.files import whole_folder
from hf_lesion.labels import CODES, ID2LABEL

SHARD = re.compile(r"(?P<split>\w+)-\d{5}-of-\d{5}\.parquet")
REQUIRED_COLUMNS = ("image", "label", "image_id")
ROWS_PER_BATCH = 32  # 600×450 originals and their masks: about 9 MB
CACHE = "hf_lesion"  # subfolder of the cache of `datasets`
FOOTER_TAIL = 8  # bytes: length of the footer of a Parquet file, and magic number

Shards = Mapping[str, Sequence[Path]]
Result = TypeVar("Result")


def open_splits(folder: Path) -> DatasetDict:
    """Open all splits of a prepared dataset, memory-mapped, with random access.

    On first use the rows are written as Arrow files to the cache of `datasets` (HF_HOME), under a
    name derived from the content, and compared with the fingerprint of the record. Several
    processes may open the same dataset at once.

    Raises:
        InputError: If `folder` is not a prepared dataset, is damaged, or does not match its record.
    """
    check_rows(folder)
    record, shards = read_record(folder), list_shards(folder)
    cache = Path(datasets.config.HF_DATASETS_CACHE) / CACHE / _content_key(record, shards)
    if not _is_whole(cache, shards):
        _unpack(folder, record, shards, cache)
    try:
        splits = {
            split: Dataset.from_file(
                str(_arrow_file(cache, split)), split=datasets.NamedSplit(split)
            )
            for split in shards
        }
    except (pa.ArrowException, OSError) as error:
        raise _damaged(cache, str(error)) from error
    if {split: len(rows) for split, rows in splits.items()} != record["images"]:
        raise _damaged(cache, "its numbers of rows differ from the record")
    return DatasetDict(splits)


def open_split(folder: Path, split: str) -> Dataset:
    """Open one split of a prepared dataset as `open_splits` does; it must exist."""
    splits = open_splits(folder)
    if split not in splits:
        raise InputError(
            f"{folder} has no split {split!r}. Pass one of its splits as --split: "
            f"{', '.join(splits)}."
        )
    return splits[split]


def list_shards(folder: Path) -> dict[str, list[Path]]:
    """Return the Parquet files of each split of a prepared dataset, in the order of its record."""
    shards: dict[str, list[Path]] = {split: [] for split in read_record(folder)["images"]}
    for path in sorted((folder / "data").glob("*.parquet")):
        if found := SHARD.fullmatch(path.name):
            shards.setdefault(found["split"], []).append(path)
    return shards


def check_rows(folder: Path) -> None:
    """Raise InputError unless the numbers of rows match the record of a prepared dataset."""
    expected, shards = read_record(folder)["images"], list_shards(folder)
    counts = {split: sum(map(_count_rows, paths)) for split, paths in shards.items()}
    wrong = [
        f"{count:,} rows of {split} instead of {expected.get(split, 0):,}"
        for split, count in counts.items()
        if count != expected.get(split) or not count
    ]
    if wrong:
        raise _other_content(folder, f"it has {list_offenders(wrong)}")


def read_rows(
    folder: Path, columns: Sequence[str], doing: str = "Reading"
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the split and content of every row; images and masks are encoded bytes.

    Rows are streamed from the Parquet files, with constant memory and no disk cache, and are not
    compared with the record; see `check_rows`. A missing column or damaged file is an InputError.
    `doing` is the title of the progress bar.
    """
    total = sum(read_record(folder)["images"].values())
    with tqdm(desc=doing, total=total, unit="image", disable=None, leave=False) as bar:
        for split, paths in list_shards(folder).items():
            for batch in (part for path in paths for part in _read_batches(path, columns)):
                yield from ((split, row) for row in batch.to_pylist())
                bar.update(len(batch))


def map_images(
    folder: Path, wanted: Collection[int], function: Callable[[Image.Image], Result], doing: str
) -> dict[int, Result]:
    """Return the results of a function of some images by row number, in one pass over the data.

    Row numbers are in the order of `read_rows`; `doing` is the title of the progress bar.
    """
    if not wanted:
        return {}
    rows = enumerate(read_rows(folder, ["image", "image_id"], doing))
    return {number: function(open_image(row)) for number, (_, row) in rows if number in wanted}


def read_thumbnails(
    folder: Path, wanted: Collection[int], *, size: tuple[int, int]
) -> dict[int, Image.Image]:
    """Return some images as RGB, resized to `size` (width, height), by row number."""
    return map_images(folder, wanted, lambda image: image.resize(size), "Collecting images")


def open_image(
    row: Mapping[str, Any], *, column: str = "image", draft: tuple[int, int] | None = None
) -> Image.Image:
    """Decode the image of a row with `load_image`, or its mask in its stored mode.

    `column` is "image" or "mask", `draft` as for `load_image`; an error names the image.
    """
    read = load_image if column == "image" else decode
    try:
        return read(row[column]["bytes"], draft=draft)
    except InputError as error:
        raise InputError(f"{row['image_id']}: {error} Prepare the dataset again.") from error


def _unpack(folder: Path, record: Mapping[str, Any], shards: Shards, cache: Path) -> None:
    """Write the rows of all splits as Arrow files and check them against the record."""
    _check_schema(folder, shards)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{cache}.lock"):
            if _is_whole(cache, shards):  # written by another process meanwhile
                return
            with whole_folder(cache, overwrite=True) as partial:
                hashed = pd.DataFrame(
                    _copy_rows(record, shards, partial),
                    columns=["image_id", "label", "sha256", "split"],
                )
                if fingerprint(hashed) != record["fingerprint"]:
                    raise _other_content(folder, "the fingerprint of its images differs")
    except OSError as error:
        raise InputError(
            f"{folder} could not be unpacked into {cache.parent}: {error.strerror or error}. If "
            "the disk is full, set HF_HOME to a folder on another disk."
        ) from error


def _copy_rows(
    record: Mapping[str, Any], shards: Shards, target: Path
) -> Iterator[tuple[str, str, str, str]]:
    """Write one Arrow file per split; yield image_id, dx, SHA-256 and split of each row."""
    total = sum(record["images"].values())
    with tqdm(total=total, desc="Unpacking", unit="image", disable=None, leave=False) as bar:
        for split, paths in shards.items():
            with (
                _arrow_file(target, split).open("wb") as sink,
                pa.ipc.new_stream(sink, _read_schema(paths[0])) as writer,
            ):
                for batch in (part for path in paths for part in _read_batches(path)):
                    writer.write_batch(batch)
                    bar.update(len(batch))
                    for row in batch.select(REQUIRED_COLUMNS).to_pylist():
                        sha256 = hashlib.sha256(row["image"]["bytes"] or b"").hexdigest()
                        yield row["image_id"], ID2LABEL.get(row["label"], ""), sha256, split


def _check_schema(folder: Path, shards: Shards) -> None:
    for path in itertools.chain.from_iterable(shards.values()):
        features = datasets.Features.from_arrow_schema(_read_schema(path))
        _check_columns(path, REQUIRED_COLUMNS, features)
        if tuple(names := getattr(features["label"], "names", ())) != CODES:
            raise InputError(
                f"Expected the labels {list_offenders(CODES, 7)}; {folder} has "
                f"{list_offenders(names, 7)}. {PREPARE_HINT}"
            )


def _content_key(record: Mapping[str, Any], shards: Shards) -> str:
    """Return a hash of the content, computed without reading the images."""
    digest = hashlib.sha256(f"{record['fingerprint']} {record.get('content')}".encode())
    for path in itertools.chain.from_iterable(shards.values()):
        digest.update(f"{path.name} {path.stat().st_size} ".encode() + _read_footer(path))
    return digest.hexdigest()[:32]


def _read_footer(path: Path) -> bytes:
    """Return the footer of a Parquet file: offsets, sizes and statistics of its columns."""
    with path.open("rb") as stream:
        end = stream.seek(-FOOTER_TAIL, os.SEEK_END)
        stream.seek(max(0, end - int.from_bytes(stream.read(4), "little")))
        return stream.read()


def _arrow_file(cache: Path, split: str) -> Path:
    return cache / f"{split}.arrow"


def _is_whole(cache: Path, shards: Shards) -> bool:
    return all(_arrow_file(cache, split).is_file() for split in shards)


def _count_rows(path: Path) -> int:
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def _read_schema(path: Path) -> pa.Schema:
    with _opened(path) as file:
        return file.schema_arrow


def _read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    with _opened(path) as file:
        _check_columns(path, columns or (), file.schema_arrow.names)
        yield from file.iter_batches(ROWS_PER_BATCH, columns=columns and list(columns))


def _check_columns(path: Path, wanted: Sequence[str], found: Collection[str]) -> None:
    if missing := [name for name in wanted if name not in found]:
        raise InputError(f"{path} lacks the columns {list_offenders(missing)}. {PREPARE_HINT}")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        # pyarrow parses the path "a:b" as a URI and rejects paths that are not UTF-8.
        with path.open("rb") as stream:
            yield pq.ParquetFile(stream, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path} cannot be read as Parquet: {first}. {PREPARE_HINT}") from error


def _damaged(cache: Path, reason: str) -> InputError:
    return InputError(f"The cached dataset {cache} is damaged: {reason}. Delete it.")


def _other_content(folder: Path, found: str) -> InputError:
    return InputError(
        f"{folder} does not match its {RECORD_FILE}: {found}. Prepare it again with "
        "scripts/prepare_data.py, or copy all files of one preparation."
    )
