"""A prepared dataset's folder as it is published: Parquet shards, splits, record and card."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from datasets import IterableDatasetDict, load_dataset

from hf_lesion.data.card import build_card
from hf_lesion.data.dataset import RECORD_FILE, SPLITS_FILE, read_fingerprint
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.files import read_json, write_json, write_text
from hf_lesion.hub.checks import check_files, read_licence
from hf_lesion.hub.packing import hide_home
from hf_lesion.hub.repository import CARD
from hf_lesion.labels import CODES
from hf_lesion.manifest import write_manifest

DATA = "data"
# Where the files lay on the machine that prepared them.
PATHS = ("source", "sharper", "split_file")


def build_dataset_folder(source: Path, folder: Path, *, name: str) -> None:
    """Write a prepared dataset into an empty folder, with a card made from its record; check it.

    Args:
        source: What `scripts/prepare_data.py` wrote.
        folder: Empty; large files are linked into it where the disk allows that.
        name: By which the card loads it: "owner/name", or the folder's.

    Raises:
        InputError: If the source is no prepared dataset, or its files are not those of its record.
    """
    read_fingerprint(source)
    record = read_json(source / RECORD_FILE, fix="Run scripts/prepare_data.py again.")
    (folder / DATA).mkdir()
    for file in sorted((source / DATA).glob("*.parquet")):
        _link(file, folder / DATA / file.name)
    shutil.copyfile(source / SPLITS_FILE, folder / SPLITS_FILE)
    shown = {key: _last_part(value) if key in PATHS else value for key, value in record.items()}
    write_json(folder / RECORD_FILE, json.loads(hide_home(json.dumps(shown))))
    write_text(folder / CARD, build_card(record, name=name))
    write_manifest(folder)
    check_files(folder, "dataset")
    read_licence(folder)
    check_dataset(folder, record)


def check_dataset(folder: Path, record: dict[str, Any]) -> None:
    """Check that a dataset's folder loads and holds what its record, and so its card, says.

    Raises:
        InputError: If it does not.
    """
    wrong = []
    for split, images in record["images"].items():
        counts = _count_labels(sorted((folder / DATA).glob(f"{split}-*.parquet")))
        if (rows := sum(counts.values())) != images:
            wrong.append(f"{split} has {rows:,} rows, {images:,} expected")
        elif counts != record["counts"][split]:
            differing = [code for code in CODES if counts[code] != record["counts"][split][code]]
            wrong.append(f"{split} has other numbers of {', '.join(differing)}")
    if wrong:
        raise InputError(
            f"{folder} is not what its {RECORD_FILE} says: {list_offenders(wrong)}. Prepare it "
            "again with scripts/prepare_data.py."
        )
    # Streamed: the cache of datasets knows a folder by its name, and would keep a copy of it.
    splits = load_dataset(str(folder), streaming=True)
    if not isinstance(splits, IterableDatasetDict):
        raise InputError(f"{folder} does not load as a dataset of splits.")
    for split, rows in splits.items():
        if tuple(rows.features["label"].names) != CODES:
            raise InputError(f"{folder}: the labels of {split} are not {', '.join(CODES)}.")
        next(iter(rows))["image"].load()


def _count_labels(shards: Sequence[Path]) -> dict[str, int]:
    """Return how many rows of each diagnosis some shards hold."""
    counts = np.zeros(len(CODES), np.int64)
    for shard in shards:
        labels = pq.read_table(shard, columns=["label"])["label"].to_numpy()
        counts += np.bincount(labels, minlength=len(CODES))
    return dict(zip(CODES, counts.tolist(), strict=True))


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file.resolve(), target)
    except OSError:  # another disk, or one that has no links
        shutil.copyfile(file, target)


def _last_part(path: str | None) -> str | None:
    return None if path is None else Path(path).name
