"""Record of a prepared dataset, `prepared.json`: what is in it, what is not, its fingerprint."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_lesion.data.checksums import read_checksums
from hf_lesion.data.description import describe_dataset
from hf_lesion.data.shards import Outcome
from hf_lesion.data.splits import OFFICIAL_TEST, name_splits
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.checksums import file_sha256
from hf_lesion.io.files import read_json
from hf_lesion.labels import CODES

RECORD_FILE = "prepared.json"
SPLITS_FILE = "splits.csv"
PREPARE_HINT = (
    "Prepare one with: python scripts/prepare_data.py --source HAM10000 --output data/ham10000"
)
# What every reader needs of a record; datasets of earlier versions have no more than these.
ENTRIES: dict[str, type] = {"fingerprint": str, "images": dict, "counts": dict}


def fingerprint(table: pd.DataFrame) -> str:
    """Return one SHA-256 over the images, their labels and their splits, in no particular order.

    Args:
        table: The text columns `image_id`, `split`, `label` (code) and `sha256` (of the image's
            bytes), one row per image.
    """
    return hash_lines(table[["image_id", "split", "label", "sha256"]])


def hash_lines(table: pd.DataFrame) -> str:
    """Return one SHA-256 over the rows of a table of text, in no particular order."""
    lines = sorted("\t".join(row) + "\n" for row in table.itertuples(index=False))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of a prepared dataset.

    Raises:
        InputError: If `folder` is not one, or its record is damaged.
    """
    path = folder / RECORD_FILE
    if not folder.is_dir():
        raise InputError(f"There is no dataset folder {folder}. {PREPARE_HINT}")
    if not path.is_file():
        raise InputError(
            f"{folder} is not a prepared dataset: it has no {RECORD_FILE}. {PREPARE_HINT}"
        )
    record = read_json(path, fix=PREPARE_HINT)
    missing = [name for name, kind in ENTRIES.items() if not isinstance(record.get(name), kind)]
    if missing:
        raise InputError(f"{path} has no {list_offenders(missing)}. {PREPARE_HINT}")
    return record


def read_fingerprint(folder: Path) -> str:
    """Return the fingerprint of a prepared dataset.

    Raises:
        InputError: As `read_record`.
    """
    return str(read_record(folder)["fingerprint"])


def read_counts(folder: Path, split: str) -> NDArray[np.float64]:
    """Return (C,) how many images of each diagnosis a split of a prepared dataset has.

    Raises:
        InputError: As `read_record`, or if there is no such split, or a class of it is empty.
    """
    counts = read_record(folder)["counts"].get(split, {})
    if empty := [code for code in CODES if not counts.get(code)]:
        raise InputError(f"{folder} has no {split} images of {list_offenders(empty, 7)}.")
    return np.asarray([counts[code] for code in CODES], dtype=np.float64)


def read_split_sum(folder: Path) -> str | None:
    """Return the SHA-256 of a prepared dataset's splits.csv; None where there is no such file.

    Two preparations with one sum have the same images, labels and lesions in the same splits, if
    perhaps of other resolution.
    """
    file = folder / SPLITS_FILE
    return file_sha256(file) if file.is_file() else None


def get_description(record: dict[str, Any], split: str) -> str | None:
    """Return what a split's images are, in words; None in records of earlier versions."""
    found = record.get(OFFICIAL_TEST, {}) if split == OFFICIAL_TEST else record
    return found.get("description")


def describe_images(table: pd.DataFrame) -> dict[str, Any]:
    """Return what the images are, those of the official test set apart.

    Args:
        table: One row per image with `split` and what `describe_dataset` takes, and `was_cut`.

    Returns:
        As `describe_dataset`; "official_test" holds the same of the official test set, if there is
        one.
    """
    is_official = table["split"] == OFFICIAL_TEST
    own, official = table[~is_official], table[is_official]
    found = describe_dataset(own, cut=bool(own["was_cut"].any()))
    if len(official):
        cut = bool(official["was_cut"].any())
        found[OFFICIAL_TEST] = describe_dataset(official, cut=cut, official=True)
    return found


def count_images(table: pd.DataFrame) -> dict[str, Any]:
    """Return images, lesions and counts per dx of each split, absent masks and published images.

    Args:
        table: One row per image with `split`, `lesion_id`, `label` (code), `has_mask`, `image_id`,
            `sha256` (of the image's bytes) and `was_enlarged`.

    Returns:
        "images", "lesions" and "counts" by split, the official test set only if it is there; a
        lesion_id that is not known counts as no lesion. "without_mask", "published" (images that
        are byte for byte the published files), "enlarged".
    """
    parts = {split: table[table["split"] == split] for split in name_splits(table["split"])}
    sums = read_checksums()
    pairs = zip(table["image_id"], table["sha256"], strict=True)
    return {
        "images": {split: len(part) for split, part in parts.items()},
        "lesions": {split: part["lesion_id"].nunique() for split, part in parts.items()},
        "counts": {
            split: {code: int((part["label"] == code).sum()) for code in CODES}
            for split, part in parts.items()
        },
        "without_mask": int((~table["has_mask"].astype(bool)).sum()),
        "published": sum(sums.get(image_id) == sha256 for image_id, sha256 in pairs),
        "enlarged": int(table["was_enlarged"].astype(bool).sum()),
    }


def list_left_out(
    no_file: list[str], no_row: list[str], outcomes: Iterable[Outcome], *, unscored: list[str]
) -> dict[str, Any]:
    """Return the images of the metadata that were left out, and the files that were.

    Args:
        no_file: image_ids of the metadata that have no file.
        no_row: Images that have no row in the metadata.
        outcomes: What became of the others.
        unscored: Images of the official test set that the challenge does not score.

    Returns:
        "count" (of rows), "no_file", "unreadable" and "unreadable_masks" with the reason by
        image_id, "no_row", "unscored" (not counted).
    """
    outcomes = list(outcomes)
    unreadable = {
        outcome.image_id: outcome.image_problem for outcome in outcomes if outcome.image_problem
    }
    masks = {outcome.image_id: outcome.mask_problem for outcome in outcomes if outcome.mask_problem}
    return {
        "count": len(no_file) + len(unreadable),
        "no_file": no_file,
        "unreadable": unreadable,
        "unreadable_masks": masks,
        "no_row": no_row,
        "unscored": unscored,
    }
