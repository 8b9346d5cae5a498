"""Reading a prepared dataset row by row, so that memory does not grow with the dataset."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from hf_lesion.data.dataset import PREPARE_HINT, read_fingerprint
from hf_lesion.data.images import decode_picture
from hf_lesion.data.splits import SPLITS
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.pixels import load_image

SHARD = re.compile(r"(?P<split>\w+)-\d{5}-of-\d{5}\.parquet")
Taken = TypeVar("Taken")
ROWS_PER_BATCH = 32  # 600×450 originals and their masks: about 9 MB


def list_shards(folder: Path) -> dict[str, list[Path]]:
    """Return the Parquet files of each split: train, validation and test first, then any others.

    Raises:
        InputError: If `folder` is no prepared dataset or a split has no file.
    """
    read_fingerprint(folder)
    shards: dict[str, list[Path]] = {}
    for path in sorted((folder / "data").glob("*.parquet")):
        if found := SHARD.fullmatch(path.name):
            shards.setdefault(found["split"], []).append(path)
    if missing := [split for split in SPLITS if split not in shards]:
        raise InputError(
            f"{folder} holds no Parquet file for {list_offenders(missing)}. {PREPARE_HINT}"
        )
    return {split: shards[split] for split in [*SPLITS, *sorted(set(shards) - set(SPLITS))]}


def count_rows(folder: Path) -> int:
    """Return the number of rows of all splits, from the files' footers alone."""
    paths = [path for shards in list_shards(folder).values() for path in shards]
    return sum(_open(path).metadata.num_rows for path in paths)


def read_rows(folder: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every row with the name of its split; images and masks as their files' bytes.

    Args:
        folder: A prepared dataset.
        columns: Which columns to read.

    Raises:
        InputError: If `folder` is no prepared dataset, or a file of it cannot be read.
    """
    for split, paths in list_shards(folder).items():
        for path in paths:
            yield from ((split, row) for row in _read_shard(path, columns))


def watch_rows(
    folder: Path, columns: Sequence[str], doing: str
) -> "tqdm[tuple[str, dict[str, Any]]]":
    """Return `read_rows` behind a progress bar that says what is being done."""
    total = count_rows(folder)
    # No bar where nobody watches: a log keeps only the table.
    return tqdm(
        read_rows(folder, columns), desc=doing, total=total, unit="image", disable=None, leave=False
    )


def read_each(
    folder: Path, wanted: Collection[int], take: Callable[[Image.Image], Taken], doing: str
) -> dict[int, Taken]:
    """Return what `take` makes of some images, in one pass.

    Args:
        folder: A prepared dataset.
        wanted: Row numbers in the order of `read_rows`.
        take: From the decoded image to what is kept of it.
        doing: Title of the progress bar.
    """
    if not wanted:
        return {}
    rows = enumerate(watch_rows(folder, ["image", "image_id"], doing))
    return {number: take(open_image(row)) for number, (_, row) in rows if number in wanted}


def read_thumbnails(
    folder: Path, wanted: Collection[int], *, size: tuple[int, int]
) -> dict[int, Image.Image]:
    """Return RGB copies of `size` (width, height) of some images, by their row number."""
    return read_each(folder, wanted, lambda image: image.resize(size), "Collecting images")


def open_image(
    row: dict[str, Any], *, column: str = "image", draft: tuple[int, int] | None = None
) -> Image.Image:
    """Return the image of a row as `load_image` shows it to models, or its mask as it is stored.

    Args:
        row: Of a prepared dataset.
        column: "image" or "mask".
        draft: As for `load_image`.

    Raises:
        InputError: If it does not decode; the text names the image.
    """
    try:
        picture = decode_picture(row[column]["bytes"], draft=draft)
    except InputError as error:
        raise InputError(
            f"The {column} of {row['image_id']} cannot be read: {error}. Prepare the dataset again."
        ) from error
    return load_image(picture) if column == "image" else picture


def _read_shard(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    file = _open(path)
    missing = [column for column in columns if column not in file.schema_arrow.names]
    if missing:
        raise InputError(f"{path} lacks the columns {list_offenders(missing)}. {PREPARE_HINT}")
    try:
        for batch in file.iter_batches(ROWS_PER_BATCH, columns=list(columns)):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _open(path: Path) -> pq.ParquetFile:
    try:
        # Opened here: Arrow takes no path that is not UTF-8.
        return pq.ParquetFile(path.open("rb"), pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InputError:
    first = str(error).strip().splitlines()[0]
    return InputError(f"{path} cannot be read as Parquet: {first}. {PREPARE_HINT}")
