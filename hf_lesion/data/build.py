"""Preparation of HAM10000, in any of its layouts, as a Parquet dataset that is split by lesion.

The output folder is what `datasets.load_dataset` reads: `data/<split>-0000i-of-0000n.parquet` and a
README.md that names them; next to them are `splits.csv` and the record `prepared.json`.
"""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from hf_lesion.data.card import build_card
from hf_lesion.data.checksums import check_originals
from hf_lesion.data.framing import Framing
from hf_lesion.data.images import MASK_ENDING
from hf_lesion.data.metadata import UNSCORED
from hf_lesion.data.record import (
    RECORD_FILE,
    SPLITS_FILE,
    count_images,
    describe_images,
    fingerprint,
    hash_lines,
    list_left_out,
    read_fingerprint,
)
from hf_lesion.data.selection import (
    EVERYTHING,
    Selection,
    choose_rows,
    describe_split,
    training_ids,
)
from hf_lesion.data.shards import Item, Outcome, write_split
from hf_lesion.data.sources import Source, open_source
from hf_lesion.data.splits import FRACTIONS, check_options, check_splits, name_splits
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.files import whole_folder, write_json, write_text
from hf_lesion.io.provenance import provenance

AS_THEY_ARE = Framing()


def prepare(
    source: Path,
    output: Path,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    allow_missing: bool = False,
    overwrite: bool = False,
    selection: Selection = EVERYTHING,
    framing: Framing = AS_THEY_ARE,
) -> dict[str, Any]:
    """Write the dataset in `source` as Parquet to `output`, whole or not at all.

    The split is drawn over all of the metadata, before a subset is chosen and images are left out:
    neither moves any other image to another split. Rows are in the order of image_id. By default
    image files are stored byte for byte, and so are masks, palette PNGs among them (`mask` is
    decoded to grey levels on reading).

    Args:
        source: Folder or zip archive in one of the layouts of `hf_lesion.data.sources`.
        output: The folder to make.
        seed: Of the split.
        fractions: Of the lesions in train, validation and test.
        allow_missing: Leave out images that are missing or broken or have no row, instead of
            raising.
        overwrite: Replace a dataset that was prepared before.
        selection: What of the source is prepared.
        framing: How images are stored.

    Returns:
        The record that is also in `prepared.json`: "fingerprint" (of images, labels and splits),
        "content" (a hash of all columns), what `describe_images`, `count_images` and
        `describe_split` return, "framing" (None where files are stored byte for byte), "left_out",
        "source", "provenance".

    Raises:
        InputError: If the metadata is wrong, files are missing or broken, a diagnosis has too few
            lesions, or `output` is in the way.
    """
    check_options(fractions=fractions, seed=seed)
    check_output(source, output, overwrite=overwrite)
    with open_source(source) as opened:
        frame = choose_rows(opened, selection, fractions=fractions, seed=seed)
        items, no_file = _find_items(frame, opened)
        no_row = opened.find_images_without_row({*opened.frame["image_id"], *frame["image_id"]})
        unscored = list(UNSCORED) if selection.official_test else []
        if not allow_missing:
            _check_complete(no_file, no_row, source)
        if selection.originals_only:
            check_originals(opened.choose_pictures(sorted(training_ids(frame))))
        with whole_folder(output, overwrite=overwrite) as folder:
            outcomes = _write_shards(frame, items, folder / "data", framing)
            _check_outcomes(outcomes, allow_missing=allow_missing)
            table = _build_table(frame, outcomes)
            check_splits(table, name_splits(frame["split"]))
            record = {
                "fingerprint": fingerprint(table),
                "content": hash_lines(table[["image_id", "split", "row_sha256"]]),
                **describe_images(table),
                **count_images(table),
                "framing": framing.describe(),
                "left_out": list_left_out(no_file, no_row, outcomes, unscored=unscored),
                **describe_split(selection, fractions=fractions, seed=seed),
                "source": str(source),
                "provenance": provenance(),
            }
            _write_record(folder, table, record)
    return record


def check_output(source: Path | None, output: Path, *, overwrite: bool) -> None:
    """Check that `output` can be made: before anything is fetched or read.

    Args:
        source: What is prepared; None where it is yet to be fetched.
        output: The folder to make.
        overwrite: Replace a dataset that was prepared before.

    Raises:
        InputError: If it holds the source, exists and is not to be replaced, or was not prepared
            before.
    """
    if source is not None and source.resolve().is_relative_to(output.resolve()):
        raise InputError(f"{output} holds the source {source}. Pass another --output.")
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not overwrite:  # as `whole_folder` says, but that is asked only after hours of download
        raise InputError(
            f"{output} already exists. Pass --overwrite to replace it, or another --output."
        )
    if output.is_dir():
        try:
            read_fingerprint(output)
        except InputError as error:
            raise InputError(
                f"{output} is there and was not written by prepare_data.py, so --overwrite does "
                "not replace it. Remove it yourself, or pass another --output."
            ) from error


def _find_items(frame: pd.DataFrame, opened: Source) -> tuple[dict[str, Item], list[str]]:
    """Return the items by image_id, in that order, and the image_ids that have no file."""
    ids = sorted(frame["image_id"])
    pictures = opened.choose_pictures(ids)
    metadata = {row["image_id"]: row for row in frame.to_dict("records")}
    items, no_file = {}, []
    for image_id in ids:
        file, mask = pictures.get(image_id), pictures.get(image_id + MASK_ENDING)
        if file is None:
            no_file.append(image_id)
        else:
            items[image_id] = Item(metadata[image_id], file, mask)
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
    frame: pd.DataFrame, items: dict[str, Item], folder: Path, framing: Framing
) -> list[Outcome]:
    """Write the shards of all splits; return the outcomes without their rows' bytes."""
    folder.mkdir()
    split_of = dict(zip(frame["image_id"], frame["split"], strict=True))
    light = []
    # No bar where nobody watches: a log keeps only the error line.
    with tqdm(total=len(items), desc="Preparing", unit="image", disable=None) as bar:
        for split in name_splits(frame["split"]):
            part = [item for image_id, item in items.items() if split_of[image_id] == split]
            outcomes = write_split(folder, split, part, framing=framing, advance=bar.update)
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


def _build_table(frame: pd.DataFrame, outcomes: Iterable[Outcome]) -> pd.DataFrame:
    """Return one row per written image, in the order of image_id."""
    written = pd.DataFrame([outcome for outcome in outcomes if outcome.sha256 is not None])
    if written.empty:
        written = pd.DataFrame(columns=[field.name for field in fields(Outcome)])
    table = frame.merge(written, on="image_id", validate="one_to_one")
    return table.rename(columns={"dx": "label"}).sort_values("image_id", ignore_index=True)


def _write_record(folder: Path, table: pd.DataFrame, record: dict[str, Any]) -> None:
    columns = ["image_id", "lesion_id", "label", "split"]
    write_text(folder / SPLITS_FILE, table[columns].to_csv(index=False, lineterminator="\n"))
    write_text(folder / "README.md", build_card(record))
    write_json(folder / RECORD_FILE, record)
