"""Dataset folders for the Hub: Parquet shards, splits, record and card."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from datasets import IterableDatasetDict, load_dataset

from hf_lesion.data.card import build_card
from hf_lesion.data.reader import check_rows, read_rows
from hf_lesion.data.record import RECORD_FILE, SPLITS_FILE, read_record
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.hub.checks import check_files, read_licence
from hf_lesion.hub.client import CARD
from hf_lesion.hub.packing import hide_home
from hf_lesion.io.checksums import write_manifest
from hf_lesion.io.files import write_json, write_text
from hf_lesion.labels import CODES, ID2LABEL

DATA = "data"
# Local paths in the record; only the names are published.
PATHS = ("source", "split_file")


def build_dataset_folder(source: Path, folder: Path, *, name: str) -> None:
    """Write a prepared dataset into an empty folder, with a card made from its record; check it.

    Large files are hard-linked if possible. The card loads the dataset by `name`: its Hub id or the
    name of the folder.
    """
    record = read_record(source)
    (folder / DATA).mkdir()
    for file in sorted((source / DATA).glob("*.parquet")):
        target = folder / DATA / file.name
        try:
            os.link(file.resolve(), target)
        except OSError:  # another disk, or one without links
            shutil.copyfile(file, target)
    shutil.copyfile(source / SPLITS_FILE, folder / SPLITS_FILE)
    paths = {key: Path(record[key]).name for key in PATHS if record.get(key)}
    write_json(folder / RECORD_FILE, json.loads(hide_home(json.dumps({**record, **paths}))))
    write_text(folder / CARD, build_card(record, name=name))
    write_manifest(folder)
    check_files(folder, "dataset")
    read_licence(folder)
    check_dataset(folder, record)


def check_dataset(folder: Path, record: dict[str, Any]) -> None:
    """Raise InputError unless a dataset folder loads and matches its record, and so its card."""
    check_rows(folder)
    counts = {split: dict.fromkeys(CODES, 0) for split in record["images"]}
    for split, row in read_rows(folder, ["label"]):
        counts[split][ID2LABEL[row["label"]]] += 1
    wrong = []
    for split, found in counts.items():
        if differing := [code for code in CODES if found[code] != record["counts"][split][code]]:
            wrong.append(f"{split} has other numbers of {', '.join(differing)}")
    if wrong:
        raise InputError(
            f"{folder} does not match its {RECORD_FILE}: {list_offenders(wrong)}. Prepare it again "
            "with scripts/prepare_data.py."
        )
    with tempfile.TemporaryDirectory(prefix="hf_lesion_check_") as plain:
        _check_loading(folder, Path(plain))


def _check_loading(folder: Path, plain: Path) -> None:
    """Check that `load_dataset` reads the files, from a folder whose name is no pattern."""
    (plain / DATA).mkdir()
    for name in (CARD, *(f"{DATA}/{file.name}" for file in (folder / DATA).iterdir())):
        (plain / name).symlink_to((folder / name).resolve())
    # Streamed, since datasets would keep a copy of the folder in its cache.
    splits = load_dataset(str(plain), streaming=True)
    if not isinstance(splits, IterableDatasetDict):
        raise InputError(f"{folder} does not load as a dataset of splits.")
    for split, rows in splits.items():
        if tuple(rows.features["label"].names) != CODES:
            raise InputError(f"{folder}: the labels of {split} are not {', '.join(CODES)}.")
        next(iter(rows))["image"].load()
