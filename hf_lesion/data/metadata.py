"""Metadata and ground truth tables of HAM10000 and the ISIC 2018 challenge, read and validated.

Sources of the formats: HAM10000_metadata and the test ground truth on Dataverse,
doi:10.7910/DVN/DBW86T, as uploaded (commas) or converted (tabs; the copy on Kaggle has no `dataset`
column); the tables of the challenge, with one column per diagnosis, and its lesion groupings, at
https://challenge.isic-archive.com/data/#2018.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from hf_lesion.data.tables import check_columns, check_ids, parse_table
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.decoding import IMAGE_SUFFIXES
from hf_lesion.labels import CODES

METADATA_FILE = "HAM10000_metadata.csv"
METADATA_COLUMNS = (
    "lesion_id",
    "image_id",
    "dx",
    "dx_type",
    "age",
    "sex",
    "localization",
    "dataset",
)
REQUIRED_COLUMNS = METADATA_COLUMNS[:-1]  # the copy on Kaggle lacks `dataset`
# Some tables give the names of the files.
ENDING = re.compile("|".join(map(r"{}$".format, map(re.escape, IMAGE_SUFFIXES))), re.IGNORECASE)
# Columns of the ISIC 2018 Task 3 ground truth, in its order, and the dx of each.
ISIC_COLUMNS = {code.upper(): code for code in ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")}
GROUPING_COLUMNS = ("image_id", "lesion_id", "diagnosis_confirm_type")
FORMS = f"Pass image_id and dx, or image and one column each for {', '.join(ISIC_COLUMNS)}."
# dx_type for each diagnosis_confirm_type of the challenge.
DX_TYPES = {
    "histopathology": "histo",
    "serial imaging showing no change": "follow_up",
    "single image expert consensus": "consensus",
    "confocal microscopy with consensus dermoscopy": "confocal",
}
# A synthetic image that isic-challenge-scoring excludes. It has a row in the ground truth but no
# file in the archive on Dataverse.
UNSCORED = ("ISIC_0035068",)


def parse_metadata(stream: BinaryIO, *, name: str = METADATA_FILE) -> pd.DataFrame:
    """Parse and validate metadata in the format of HAM10000.

    Args:
        stream: As for `parse_table`.
        name: Name of the stream in error messages.

    Returns:
        One row per image, in the order of the stream, with the columns `METADATA_COLUMNS`: text,
        None where the field is empty; `dx` in lower case, `image_id` without a file's ending, `age`
        in years as float, NaN where it is not a number. `dataset` is None if the stream lacks it;
        other columns are ignored.

    Raises:
        InputError: If the stream is not a table, lacks a column or an id, names an image twice, has
            an unknown diagnosis, or gives one lesion two.
    """
    table = parse_table(stream, name)
    check_columns(table, REQUIRED_COLUMNS, name)
    return _convert(table, name, filled=("image_id", "lesion_id"))


def read_ground_truth(path: Path) -> pd.DataFrame:
    """Read the ground truth file `path`; see `parse_ground_truth`."""
    with path.open("rb") as stream:
        return parse_ground_truth(stream, name=str(path))


def parse_ground_truth(stream: BinaryIO, *, name: str) -> pd.DataFrame:
    """Parse ground truth in the format of the metadata or of the challenge.

    Args:
        stream: As for `parse_table`, with `image_id` (or `image`) and either `dx` or a column of 0
            and 1 per diagnosis. The other columns of the metadata are optional, and fields of
            `lesion_id` may be empty.
        name: Name of the stream in error messages.

    Returns:
        As `parse_metadata`; missing columns are filled with None.
    """
    table = parse_table(stream, name)
    if "dx" in table:
        check_columns(table, ("image_id",), name)
    else:
        table = table.assign(dx=_read_one_hot(table, name))
    return _convert(table, name, filled=("image_id",))


def drop_unscored(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the ground truth without unscored images, and the image_ids of the latter."""
    unscored = frame["image_id"].isin(UNSCORED)
    return frame[~unscored].reset_index(drop=True), list(frame["image_id"][unscored])


