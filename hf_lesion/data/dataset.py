"""Turning HAM10000, in any layout it comes in, into a Parquet dataset, split by lesion.

The output folder is what `datasets.load_dataset` reads: `data/<split>-0000i-of-0000n.parquet` and a
README.md that names them; beside them lie `splits.csv` and the record `prepared.json`.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from hf_lesion.data.card import build_card
from hf_lesion.data.checksums import check_originals
from hf_lesion.data.images import MASK_ENDING, find_pictures
from hf_lesion.data.record import count_images, count_published, list_left_out
from hf_lesion.data.selection import (
    EVERYTHING,
    Selection,
    choose_rows,
    describe_split,
    training_ids,
)
from hf_lesion.data.shards import Item, Outcome, build_features, write_split
from hf_lesion.data.sharper import SHARP, SOFT
from hf_lesion.data.sources import Source, open_source
from hf_lesion.data.splits import FRACTIONS, check_options, check_splits, name_splits
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.files import whole_folder, write_json, write_text
from hf_lesion.labels import CODES
from hf_lesion.manifest import file_sha256
from hf_lesion.provenance import provenance

RECORD_FILE = "prepared.json"
SPLITS_FILE = "splits.csv"
PREPARE_HINT = (
    "Prepare one with: python scripts/prepare_data.py --source HAM10000 --output data/ham10000"
)


def prepare(
    source: Path,
    output: Path,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    sharper: Path | None = None,
    allow_missing: bool = False,
    overwrite: bool = False,
    selection: Selection = EVERYTHING,
) -> dict[str, Any]:
    """Write the dataset in `source` as Parquet to `output`, whole or not at all.

    The split is drawn over all of the metadata, before a subset is chosen and images are left out:
    neither moves any other image to another split. Rows are in the order of image_id. Image files
    are stored byte for byte, and so are masks, palette PNGs among them (`mask` is decoded to grey
    levels on reading).

    Args:
        source: Folder or zip archive in one of the layouts of `hf_lesion.data.sources`.
        output: The folder to make.
        seed: Of the split.
        fractions: Of the lesions in train, validation and test.
        sharper: Folder with sharper copies, used where there is one; see `hf_lesion.data.sharper`.
        allow_missing: Leave out images that are missing or broken or have no row, instead of
            raising.
        overwrite: Replace a dataset that was prepared before.
        selection: What of the source is prepared.

    Returns:
        The record that is also in `prepared.json`: "fingerprint" (of images, labels and splits),
        "content" (a hash of all columns), "images" and "lesions" per split, "counts" per split and
        dx, "without_mask", "published" (images that are the published files), "left_out", "seed"
        and "fractions" (None with a split file), "subset", "split_file", "source", "sharper",
        "provenance"; with `sharper` also "copies" per split.

    Raises:
        InputError: If the metadata is wrong, files are missing or broken, a diagnosis has too few
            lesions, or `output` is in the way.
    """
    check_options(fractions=fractions, seed=seed)
    check_output([source, *([sharper] if sharper else [])], output, overwrite=overwrite)
    with open_source(source) as opened:
        frame = choose_rows(opened, selection, fractions=fractions, seed=seed)
        items, no_file = _find_items(frame, opened, sharper)
        no_row = opened.find_images_without_row({*opened.frame["image_id"], *frame["image_id"]})
        if not allow_missing:
            _check_complete(no_file, no_row, source)
        if selection.originals_only:
            check_originals(opened.choose_pictures(sorted(training_ids(frame))))
        with whole_folder(output, overwrite=overwrite) as folder:
            outcomes = _write_shards(frame, items, folder / "data", with_copy=sharper is not None)
            _check_outcomes(outcomes, allow_missing=allow_missing)
            table = _build_table(frame, items, outcomes)
            check_splits(table, name_splits(frame["split"]))
            record = {
                "fingerprint": fingerprint(table),
                "content": _hash_lines(table[["image_id", "split", "row_sha256"]]),
                **count_images(table, with_copy=sharper is not None),
                "published": count_published(table),
                "left_out": list_left_out(no_file, no_row, outcomes),
                **describe_split(selection, fractions=fractions, seed=seed),
                "source": str(source),
                "sharper": None if sharper is None else str(sharper),
                "provenance": provenance(),
            }
            _write_record(folder, table, record)
    return record


def fingerprint(table: pd.DataFrame) -> str:
    """Return one SHA-256 over the images, their labels and their splits, in no particular order.

    Args:
        table: The text columns `image_id`, `split`, `label` (code) and `sha256` (of the image's
            bytes), one row per image.
    """
    return _hash_lines(table[["image_id", "split", "label", "sha256"]])


def read_fingerprint(folder: Path) -> str:
    """Return the fingerprint of a prepared dataset.

    Raises:
        InputError: If `folder` is not one.
    """
    return str(_read_entry(folder, "fingerprint"))


def read_counts(folder: Path, split: str) -> NDArray[np.float64]:
    """Return (C,) how many images of each diagnosis a split of a prepared dataset has.

    Raises:
        InputError: If the folder is none, has no such split, or a class of it is empty.
    """
    counts = _read_entry(folder, "counts").get(split, {})
    if empty := [code for code in CODES if not counts.get(code)]:
        raise InputError(f"{folder} has no {split} images of {list_offenders(empty, 7)}.")
    return np.asarray([counts[code] for code in CODES], dtype=np.float64)


def read_split_sum(folder: Path) -> str | None:
    """Return the SHA-256 of a prepared dataset's splits.csv; None where there is no such file.

    Two preparations with one sum have the same images, labels and lesions in the same splits, if
    perhaps other pixels: sharper copies, say.
    """
    file = folder / SPLITS_FILE
    return file_sha256(file) if file.is_file() else None


def _read_entry(folder: Path, name: str) -> Any:
    path = folder / RECORD_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} is no prepared dataset: it has no {RECORD_FILE}. {PREPARE_HINT}"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))[name]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no {name}. {PREPARE_HINT}") from error


def _hash_lines(table: pd.DataFrame) -> str:
    lines = sorted("\t".join(row) + "\n" for row in table.itertuples(index=False))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_output(sources: Iterable[Path], output: Path, *, overwrite: bool) -> None:
    """Check that `output` can be made: before anything is fetched or read.

    Raises:
        InputError: If it holds a source, is there already and is not to be replaced, or was not
            prepared before.
    """
    for source in sources:
        if source.resolve().is_relative_to(output.resolve()):
            raise InputError(f"{output} holds the source {source}. Pass another --output.")
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not overwrite:  # as `whole_folder` says, but that is asked only after hours of download
        raise InputError(
            f"{output} is there already. Pass --overwrite to replace it, or another --output."
        )
    if output.is_dir():
        try:
            read_fingerprint(output)
        except InputError as error:
            raise InputError(
                f"{output} is there and was not written by prepare_data.py, so --overwrite does "
                "not replace it. Remove it yourself, or pass another --output."
            ) from error


def _find_items(
    frame: pd.DataFrame, opened: Source, sharper: Path | None
) -> tuple[dict[str, Item], list[str]]:
    """Return the items by image_id, in that order, and the image_ids that have no file."""
    ids = sorted(frame["image_id"])
    pictures = opened.choose_pictures(ids)
    sharp = {} if sharper is None else find_pictures(sharper, ids)
    if sharper is not None and not sharp:
        raise InputError(f"No image of the metadata has a sharper copy under {sharper}.")
    metadata = {row["image_id"]: row for row in frame.to_dict("records")}
    items, no_file = {}, []
    for image_id in ids:
        file = sharp.get(image_id, pictures.get(image_id))
        if file is None:
            no_file.append(image_id)
            continue
        copy = None if sharper is None else SHARP if image_id in sharp else SOFT
        mask = pictures.get(image_id + MASK_ENDING)
        items[image_id] = Item(metadata[image_id], file, mask, copy)
    return items, no_file


def _sentence(offenders: list[str]) -> str:
    text = list_offenders(offenders)
    return text if text.endswith("…") else f"{text}."


def _check_complete(no_file: list[str], no_row: list[str], source: Path) -> None:
    if no_file:
        raise InputError(
            f"{len(no_file)} image_ids have no file under {source}: {_sentence(no_file)} "
            "Pass the folder that holds both image parts, or --allow_missing to leave them out."
        )
    if no_row:
        raise InputError(
            f"{len(no_row)} images under {source} have no row in the metadata: {_sentence(no_row)} "
            "Add their rows, or pass --allow_missing to leave them out."
        )


def _write_shards(
    frame: pd.DataFrame, items: dict[str, Item], folder: Path, *, with_copy: bool
) -> list[Outcome]:
    """Write the shards of all splits; return the outcomes without their rows' bytes."""
    folder.mkdir()
    split_of = dict(zip(frame["image_id"], frame["split"], strict=True))
    features = build_features(with_copy=with_copy)
    light = []
    # No bar where nobody watches: a log keeps only the error line.
    with tqdm(total=len(items), desc="Preparing", unit="image", disable=None) as bar:
        for split in name_splits(frame["split"]):
            part = [item for image_id, item in items.items() if split_of[image_id] == split]
            outcomes = write_split(folder, split, part, features, advance=bar.update)
            light += [outcome.without_row() for outcome in outcomes]
    return light


