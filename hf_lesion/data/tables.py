"""Text tables: parsing of CSV and tab-separated files, and checks of columns and ids."""

import io
import re
from collections.abc import Sequence
from typing import BinaryIO

import pandas as pd

from hf_lesion.errors import InputError, list_offenders

# ISIC tables name the column `image`, the metadata `image_id`.
RENAMED = {"image": "image_id"}
# Spreadsheets write semicolons where the comma is in numbers.
DELIMITERS = ",\t;"


def parse_table(stream: BinaryIO, name: str) -> pd.DataFrame:
    """Parse a table with a header line as text.

    Args:
        stream: UTF-8, delimited by commas, tabs or semicolons; fields quoted or not. Empty
            fields at the end of a row may be missing or superfluous.
        name: Name of the stream in error messages.

    Returns:
        Text without surrounding spaces, "" where a field is empty, columns in lower case and
        `image` renamed to `image_id`.

    Raises:
        InputError: If the stream is empty, not UTF-8, or not a table.
    """
    try:
        text = stream.read().decode("utf-8-sig")
        delimiter = max(DELIMITERS, key=text.lstrip().partition("\n")[0].count)
        # Some tables end every row but the header with empty fields.
        text = re.sub(rf"{delimiter}+(?=\r?$)", "", text, flags=re.MULTILINE)
        table = pd.read_csv(io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text. Save it as CSV in UTF-8.") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(f"{name} is not a table: {error}. Download it again.") from error
    # Pandas takes the first columns for an index if all rows have more fields than the header.
    if table.empty or not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{name} has no rows that fit its header. Download it again.")
    table.columns = [
        RENAMED.get(column, column) for column in table.columns.str.strip().str.lower()
    ]
    check_unique(table.columns, f"{name} has", "columns")
    return table.fillna("").astype(object).apply(lambda column: column.str.strip())


def check_columns(frame: pd.DataFrame, required: Sequence[str], name: str) -> None:
    """Raise InputError unless a table has the required columns."""
    missing = [column for column in required if column not in frame]
    if missing:
        raise InputError(
            f"{name} lacks {len(missing)} columns: {list_offenders(missing, len(missing))}. "
            f"Expected {', '.join(required)}; got {list_offenders(list(frame), 10)}."
        )


def check_ids(frame: pd.DataFrame, name: str, filled: Sequence[str]) -> None:
    """Raise InputError if a column of `filled` has empty fields, or an image_id occurs twice."""
    for column in filled:
        rows = list(frame.index[frame[column] == ""] + 1)
        if rows:
            raise InputError(
                f"{name} has {len(rows)} rows without {column}: row {list_offenders(rows)}."
            )
    check_unique(frame["image_id"], f"{name} has", "image_ids")


def check_unique(values: pd.Series | pd.Index, who: str, what: str) -> None:
    """Raise InputError if a value occurs twice; `who` and `what` begin the message."""
    duplicates = sorted(set(values[values.duplicated()]))
    if duplicates:
        raise InputError(
            f"{who} {len(duplicates)} duplicate {what}: {list_offenders(duplicates)}. "
            "Keep one of each."
        )