def parse_training(truth: BinaryIO, groupings: BinaryIO, *, names: tuple[str, str]) -> pd.DataFrame:
    """Parse the training ground truth and lesion groupings of the challenge.

    The first stream is as for `parse_ground_truth`; the second has the columns `image`, `lesion_id`
    and `diagnosis_confirm_type`. `names` are those of the streams in error messages.

    Returns:
        As `parse_metadata`; age, sex, localization and dataset are unknown.
    """
    diagnoses = parse_ground_truth(truth, name=names[0]).set_index("image_id")["dx"]
    lesions = _parse_groupings(groupings, names[1]).set_index("image_id")
    for one, other, name in ((diagnoses, lesions, names[1]), (lesions, diagnoses, names[0])):
        absent = sorted(set(one.index) - set(other.index))
        if absent:
            raise InputError(
                f"{len(absent)} images have no row in {name}: {list_offenders(absent)}. "
                "Fetch both tables again from https://challenge.isic-archive.com/data/#2018."
            )
    both = f"{names[0]} with {names[1]}"
    return _convert(lesions.assign(dx=diagnoses).reset_index(), both, filled=("image_id",))


def _convert(table: pd.DataFrame, name: str, *, filled: Sequence[str]) -> pd.DataFrame:
    """Validate a text table ("" where a field is empty); return it as `parse_metadata` does."""
    frame = table.reindex(columns=list(METADATA_COLUMNS), fill_value="")
    frame["image_id"] = frame["image_id"].str.replace(ENDING, "", regex=True)
    frame["dx"] = frame["dx"].str.lower()
    check_ids(frame, name, filled)
    _check_diagnoses(frame, name)
    ages = _parse_numbers(frame["age"]).astype(float)
    return frame.astype(object).mask(frame == "", None).assign(age=ages)


def _read_one_hot(table: pd.DataFrame, name: str) -> pd.Series:
    """Return the dx of each row of a table with a column of 0 and 1 per diagnosis."""
    if not {*ISIC_COLUMNS.values()} & {*table}:
        raise InputError(
            f"{name} has no diagnoses: its columns are {list_offenders(list(table), 10)}. {FORMS}"
        )
    check_columns(table, ("image_id", *ISIC_COLUMNS.values()), name)
    values = table[list(ISIC_COLUMNS.values())].apply(_parse_numbers)
    wrong = ~values.isin([0, 1]).all(axis=1) | (values.sum(axis=1) != 1)
    if wrong.any():
        raise InputError(
            f"{name} has {wrong.sum()} images without exactly one diagnosis: "
            f"{list_offenders(list(table['image_id'][wrong]))}. Expected 1 in one column and 0 in "
            "the others."
        )
    return values.idxmax(axis=1)


def _parse_groupings(stream: BinaryIO, name: str) -> pd.DataFrame:
    """Return image_id, lesion_id and dx_type."""
    table = parse_table(stream, name)
    check_columns(table, GROUPING_COLUMNS, name)
    check_ids(table, name, ("image_id", "lesion_id"))
    words = table["diagnosis_confirm_type"]
    return table[["image_id", "lesion_id"]].assign(dx_type=words.map(DX_TYPES).fillna(words))


def _check_diagnoses(frame: pd.DataFrame, name: str) -> None:
    unknown = sorted(set(frame["dx"]) - set(CODES))
    if unknown:
        raise InputError(
            f"{name} has {len(unknown)} unknown values of dx: {list_offenders(unknown)}. "
            f"Expected one of {', '.join(CODES)}."
        )
    diagnoses = frame[frame["lesion_id"] != ""].groupby("lesion_id")["dx"].unique()
    conflicting = [
        f"{lesion} ({', '.join(sorted(found))})"
        for lesion, found in diagnoses.items()
        if len(found) > 1
    ]
    if conflicting:
        raise InputError(
            f"{name} has {len(conflicting)} lesions with more than one dx: "
            f"{list_offenders(conflicting)}. Correct dx or lesion_id: a lesion has one diagnosis."
        )


def _parse_numbers(column: pd.Series) -> pd.Series:
    """Return numbers with a decimal point or comma; NaN for what is neither."""
    return pd.to_numeric(column.str.replace(",", "."), errors="coerce")
