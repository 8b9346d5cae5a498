"""Record of a prepared dataset, `prepared.json`: counts, omitted images, fingerprint."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_lesion.data.checksums import read_checksums
from hf_lesion.data.description import describe_dataset
from hf_lesion.data.splits import OFFICIAL_TEST, name_splits
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.checksums import file_sha256
from hf_lesion.io.records import Record, parse_record
from hf_lesion.labels import CODES

RECORD_FILE = "prepared.json"
SPLITS_FILE = "splits.csv"
PREPARE_HINT = (
    "Prepare one with: python scripts/prepare_data.py --source HAM10000 --output data/ham10000"
)


class Prepared(Record, extra="allow"):
    """Entries that every reader needs. Records of earlier versions contain only these."""

    fingerprint: str
    images: dict[str, int]  # by split
    counts: dict[str, dict[str, int]]  # by split and diagnosis


def fingerprint(table: pd.DataFrame) -> str:
    """Return a SHA-256 of the images, their labels and their splits, independent of order.

    Args:
        table: Text columns `image_id`, `split`, `label` (code) and `sha256` (of the image's bytes).
    """
    return hash_lines(table[["image_id", "split", "label", "sha256"]])


def hash_lines(table: pd.DataFrame) -> str:
    """Return a SHA-256 of the rows of a text table, independent of their order."""
    lines = sorted("\t".join(row) + "\n" for row in table.itertuples(index=False))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of a prepared dataset; raise InputError if `folder` has none."""
    path = folder / RECORD_FILE
    if not folder.is_dir():
        raise InputError(f"Dataset folder {folder} not found. {PREPARE_HINT}")
    if not path.is_file():
        raise InputError(
            f"{folder} is not a prepared dataset: it has no {RECORD_FILE}. {PREPARE_HINT}"
        )
    record = parse_record(path.read_bytes(), Prepared, source=str(path), fix=PREPARE_HINT)
    return record.model_dump()


def read_fingerprint(folder: Path) -> str:
    """Return the fingerprint of a prepared dataset."""
    return str(read_record(folder)["fingerprint"])


def read_counts(folder: Path, split: str) -> NDArray[np.float64]:
    """Return the (C,) numbers of images of the diagnoses in a split of a prepared dataset.

    Raises:
        InputError: As `read_record`, or if the split does not exist or lacks a diagnosis.
    """
    counts = read_record(folder)["counts"].get(split, {})
    if empty := [code for code in CODES if not counts.get(code)]:
        raise InputError(f"{folder} has no {split} images of {list_offenders(empty, 7)}.")
    return np.asarray([counts[code] for code in CODES], dtype=np.float64)


def read_split_sum(folder: Path) -> str | None:
    """Return the SHA-256 of splits.csv of a prepared dataset; None if the file does not exist.

    Datasets with the same value have the same images, labels and lesions in the same splits; their
    resolution may differ.
    """
    file = folder / SPLITS_FILE
    return file_sha256(file) if file.is_file() else None


def get_description(record: dict[str, Any], split: str) -> str | None:
    """Return the description of the images of a split; None in records of earlier versions."""
    found = record.get(OFFICIAL_TEST, {}) if split == OFFICIAL_TEST else record
    return found.get("description")


def describe_images(table: pd.DataFrame) -> dict[str, Any]:
    """Describe images as `describe_dataset` does, those of the official test set separately.

    `table` also has the columns `split` and `was_cut`. The entry "official_test" exists only if the
    official test set is included.
    """
    is_official = table["split"] == OFFICIAL_TEST
    own, official = table[~is_official], table[is_official]
    found = describe_dataset(own, cut=bool(own["was_cut"].any()))
    if len(official):
        cut = bool(official["was_cut"].any())
        found[OFFICIAL_TEST] = describe_dataset(official, cut=cut, official=True)
    return found


def count_images(table: pd.DataFrame) -> dict[str, Any]:
    """Count the images, lesions and diagnoses of each split, missing masks and published images.

    Returns:
        "images", "lesions" and "counts" by split, with the official test set only if it is
        included; an unknown lesion_id is not counted. "without_mask", "published" (images that are
        identical to the published files), "enlarged".
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