def _check_outcomes(outcomes: Iterable[Outcome], *, allow_missing: bool) -> None:
    if allow_missing:
        return
    problems = [
        f"{outcome.image_id} ({problem})"
        for outcome in outcomes
        for problem in (outcome.image_problem, outcome.mask_problem)
        if problem
    ]
    if problems:
        raise InputError(
            f"{len(problems)} files cannot be read: {_sentence(problems)} "
            "Fetch them again, or pass --allow_missing to leave them out."
        )


def _build_table(
    frame: pd.DataFrame, items: dict[str, Item], outcomes: Iterable[Outcome]
) -> pd.DataFrame:
    """Return one row per written image, in the order of image_id."""
    written = pd.DataFrame(
        [
            (
                outcome.image_id,
                outcome.sha256,
                outcome.row_sha256,
                outcome.has_mask,
                items[outcome.image_id].copy,
            )
            for outcome in outcomes
            if outcome.sha256 is not None
        ],
        columns=["image_id", "sha256", "row_sha256", "has_mask", "copy"],
    )
    table = frame.merge(written, on="image_id", validate="one_to_one")
    return table.rename(columns={"dx": "label"}).sort_values("image_id", ignore_index=True)


def _write_record(folder: Path, table: pd.DataFrame, record: dict[str, Any]) -> None:
    columns = ["image_id", "lesion_id", "label", "split"]
    write_text(folder / SPLITS_FILE, table[columns].to_csv(index=False, lineterminator="\n"))
    write_text(folder / "README.md", build_card(record))
    write_json(folder / RECORD_FILE, record)
