"""Turning the original layout of HAM10000 into a Parquet dataset, split by lesion.

The output folder is what `datasets.load_dataset` reads: `data/<split>-0000i-of-0000n.parquet` and a
README.md that names them; beside them lie `splits.csv` and the record `prepared.json`.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from hf_lesion.data.images import MASK_ENDING, find_pictures
from hf_lesion.data.metadata import METADATA_FILE, read_metadata
from hf_lesion.data.readme import build_readme
from hf_lesion.data.shards import Item, Outcome, build_features, write_split
from hf_lesion.data.sharper import SHARP, SOFT
from hf_lesion.data.splits import FRACTIONS, SPLITS, check_options, split_by_lesion
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.files import whole_folder, write_json, write_text
from hf_lesion.labels import CODES
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
) -> dict[str, Any]:
    """Write the dataset in `source` as Parquet to `output`, whole or not at all.

    The split is drawn over all of the metadata, before images are left out: a missing file moves no
    other image to another split. Rows are in the order of image_id. Image files are stored byte for
    byte, and so are masks, palette PNGs among them (`mask` is decoded to grey levels on reading).

    Args:
        source: Folder with HAM10000_metadata.csv; images and masks anywhere below.
        output: The folder to make.
        seed: Of the split.
        fractions: Of the lesions in train, validation and test.
        sharper: Folder with sharper copies, used where there is one; see `hf_lesion.data.sharper`.
        allow_missing: Leave out images that are missing or broken, instead of raising.
        overwrite: Replace a dataset that was prepared before.

    Returns:
        The record that is also in `prepared.json`: "fingerprint" (of images, labels and splits),
        "content" (a hash of all columns), "images" and "lesions" per split, "counts" per split and
        dx, "without_mask", "left_out", "seed", "fractions", "source", "sharper", "provenance";
        with `sharper` also "copies" per split.

    Raises:
        InputError: If the metadata is wrong, files are missing or broken, a diagnosis has too few
            lesions, or `output` is in the way.
    """
    check_options(fractions=fractions, seed=seed)
    _check_output([source, *([sharper] if sharper else [])], output, overwrite=overwrite)
    frame = read_metadata(source / METADATA_FILE)
    frame["split"] = split_by_lesion(frame, fractions=fractions, seed=seed)
    items, no_file = _find_items(frame, source, sharper)
    if no_file and not allow_missing:
        raise InputError(
            f"{len(no_file)} image_ids have no file under {source}: {_sentence(no_file)} "
            "Pass the folder that holds both image parts, or --allow_missing to leave them out."
        )
    with whole_folder(output, overwrite=overwrite) as folder:
        outcomes = _write_shards(frame, items, folder / "data", with_copy=sharper is not None)
        _check_outcomes(outcomes, allow_missing=allow_missing)
        table = _build_table(frame, items, outcomes)
        _check_splits(table)
        record = {
            "fingerprint": fingerprint(table),
            "content": _hash_lines(table[["image_id", "split", "row_sha256"]]),
            **_count(table, with_copy=sharper is not None),
            "left_out": _left_out(no_file, outcomes),
            "seed": seed,
            "fractions": dict(zip(SPLITS, fractions, strict=True)),
            "source": str(source),
            "sharper": None if sharper is None else str(sharper),
            "provenance": provenance(),
        }
        columns = ["image_id", "lesion_id", "label", "split"]
        write_text(folder / SPLITS_FILE, table[columns].to_csv(index=False, lineterminator="\n"))
        write_text(folder / "README.md", build_readme(record))
        write_json(folder / RECORD_FILE, record)
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
    path = folder / RECORD_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} is no prepared dataset: it has no {RECORD_FILE}. {PREPARE_HINT}"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no fingerprint. {PREPARE_HINT}") from error
    return str(value)


def _hash_lines(table: pd.DataFrame) -> str:
    lines = sorted("\t".join(row) + "\n" for row in table.itertuples(index=False))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _check_output(sources: Iterable[Path], output: Path, *, overwrite: bool) -> None:
    for source in sources:
        if source.resolve().is_relative_to(output.resolve()):
            raise InputError(f"{output} holds the source {source}. Pass another --output.")
    if overwrite and output.is_dir() and any(output.iterdir()):
        try:
            read_fingerprint(output)
        except InputError as error:
            raise InputError(
                f"{output} is there and was not written by prepare_data.py, so --overwrite does "
                "not replace it. Remove it yourself, or pass another --output."
            ) from error


def _sentence(offenders: list[str]) -> str:
    text = list_offenders(offenders)
    return text if text.endswith("…") else f"{text}."


def _find_items(
    frame: pd.DataFrame, source: Path, sharper: Path | None
) -> tuple[dict[str, Item], list[str]]:
    """Return the items by image_id, in that order, and the image_ids that have no file."""
    ids = sorted(frame["image_id"])
    pictures = find_pictures(source, {*ids, *(image_id + MASK_ENDING for image_id in ids)})
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
        for split in SPLITS:
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


def _check_splits(table: pd.DataFrame) -> None:
    empty = [split for split in SPLITS if split not in set(table["split"])]
    if empty:
        raise InputError(
            f"No image is left for {list_offenders(empty)}. Pass a source with more of the images."
        )


def _count(table: pd.DataFrame, *, with_copy: bool) -> dict[str, Any]:
    """Return images, lesions, counts per dx and sharp copies per split, and absent masks."""
    parts = {split: table[table["split"] == split] for split in SPLITS}
    counts: dict[str, Any] = {
        "images": {split: len(part) for split, part in parts.items()},
        "lesions": {split: part["lesion_id"].nunique() for split, part in parts.items()},
        "counts": {
            split: {code: int((part["label"] == code).sum()) for code in CODES}
            for split, part in parts.items()
        },
        "without_mask": int((~table["has_mask"].astype(bool)).sum()),
    }
    if with_copy:
        counts["copies"] = {
            split: {copy: int((part["copy"] == copy).sum()) for copy in (SHARP, SOFT)}
            for split, part in parts.items()
        }
    return counts


def _left_out(no_file: list[str], outcomes: Iterable[Outcome]) -> dict[str, Any]:
    unreadable = {
        outcome.image_id: outcome.image_problem for outcome in outcomes if outcome.image_problem
    }
    masks = {outcome.image_id: outcome.mask_problem for outcome in outcomes if outcome.mask_problem}
    return {
        "count": len(no_file) + len(unreadable),
        "no_file": no_file,
        "unreadable": unreadable,
        "unreadable_masks": masks,
    }
