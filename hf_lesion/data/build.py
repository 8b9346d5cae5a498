"""Dataset preparation: HAM10000 in any of its layouts as a Parquet dataset that is split by lesion.

`datasets.load_dataset` reads the output folder: `data/<split>-0000i-of-0000n.parquet` and a
README.md that lists them. The folder also contains `splits.csv` and the record `prepared.json`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from hf_lesion.data.card import build_card
from hf_lesion.data.checksums import check_originals
from hf_lesion.data.metadata import UNSCORED
from hf_lesion.data.record import (
    RECORD_FILE,
    SPLITS_FILE,
    count_images,
    describe_images,
    fingerprint,
    hash_lines,
    read_fingerprint,
)
from hf_lesion.data.resizing import Resize
from hf_lesion.data.shards import Item, Outcome, write_split
from hf_lesion.data.sources import MASK_ENDING, Source, open_source
from hf_lesion.data.splits import (
    FRACTIONS,
    OFFICIAL_TEST,
    SPLITS,
    apply_splits,
    check_options,
    check_splits,
    choose_subset,
    name_splits,
    read_splits,
    split_by_lesion,
)
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.files import whole_folder, write_json, write_text
from hf_lesion.io.provenance import provenance

UNCHANGED = Resize()


@dataclass(frozen=True)
class Selection:
    """Images of a source to prepare."""

    subset: str = "all"  # one of `hf_lesion.data.splits.SUBSETS`
    split_file: Path | None = None  # a published split to reuse instead of drawing one
    official_test: bool = False  # add the official test set as a fourth split
    originals_only: bool = False  # reject training files that differ from the published ones


EVERYTHING = Selection()


def prepare(
    source: Path,
    output: Path,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    allow_missing: bool = False,
    overwrite: bool = False,
    selection: Selection = EVERYTHING,
    resize: Resize = UNCHANGED,
) -> dict[str, Any]:
    """Write the dataset in `source` as Parquet to `output`, atomically.

    The split is drawn over all of the metadata, before a subset is chosen and images are left out,
    so that neither moves an image to another split. Rows are sorted by image_id. By default image
    and mask files are stored unchanged, including palette PNGs (`mask` is decoded to grey levels on
    reading). With `allow_missing`, images are left out that are missing, damaged or not in the
    metadata. `fractions` are of the lesions in train, validation and test.

    Returns:
        The content of `prepared.json`; "fingerprint" covers images, labels and splits, "content"
        all columns.

    Raises:
        InputError: If the metadata is invalid, files are missing or damaged, a diagnosis has too
            few lesions, or `output` already exists.
    """
    check_options(fractions=fractions, seed=seed)
    check_output(source, output, overwrite=overwrite)
    with open_source(source) as opened:
        frame = _choose_rows(opened, selection, fractions=fractions, seed=seed)
        items, no_file = _find_items(frame, opened)
        no_row = opened.find_images_without_row({*opened.frame["image_id"], *frame["image_id"]})
        unscored = list(UNSCORED) if selection.official_test else []
        if not allow_missing:
            _check_complete(no_file, no_row, source)
        if selection.originals_only:
            training = frame.loc[frame["split"] != OFFICIAL_TEST, "image_id"]
            check_originals(opened.choose_files(sorted(training)))
        with whole_folder(output, overwrite=overwrite) as folder:
            outcomes = _write_shards(items, folder / "data", resize)
            _check_outcomes(outcomes, allow_missing=allow_missing)
            table = _build_table(frame, outcomes)
            check_splits(table, name_splits(frame["split"]))
            record = {
                "fingerprint": fingerprint(table),
                "content": hash_lines(table[["image_id", "split", "row_sha256"]]),
                **describe_images(table),
                **count_images(table),
                "framing": resize.describe(),
                "left_out": _list_left_out(no_file, no_row, outcomes, unscored=unscored),
                **_describe_split(selection, fractions=fractions, seed=seed),
                "source": str(source),
                "provenance": provenance(),
            }
            _write_record(folder, table, record)
    return record


def check_output(source: Path | None, output: Path, *, overwrite: bool) -> None:
    """Raise InputError if `output` can't be written, before anything is downloaded or read.

    It must not contain the source, which is None until it is downloaded, and only a prepared
    dataset is overwritten.
    """
    if source is not None and source.resolve().is_relative_to(output.resolve()):
        raise InputError(f"{output} contains the source {source}. Pass another --output.")
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not overwrite:  # as in `whole_folder`, but before hours of download
        raise InputError(
            f"{output} already exists. Pass --overwrite to replace it, or another --output."
        )
    if output.is_dir():
        try:
            read_fingerprint(output)
        except InputError as error:
            raise InputError(
                f"{output} already exists and was not written by prepare_data.py, so --overwrite "
                "does not replace it. Remove it, or pass another --output."
            ) from error


def _choose_rows(
    opened: Source, selection: Selection, *, fractions: tuple[float, float, float], seed: int
) -> pd.DataFrame:
    """Return the metadata of the images to prepare, with the column `split`."""
    rows = choose_subset(opened.frame, selection.subset)
    if selection.split_file is None:
        splits = split_by_lesion(opened.frame, fractions=fractions, seed=seed).loc[rows.index]
    else:
        name = str(selection.split_file)
        splits = apply_splits(rows, read_splits(selection.split_file), name=name)
    rows = rows.assign(split=splits)
    if not selection.official_test:
        return rows
    official = opened.read_official_test().assign(split=OFFICIAL_TEST)
    both = sorted({*official["image_id"]} & {*opened.frame["image_id"]})
    if both:
        raise InputError(
            f"{len(both)} images of the official test set are also training images: "
            f"{list_offenders(both)}. Download its ground truth again."
        )
    return pd.concat([rows, official], ignore_index=True)


def _describe_split(
    selection: Selection, *, fractions: tuple[float, float, float], seed: int
) -> dict[str, Any]:
    """Return how the split was drawn, or the file it was read from."""
    drawn = selection.split_file is None
    return {
        "seed": seed if drawn else None,
        "fractions": dict(zip(SPLITS, fractions, strict=True)) if drawn else None,
        "split_file": None if drawn else str(selection.split_file),
        "subset": selection.subset,
    }


def _find_items(frame: pd.DataFrame, opened: Source) -> tuple[list[Item], list[str]]:
    """Return the items by sorted image_id, and the image_ids without file."""
    files = opened.choose_files(frame["image_id"])
    items, no_file = [], []
    for row in frame.sort_values("image_id").to_dict("records"):
        file, mask = (files.get(row["image_id"] + ending) for ending in ("", MASK_ENDING))
        if file is None:
            no_file.append(row["image_id"])
        else:
            items.append(Item(row, file, mask))
    return items, no_file


def _check_complete(no_file: list[str], no_row: list[str], source: Path) -> None:
    if no_file:
        raise InputError(
            f"{len(no_file)} image_ids have no file under {source}: {list_offenders(no_file)}. "
            "Pass the folder that contains both image parts, or --allow_missing to leave them out."
        )
    if no_row:
        raise InputError(
            f"{len(no_row)} images under {source} are not in the metadata: "
            f"{list_offenders(no_row)}. Add their rows, or pass --allow_missing to leave them out."
        )


def _write_shards(items: list[Item], folder: Path, resize: Resize) -> list[Outcome]:
    """Write the shards of all splits; return the outcomes without the bytes of their rows."""
    folder.mkdir()
    light = []
    with tqdm(total=len(items), desc="Preparing", unit="image", disable=None) as bar:
        for split in (*SPLITS, OFFICIAL_TEST):
            part = [item for item in items if item.metadata["split"] == split]
            if part or split in SPLITS:
                outcomes = write_split(folder, split, part, resize=resize, advance=bar.update)
                light += [replace(outcome, row=None) for outcome in outcomes]
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
            f"{len(problems)} files cannot be read: {list_offenders(problems)}. "
            "Download them again, or pass --allow_missing to leave them out."
        )


def _list_left_out(
    no_file: list[str], no_row: list[str], outcomes: list[Outcome], *, unscored: list[str]
) -> dict[str, Any]:
    """Return the images that were left out, with reasons; "count" is that of metadata rows."""
    unreadable = {one.image_id: one.image_problem for one in outcomes if one.image_problem}
    return {
        "count": len(no_file) + len(unreadable),
        "no_file": no_file,
        "unreadable": unreadable,
        "unreadable_masks": {
            one.image_id: one.mask_problem for one in outcomes if one.mask_problem
        },
        "no_row": no_row,
        "unscored": unscored,
    }


def _build_table(frame: pd.DataFrame, outcomes: Iterable[Outcome]) -> pd.DataFrame:
    """Return one row per written image, sorted by image_id."""
    written = [vars(outcome) for outcome in outcomes if outcome.sha256 is not None]
    columns = [field.name for field in fields(Outcome)]
    table = frame.merge(pd.DataFrame(written, columns=columns), on="image_id", validate="1:1")
    return table.rename(columns={"dx": "label"}).sort_values("image_id", ignore_index=True)


def _write_record(folder: Path, table: pd.DataFrame, record: dict[str, Any]) -> None:
    columns = ["image_id", "lesion_id", "label", "split"]
    write_text(folder / SPLITS_FILE, table[columns].to_csv(index=False, lineterminator="\n"))
    write_text(folder / "README.md", build_card(record))
    write_json(folder / RECORD_FILE, record)
