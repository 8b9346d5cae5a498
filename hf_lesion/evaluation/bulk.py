"""Bulk prediction of many images in several processes, resumable.

The images are divided into parts, and the results of each part are written to a Parquet file.
Memory therefore holds one batch of images and one part of the results, a killed job loses at most
one part per process, and processes need not communicate.
"""

import contextlib
import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from hf_lesion.classifier import LesionClassifier
from hf_lesion.data.metadata import ISIC_COLUMNS
from hf_lesion.data.reader import open_split
from hf_lesion.errors import InputError, find_repeated, list_offenders
from hf_lesion.evaluation.scoring import check_unique, read_stored
from hf_lesion.io.decoding import IMAGE_SUFFIXES, list_images, load_image
from hf_lesion.io.files import storable_name, whole_file, write_json
from hf_lesion.labels import CODES

PART_IMAGES = 1024
JOB = "job.json"
PARTS_SUFFIX = ".parts"
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("prediction", pa.string()),
        *((code, pa.float32()) for code in CODES),
        ("reliability", pa.float32()),
        ("error", pa.string()),
    ]
)


@dataclass(frozen=True)
class Images:
    """Images that are read one at a time."""

    # N different image ids: the path in the folder without its ending, or the dataset's own.
    names: Sequence[str]
    load: Callable[[int], Image.Image]  # in RGB; raises InputError if it can't be read
    left_out: Sequence[Path] = ()  # files of the folder that are not images


def list_folder(folder: Path) -> Images:
    """Return the images below a folder, in the order of their paths; see `list_images`.

    Raises:
        InputError: If there is none, or two differ in their ending only.
    """
    files, left_out = list_images(folder)
    if not files:
        raise InputError(f"No image ({', '.join(IMAGE_SUFFIXES)}) found in {folder}.")
    names = [storable_name(path.relative_to(folder).with_suffix("")) for path in files]
    if twice := find_repeated(names):
        raise InputError(
            f"{len(twice)} images have more than one file in {folder}: {list_offenders(twice)}. "
            "Keep one of each."
        )
    return Images(names, lambda index: load_image(files[index]), left_out)


def read_dataset(folder: Path, split: str) -> Images:
    """Return the images of one split of a prepared dataset."""
    rows = open_split(folder, split)
    names = rows["image_id"][:]
    check_unique(names, folder)
    stored = rows.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))
    return Images(names, lambda index: read_stored(stored[index]["image"], names[index]))


def open_job(parts: Path, images: Images, *, weights: str | None) -> None:
    """Create the folder of a job's parts, or check that the parts in it belong to this job.

    `weights` is the SHA-256 of the model's weights.

    Raises:
        InputError: If the parts belong to another model or other images.
    """
    names = hashlib.sha256("\n".join(images.names).encode()).hexdigest()
    job = {"names": names, "weights": weights, "part_images": PART_IMAGES, "columns": SCHEMA.names}
    file = parts / JOB
    if not file.is_file():
        write_json(file, job)
    elif json.loads(file.read_text(encoding="utf-8")) != job:
        raise InputError(
            f"{parts} holds parts of another job: other images or another model. Remove it, or "
            "pass another --output."
        )


def predict_parts(
    classifier: LesionClassifier,
    images: Images,
    parts: Path,
    *,
    batch_size: int,
    process: int = 0,
    processes: int = 1,
) -> None:
    """Write the missing ones of every `processes`-th part from `process` on, and show progress."""
    numbers = range(process, count_parts(images), processes)
    every = range(len(images.names))
    todo = {part_file(parts, n): every[n * PART_IMAGES : (n + 1) * PART_IMAGES] for n in numbers}
    todo = {file: rows for file, rows in todo.items() if not file.is_file()}
    total = sum(map(len, todo.values()))
    with tqdm(total=total, desc="Predicting", unit="image", disable=None, position=process) as bar:
        for file, rows in todo.items():
            table = _predict_part(classifier, images, rows, batch_size=batch_size, bar=bar)
            with whole_file(file) as partial, _open_writer(partial) as writer:
                writer.write_table(table)


