"""Text tables: strict parsing of CSV and tab-separated files, and checks of columns and ids."""

import codecs
import csv
import io
from collections.abc import Sequence
from typing import BinaryIO

import pandas as pd

from hf_lesion.errors import InputError, list_offenders

# ISIC tables name the column `image`, the metadata `image_id`.
RENAMED = {"image": "image_id"}
# Spreadsheets write semicolons where the comma is in numbers, and UTF-16 as "Unicode text".
DELIMITERS = ",\t;"
BOMS_OF_16_BITS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def parse_table(stream: BinaryIO, name: str) -> pd.DataFrame:
    """Parse a table with a header line as text.

    Args:
        stream: UTF-8 with or without a byte order mark, or UTF-16 with one; commas, tabs or
            semicolons, any line ends, fields quoted or not. Empty fields at the end of a row may be
            missing or superfluous.
        name: Name of the stream in error messages.

    Returns:
        Text without surrounding spaces, "" where a field is empty, columns in lower case and
        `image` renamed to `image_id`; the index is the line in the stream, from 1.

    Raises:
        InputError: If the stream is empty, not UTF-8, not a table, or has a duplicate column.
    """
    rows = _parse_rows(stream.read(), name)
    if not rows:
        raise InputError(f"{name} is empty. Download it again.")
    header, *lines = rows.values()
    columns = [RENAMED.get(column.lower(), column.lower()) for column in header]
    if duplicates := sorted({column for column in columns if columns.count(column) > 1}):
        raise InputError(
            f"{name} has {len(duplicates)} duplicate columns: {list_offenders(duplicates)} (image "
            "is read as image_id). Keep one of each."
        )
    if not lines:
        raise InputError(f"{name} has a header but no rows. Download it again.")
    long = [f"line {line}" for line, row in rows.items() if len(row) > len(columns)]
    if long:
        raise InputError(
            f"{name} is not a table: {len(long)} rows have more fields than the header, which has "
            f"{len(columns)}: {list_offenders(long)}. Download it again."
        )
    filled = [row + [""] * (len(columns) - len(row)) for row in lines]
    return pd.DataFrame(filled, columns=columns, index=list(rows)[1:], dtype=object)


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
        lines = [f"line {line}" for line in frame.index[frame[column] == ""]]
        if lines:
            raise InputError(
                f"{name} has {len(lines)} rows without {column}: {list_offenders(lines)}."
            )
    counts = frame["image_id"].value_counts()
    duplicates = sorted(counts.index[counts > 1])
    if duplicates:
        raise InputError(
            f"{name} has {len(duplicates)} duplicate image_ids: {list_offenders(duplicates)}. "
            "Keep one row per image."
        )


def _parse_rows(data: bytes, name: str) -> dict[int, list[str]]:
    """Return the non-blank rows, without trailing empty fields, by line number from 1."""
    try:
        text = data.decode("utf-16" if data.startswith(BOMS_OF_16_BITS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name} is not UTF-8 text ({error.reason} in line {line}). Save it as CSV in UTF-8."
        ) from error
    header = text.lstrip("\r\n").partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=header.count), strict=True
    )
    rows = {}
    try:
        for row in reader:
            fields = [field.strip() for field in row]
            while fields and not fields[-1]:
                fields.pop()
            if fields:
                rows[reader.line_num] = fields
    except csv.Error as error:
        raise InputError(
            f"{name} is not a CSV table: {error} in line {reader.line_num}. Save it as CSV."
        ) from error
    return rows
