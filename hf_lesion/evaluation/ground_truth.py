"""Ground truth of a folder of images: a CSV of diagnoses, as the ISIC or HAM10000 writes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.labels import CODES

# The ISIC names the same seven classes in capitals, in this order (ISIC 2018, Task 3).
ISIC_COLUMNS = {code.upper(): code for code in ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")}
# What HAM10000's own metadata and the ISIC's later tables add, for the subgroups. The
# weights that older ISIC tables carry are refused, since ignoring them would change the score.
EXTRA_COLUMNS = frozenset({"lesion_id", "dx_type", "age", "sex", "localization", "dataset"})


def read_ground_truth(path: Path) -> pd.DataFrame:
    """Read a ground-truth CSV; see `parse_ground_truth`."""
    if not path.is_file():
        raise InputError(f"There is no file {path}. Pass the CSV of the images' diagnoses.")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return parse_ground_truth(stream, source=str(path))


def parse_ground_truth(stream: TextIO, *, source: str) -> pd.DataFrame:
    """Parse diagnoses, either one-hot (`image,MEL,NV,…`) as the ISIC's, or `image_id,dx`.

    Args:
        stream: CSV text. `lesion_id` and the other columns of HAM10000's metadata may be there.
        source: Its name, for messages.

    Returns:
        Columns image_id, dx (one of `CODES`) and those of `EXTRA_COLUMNS` that are there, all text.

    Raises:
        InputError: If a column is missing or unknown, a row has no or no single diagnosis, or an
            image is named twice.
    """
    try:
        table = pd.read_csv(stream, dtype=str, na_filter=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{source} can't be read as CSV: {error}. Save it as CSV.") from error
    if "image_id" not in table:
        table = table.rename(columns={"image": "image_id"})
    is_one_hot = "dx" not in table
    _check_header(table, tuple(ISIC_COLUMNS) if is_one_hot else ("dx",), source)
    truth = table[["image_id"]].assign(dx=_one_hot(table, source) if is_one_hot else table["dx"])
    if "lesion_id" in table:
        truth["lesion_id"] = table["lesion_id"]
    _check_truth(truth, source)
    # Unlike the others, what describes a patient may be missing.
    described = [name for name in table if name in EXTRA_COLUMNS - {"lesion_id"}]
    return truth.join(table[described])


def _check_header(table: pd.DataFrame, diagnosis: Sequence[str], source: str) -> None:
    wanted = ("image_id", *diagnosis)
    missing = [name for name in wanted if name not in table]
    unknown = [name for name in table if name not in wanted and name not in EXTRA_COLUMNS]
    if missing or unknown:
        complaints = [
            f"{what}: {list_offenders(names)}"
            for what, names in (("missing", missing), ("unknown", unknown))
            if names
        ]
        raise InputError(
            f"{source} has other columns than expected ({'; '.join(complaints)}). Pass either "
            f"image_id and dx, or image and one-hot {', '.join(ISIC_COLUMNS)}; lesion_id is "
            "optional."
        )


def _one_hot(table: pd.DataFrame, source: str) -> pd.Series:
    values = table[list(ISIC_COLUMNS)].apply(pd.to_numeric, errors="coerce")
    is_good = values.isin([0, 1]).all(axis=1) & (values.sum(axis=1) == 1)
    bad = table.loc[~is_good, "image_id"].tolist()
    if bad:
        raise InputError(
            f"{len(bad)} rows of {source} do not have exactly one 1 among 0s in "
            f"{', '.join(ISIC_COLUMNS)}: {list_offenders(bad)}. Correct or remove them."
        )
    return values.idxmax(axis=1).map(ISIC_COLUMNS)


def _check_truth(truth: pd.DataFrame, source: str) -> None:
    if truth.empty:
        raise InputError(f"{source} names no image. Pass one row for each image.")
    for column in truth:
        empty = (np.flatnonzero(truth[column].str.strip() == "") + 1).tolist()
        if empty:
            raise InputError(
                f"{source} has no {column} in {len(empty)} of {len(truth)} rows: "
                f"{list_offenders(empty)}. Fill them in or remove them."
            )
    unknown = sorted(set(truth["dx"]) - set(CODES))
    if unknown:
        raise InputError(
            f"{source} has {len(unknown)} unknown values of dx: {list_offenders(unknown)}. "
            f"The model knows {', '.join(CODES)}."
        )
    twice = truth.loc[truth["image_id"].duplicated(), "image_id"].unique().tolist()
    if twice:
        raise InputError(
            f"{source} names {len(twice)} images more than once: {list_offenders(twice)}. "
            "Keep one row of each."
        )