def count_parts(images: Images) -> int:
    """Return how many parts these images make."""
    return -(-len(images.names) // PART_IMAGES)


def part_file(parts: Path, number: int) -> Path:
    """Return where one part is written."""
    return parts / f"part-{number:06d}.parquet"


def merge_parts(parts: Path, output: Path, *, count: int) -> dict[str, int]:
    """Join all `count` parts into one Parquet file, one part in memory, and remove them.

    Returns how many `images` there are, and how many of them could not be read (`unreadable`).

    Raises:
        InputError: If a part is missing: another process has not written it.
    """
    files = [part_file(parts, number) for number in range(count)]
    if missing := [file.name for file in files if not file.is_file()]:
        raise InputError(
            f"{len(missing)} of {count} parts are missing in {parts}: {list_offenders(missing)}. "
            "Run the same command again."
        )
    images = unreadable = 0
    with whole_file(output) as partial, _open_writer(partial) as writer:
        for file in files:
            # Not read_table, which takes folders such as "run=1" for columns.
            table = _open_table(file).read()
            images += table.num_rows
            unreadable += table.num_rows - table["error"].null_count
            writer.write_table(table)
    shutil.rmtree(parts)
    return {"images": images, "unreadable": unreadable}


def check_submission(names: Sequence[str]) -> None:
    """Raise InputError if images of two folders have the same name.

    A submission names images without their folders.
    """
    if twice := find_repeated(Path(name).name for name in names):
        raise InputError(
            f"{len(twice)} names occur in more than one folder: {list_offenders(twice)}. A "
            "submission names images without their folders: rename them, or leave out --submission."
        )


def write_submission(predictions: Path, target: Path) -> None:
    """Write the output of `merge_parts` as a CSV with the columns of the ISIC: image, MEL, NV, ….

    Unreadable images are left out.
    """
    table = _open_table(predictions)
    check_submission(table.read(columns=["image_id"])["image_id"].to_pylist())
    with whole_file(target) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        stream.write(_format_row(["image", *ISIC_COLUMNS]))
        for batch in table.iter_batches():
            for row in batch.to_pylist():
                if row["error"] is None:
                    values = [float(row[code]) for code in ISIC_COLUMNS.values()]
                    stream.write(_format_row([Path(row["image_id"]).name, *values]))


@contextlib.contextmanager
def _open_writer(file: Path) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of predictions; Arrow itself takes no path that is not UTF-8."""
    with file.open("wb") as stream, pq.ParquetWriter(stream, SCHEMA) as writer:
        yield writer


def _open_table(file: Path) -> pq.ParquetFile:
    return pq.ParquetFile(file.open("rb"))


def _format_row(values: Sequence[object]) -> str:
    """Return one line of CSV.

    The csv module quotes a carriage return only if its lines end with one, and readers interpret a
    bare one as the end of a line.
    """
    stream = io.StringIO()
    csv.writer(stream).writerow(values)
    return stream.getvalue().removesuffix("\r\n") + "\n"


def _predict_part(
    classifier: LesionClassifier, images: Images, rows: range, *, batch_size: int, bar: Any
) -> pa.Table:
    answers: dict[int, dict[str, Any]] = {}
    for start in range(0, len(rows), batch_size):
        indices = rows[start : start + batch_size]
        loaded: dict[int, Image.Image] = {}
        for index in indices:
            try:
                loaded[index] = images.load(index)
            except (InputError, OSError) as error:
                answers[index] = {"error": storable_name(str(error))}
        if loaded:
            found = classifier.predict(list(loaded.values()), batch_size=batch_size)
            reliability = classifier.share_right(found)
            known = [None] * len(found) if reliability is None else reliability.tolist()
            for index, probabilities, share in zip(loaded, found, known, strict=True):
                answers[index] = {
                    "prediction": CODES[int(probabilities.argmax())],
                    **dict(zip(CODES, probabilities.tolist(), strict=True)),
                    "reliability": share,
                }
        bar.update(len(indices))
    return pa.Table.from_pylist(
        [{"image_id": images.names[index], **answers[index]} for index in rows], schema=SCHEMA
    )
