"""Reading HAM10000_metadata.csv into a checked frame.

Source of the columns: Tschandl, Rosendahl, Kittler, doi:10.7910/DVN/DBW86T, which gives the file as
it was uploaded, or with tabs as HAM10000_metadata.tab; the copy on Kaggle has no `dataset` column.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from hf_lesion.errors import InputError, list_offenders
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
OPTIONAL_COLUMNS = ("dataset",)
NO_AGE = ("", "nan", "na", "none", "unknown")
HEADER_LINES = 1


def read_metadata(path: Path) -> pd.DataFrame:
    """Read and check the metadata file `path`; see `parse_metadata`.

    Raises:
        InputError: If the file is not there, or as `parse_metadata` raises.
    """
    if not path.is_file():
        raise InputError(
            f"{path} is not there. "
            f"Pass the folder that holds {METADATA_FILE} and the image folders."
        )
    with path.open("rb") as stream:
        return parse_metadata(stream, name=str(path))


def parse_metadata(stream: BinaryIO, *, name: str = METADATA_FILE) -> pd.DataFrame:
    """Parse and check metadata in the form of HAM10000.

    Args:
        stream: CSV bytes in UTF-8 with a header line; commas or tabs.
        name: What to call the stream in errors.

    Returns:
        One row per image, in the order of the stream, with the columns `METADATA_COLUMNS`: text,
        None where the field is empty; `age` in years as float, NaN where unknown. A `dataset`
        column that the stream lacks is all None.

    Raises:
        InputError: If the stream is empty, is not UTF-8, is not a table, lacks a column, an id or a
            readable age, names an image twice, has an unknown diagnosis, or gives one lesion two.
    """
    return convert_table(parse_table(stream, name), name=name)


def convert_table(table: pd.DataFrame, *, name: str, lesions_known: bool = True) -> pd.DataFrame:
    """Check a table of text and return it as `parse_metadata` does.

    Args:
        table: Text, "" where a field is empty.
        name: What to call the table in errors.
        lesions_known: Refuse rows without lesion_id.

    Raises:
        InputError: As `parse_metadata` raises.
    """
    required = [column for column in METADATA_COLUMNS if column not in OPTIONAL_COLUMNS]
    check_columns(table, required, name)
    frame = table.reindex(columns=list(METADATA_COLUMNS), fill_value="")
    check_ids(frame, name, ("image_id", "lesion_id") if lesions_known else ("image_id",))
    _check_diagnoses(frame, name)
    ages = _convert_ages(frame, name)
    frame = frame.astype(object).mask(frame == "", None)
    frame["age"] = ages
    return frame


def parse_table(stream: BinaryIO, name: str) -> pd.DataFrame:
    """Parse a table of commas or tabs with a header line as text, "" where a field is empty.

    Raises:
        InputError: If the stream is empty, is not UTF-8 or is not a table.
    """
    data = stream.read()
    try:
        text = data.decode("utf-8-sig")
        separator = "\t" if "\t" in text.partition("\n")[0] else ","
        frame = pd.read_csv(
            io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False
        )
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name} is not UTF-8 text ({error.reason} in line {line}). Save it as CSV in UTF-8."
        ) from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{name} is empty. Fetch it again.") from error
    except pd.errors.ParserError as error:
        raise InputError(f"{name} is not a CSV table: {error}.") from error
    if frame.empty:
        raise InputError(f"{name} has a header but no rows. Fetch it again.")
    # A row shorter than the header is filled with NaN even so: treat it as empty fields.
    return frame.fillna("")


def check_columns(frame: pd.DataFrame, required: Sequence[str], name: str) -> None:
    """Check that a table has its columns.

    Raises:
        InputError: If one is missing.
    """
    missing = [column for column in required if column not in frame]
    if missing:
        raise InputError(
            f"{name} lacks {len(missing)} columns: {list_offenders(missing, len(missing))}. "
            f"Expected {', '.join(required)}; came {list_offenders(list(frame), len(required))}."
        )


def check_ids(frame: pd.DataFrame, name: str, filled: Sequence[str]) -> None:
    """Check that the columns `filled` have no empty field and no image_id comes twice.

    Raises:
        InputError: If a field is empty or an image_id comes twice.
    """
    for column in filled:
        empty = frame.index[frame[column] == ""]
        if len(empty):
            lines = [f"line {row + HEADER_LINES + 1}" for row in empty]
            raise InputError(
                f"{name} has {len(empty)} rows without {column}: {list_offenders(lines)}."
            )
    counts = frame["image_id"].value_counts()
    twice = sorted(counts.index[counts > 1])
    if twice:
        raise InputError(
            f"{name} names {len(twice)} image_ids more than once: {list_offenders(twice)}. "
            "Keep one row per image."
        )


def _check_diagnoses(frame: pd.DataFrame, name: str) -> None:
    unknown = sorted(set(frame["dx"]) - set(CODES))
    if unknown:
        raise InputError(
            f"{name} has {len(unknown)} unknown dx: {list_offenders(_quoted(unknown))}. "
            f"Expected one of {', '.join(CODES)}."
        )
    diagnoses = frame[frame["lesion_id"] != ""].groupby("lesion_id")["dx"].unique()
    torn = [
        f"{lesion} ({', '.join(sorted(found))})"
        for lesion, found in diagnoses.items()
        if len(found) > 1
    ]
    if torn:
        raise InputError(
            f"{name} gives {len(torn)} lesions more than one dx: {list_offenders(torn)}. "
            "One lesion has one diagnosis: correct dx or lesion_id."
        )


def _convert_ages(frame: pd.DataFrame, name: str) -> pd.Series:
    known = ~frame["age"].str.lower().isin(NO_AGE)
    ages = pd.to_numeric(frame["age"].where(known), errors="coerce").astype(float)
    wrong = sorted(set(frame["age"][known & ~(ages >= 0)]))
    if wrong:
        raise InputError(
            f"{name} has {len(wrong)} values of age that are no number of years: "
            f"{list_offenders(_quoted(wrong))}. Leave the field empty where the age is unknown."
        )
    return ages


def _quoted(values: Sequence[str]) -> list[str]:
    return [f"'{value}'" for value in values]
