"""Reading the tables of the ISIC 2018 challenge, Task 3, as frames of HAM10000 metadata.

Source of the forms: https://challenge.isic-archive.com/data/#2018 (one column per diagnosis, and
the lesion groupings); the ground truth of the test set on Dataverse, doi:10.7910/DVN/DBW86T, has
the columns of the metadata.
"""

from collections.abc import Sequence
from typing import BinaryIO

import pandas as pd

from hf_lesion.data.metadata import (
    METADATA_COLUMNS,
    check_columns,
    check_ids,
    convert_table,
    parse_table,
)
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.labels import CODES

IMAGE_COLUMN = "image"
GROUPING_COLUMNS = ("image", "lesion_id", "diagnosis_confirm_type")
# How the challenge words what the metadata's dx_type says.
DX_TYPES = {
    "histopathology": "histo",
    "serial imaging showing no change": "follow_up",
    "single image expert consensus": "consensus",
    "confocal microscopy with consensus dermoscopy": "confocal",
}
# A synthetic image that the challenge does not score (isic-challenge-scoring excludes it); its row
# is in the ground truth, its file is not in the archive on Dataverse.
UNSCORED = ("ISIC_0035068",)


def parse_training(truth: BinaryIO, groupings: BinaryIO, *, names: tuple[str, str]) -> pd.DataFrame:
    """Parse the training ground truth and lesion groupings into a frame like the metadata's.

    Args:
        truth: CSV bytes with `image` and a column of 0 and 1 per diagnosis.
        groupings: CSV bytes with `image`, `lesion_id` and `diagnosis_confirm_type`.
        names: What to call the two in errors.

    Returns:
        As `parse_metadata`; age, sex, localization and dataset are not told.

    Raises:
        InputError: If a table is wrong, or one has images that the other lacks.
    """
    diagnoses = _parse_one_hot(parse_table(truth, names[0]), names[0])
    lesions = _parse_groupings(parse_table(groupings, names[1]), names[1])
    for one, other, name in ((diagnoses, lesions, names[1]), (lesions, diagnoses, names[0])):
        absent = sorted(set(one.index) - set(other.index))
        if absent:
            raise InputError(
                f"{len(absent)} images have no row in {name}: {list_offenders(absent)}. "
                "Fetch both tables again from https://challenge.isic-archive.com/data/#2018."
            )
    frame = lesions.assign(dx=diagnoses).rename_axis("image_id").reset_index()
    return _complete(frame, name=f"{names[0]} with {names[1]}")


def parse_official_test(stream: BinaryIO, *, name: str) -> pd.DataFrame:
    """Parse the ground truth of the official test set, in either of its two forms.

    Args:
        stream: CSV bytes with the columns of the metadata (as on Dataverse; a lesion_id may be
            empty), or with `image` and a column per diagnosis (as the challenge gives it).
        name: What to call the stream in errors.

    Returns:
        As `parse_metadata`, without the images in `UNSCORED`; `lesion_id` is None where unknown.

    Raises:
        InputError: If the table is wrong.
    """
    table = parse_table(stream, name)
    if IMAGE_COLUMN in table:
        diagnoses = _parse_one_hot(table, name).rename("dx").rename_axis("image_id")
        frame = _complete(diagnoses.reset_index(), name=name, lesions_known=False)
    else:
        frame = convert_table(table, name=name, lesions_known=False)
    return frame[~frame["image_id"].isin(UNSCORED)].reset_index(drop=True)


def _parse_one_hot(table: pd.DataFrame, name: str) -> pd.Series:
    """Return the dx by image."""
    columns = {code.upper(): code for code in CODES}
    values = _index_by_image(table, name, [IMAGE_COLUMN, *columns])
    numbers = values.rename(columns=columns)[list(CODES)].apply(pd.to_numeric, errors="coerce")
    wrong = numbers.index[~numbers.isin([0, 1]).all(axis=1) | (numbers.sum(axis=1) != 1)]
    if len(wrong):
        raise InputError(
            f"{name} gives {len(wrong)} images other than one diagnosis: {list_offenders(wrong)}. "
            "Expected 1 in one column and 0 in the others."
        )
    return numbers.idxmax(axis=1)


def _parse_groupings(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return lesion_id and dx_type by image."""
    lesions = _index_by_image(table, name, GROUPING_COLUMNS)
    words = lesions["diagnosis_confirm_type"]
    return pd.DataFrame(
        {"lesion_id": lesions["lesion_id"], "dx_type": words.map(DX_TYPES).fillna(words)}
    )


def _index_by_image(table: pd.DataFrame, name: str, columns: Sequence[str]) -> pd.DataFrame:
    check_columns(table, columns, name)
    table = table.rename(columns={IMAGE_COLUMN: "image_id"})
    check_ids(table, name, ("image_id",))
    return table.set_index("image_id")


def _complete(frame: pd.DataFrame, *, name: str, lesions_known: bool = True) -> pd.DataFrame:
    """Return the frame with all of the metadata's columns, checked like the metadata."""
    table = frame.reindex(columns=list(METADATA_COLUMNS), fill_value="")
    return convert_table(table, name=name, lesions_known=lesions_known)
