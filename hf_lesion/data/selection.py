"""Choosing what of a source goes into a dataset, and into which split."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hf_lesion.data.sources import Source
from hf_lesion.data.splits import (
    OFFICIAL_TEST,
    SPLITS,
    apply_splits,
    choose_subset,
    read_splits,
    split_by_lesion,
)
from hf_lesion.errors import InputError, list_offenders


@dataclass(frozen=True)
class Selection:
    """What of a source is prepared.

    `subset` is as in `choose_subset`, `split_file` a published split to take back instead of
    drawing one, `official_test` adds the official test set as a split of its own, and
    `originals_only` refuses images and masks of the training set that are not the published files.
    """

    subset: str = "all"
    split_file: Path | None = None
    official_test: bool = False
    originals_only: bool = False


EVERYTHING = Selection()


def choose_rows(
    opened: Source, selection: Selection, *, fractions: tuple[float, float, float], seed: int
) -> pd.DataFrame:
    """Return the rows to be prepared, with their split.

    The split is drawn over all of the metadata, also for a subset: an image is in the same split of
    each subset.

    Args:
        opened: The source.
        selection: What of it is prepared.
        fractions: Of the lesions in train, validation and test, where a split is drawn.
        seed: Of the split that is drawn.

    Returns:
        Rows as by `parse_metadata` with the column `split`.

    Raises:
        InputError: If a diagnosis has too few lesions, or the split file or the ground truth of the
            official test set does not fit.
    """
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
            f"{len(both)} images of the official test set are training images as well: "
            f"{list_offenders(both)}. Fetch its ground truth again."
        )
    return pd.concat([rows, official], ignore_index=True)


def training_ids(frame: pd.DataFrame) -> list[str]:
    """Return the image_ids that are not of the official test set."""
    return list(frame.loc[frame["split"] != OFFICIAL_TEST, "image_id"])


def describe_split(
    selection: Selection, *, fractions: tuple[float, float, float], seed: int
) -> dict[str, Any]:
    """Return what the record tells about the split: how it was drawn, or where it is from."""
    drawn = selection.split_file is None
    return {
        "seed": seed if drawn else None,
        "fractions": dict(zip(SPLITS, fractions, strict=True)) if drawn else None,
        "split_file": None if drawn else str(selection.split_file),
        "subset": selection.subset,
    }
