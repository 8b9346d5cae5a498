"""What a prepared dataset holds, gathered in one pass: metadata, masks and mean colours."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.data.reader import check_rows, open_image, watch_rows
from hf_lesion.errors import InputError
from hf_lesion.labels import CODES, ID2LABEL

UNKNOWN = "unknown"  # the dataset's own word in sex and localization
TEXT_COLUMNS = ("lesion_id", "image_id", "dx_type", "sex", "localization", "dataset")
COLUMNS = ("image", "mask", "label", "age", *TEXT_COLUMNS)
COLOUR_SIZE = (64, 48)  # pixels: enough for means
WHITE = 127  # grey levels above it are lesion
# Luminance of sRGB values as they are: ITU-R BT.601, what "L" images use.
LUMINANCE = np.array([0.299, 0.587, 0.114])
LARGE_MASK = 0.9


def read_frame(folder: Path) -> pd.DataFrame:
    """Read every row of a prepared dataset and reduce its pictures to a few numbers.

    Args:
        folder: A prepared dataset.

    Returns:
        One row per image: `split`, `dx` (code), `age` (years, NaN), the text columns as stored
        (None where null), `width` and `height` in pixels; of the mask `area` (share of the frame),
        `x` and `y` (centre of mass, in [0, 1] from the upper left), `touches` (the frame's edge),
        all NaN or None without a mask; means in [0, 255] of red, green and blue: `frame_r`, … of
        the whole image, `lesion_r`, … inside the mask, `skin_r`, … outside.

    Raises:
        InputError: If `folder` is not a prepared dataset, has other rows than its record says, or
            part of it cannot be read.
    """
    check_rows(folder)
    rows = watch_rows(folder, COLUMNS, "Reading")
    frame = pd.DataFrame([_reduce(split, row) for split, row in rows])
    frame["age"] = frame["age"].astype(float)
    return frame


def tabulate(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Count the images of each diagnosis by a text column; null counts as "unknown".

    Returns:
        One row per diagnosis that is there, in the order of `CODES`; columns from the most frequent
        value to the rarest, "unknown" last.
    """
    values = frame[column].fillna(UNKNOWN)
    table = pd.crosstab(frame["dx"], values).reindex([c for c in CODES if c in set(frame["dx"])])
    order = table.sum().sort_values(ascending=False, kind="stable").index
    return table[sorted(order, key=lambda value: value == UNKNOWN)]


def count_classes(frame: pd.DataFrame) -> pd.Series:
    """Return the images of each of the seven diagnoses, in the order of `CODES`."""
    return frame["dx"].value_counts().reindex(list(CODES), fill_value=0)


def count_per_lesion(frame: pd.DataFrame) -> pd.Series:
    """Return how many lesions have 1, 2, … images; images of unknown lesions are left out."""
    return frame["lesion_id"].value_counts().value_counts().sort_index()


def count_missing(frame: pd.DataFrame) -> pd.DataFrame:
    """Return, for each column that may be empty, how many values are null or the word "unknown"."""
    columns = ["age", *TEXT_COLUMNS]
    null = {column: int(frame[column].isna().sum()) for column in columns}
    word = {column: int((frame[column] == UNKNOWN).sum()) for column in columns}
    null["mask"], word["mask"] = int(frame["area"].isna().sum()), 0
    return pd.DataFrame({"null": null, "unknown": word})


def associate(table: pd.DataFrame) -> float:
    """Measure how much the columns of a table of counts tell about its rows.

    Args:
        table: Counts; rows are diagnoses.

    Returns:
        Cramér's V in [0, 1] with the bias correction of Bergsma, Journal of the Korean Statistical
        Society 42 (2013), without which small sets seem to tell much; NaN if the table has but one
        row or column.
    """
    counts = table.to_numpy(dtype=float)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    total = counts.sum()
    rows, columns = counts.shape
    if min(rows, columns) < 2 or total < 2:
        return float("nan")
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / total
    squared = ((counts - expected) ** 2 / expected).sum() / total
    surplus = max(0.0, squared - (rows - 1) * (columns - 1) / (total - 1))
    smaller = min(size - (size - 1) ** 2 / (total - 1) for size in (rows, columns))
    return float(min(1.0, np.sqrt(surplus / (smaller - 1)))) if smaller > 1 else float("nan")


def has_masks(frame: pd.DataFrame) -> bool:
    """Return whether any image has a mask that shows a lesion."""
    return bool(frame["lesion_r"].notna().any())


def luminance(frame: pd.DataFrame, part: str) -> pd.Series:
    """Return the mean luminance in [0, 255] of "frame", "lesion" or "skin" of each image."""
    values = frame[[f"{part}_{channel}" for channel in "rgb"]].to_numpy(dtype=float) @ LUMINANCE
    return pd.Series(values, index=frame.index)


def mean_colours(frame: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the mean red, green and blue in [0, 255] of a part by diagnosis, in (C, 3)."""
    columns = [f"{part}_{channel}" for channel in "rgb"]
    means = frame.groupby("dx")[columns].mean()
    return means.reindex([code for code in CODES if code in means.index])


def choose_samples(frame: pd.DataFrame, *, per_class: int, seed: int) -> dict[str, list[int]]:
    """Choose images at random, of as many different lesions as there are.

    Returns:
        For each diagnosis that is there, up to `per_class` row numbers.
    """
    lesions = frame["lesion_id"].fillna(frame["image_id"])
    one_each = frame[~lesions.duplicated()]
    chosen = {}
    for code in CODES:
        part = one_each.index[one_each["dx"] == code].to_series()
        if len(part):
            chosen[code] = sorted(part.sample(min(per_class, len(part)), random_state=seed))
    return chosen


def _reduce(split: str, row: Mapping[str, Any]) -> dict[str, Any]:
    image = _open_small(row)
    pixels = np.asarray(image.convert("RGB").resize(COLOUR_SIZE), dtype=float)
    width, height = Image.open(BytesIO(row["image"]["bytes"])).size
    lesion = None if row["mask"] is None else _read_mask(row)
    return {
        "split": split,
        "dx": ID2LABEL[row["label"]],
        "age": row["age"],
        **{column: row[column] for column in TEXT_COLUMNS},
        "width": width,
        "height": height,
        **_describe_mask(lesion),
        **_describe_colours(pixels, lesion),
    }


def _open_small(row: Mapping[str, Any]) -> Image.Image:
    """Return the image, a JPEG decoded at an eighth to a half of its size where that suffices."""
    try:
        image = Image.open(BytesIO(row["image"]["bytes"]))
        image.draft("RGB", COLOUR_SIZE)
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"The image of {row['image_id']} cannot be read: {error}. Prepare the dataset again."
        ) from error
    return image


def _read_mask(row: Mapping[str, Any]) -> NDArray[np.bool_]:
    # To grey levels: the original archive holds palette masks with an inverted palette.
    return np.asarray(open_image(dict(row), column="mask").convert("L")) > WHITE


def _describe_mask(lesion: NDArray[np.bool_] | None) -> dict[str, Any]:
    if lesion is None or not lesion.any():
        area = float("nan") if lesion is None else 0.0
        return {"area": area, "x": float("nan"), "y": float("nan"), "touches": None}
    height, width = lesion.shape
    rows, columns = np.nonzero(lesion)
    edges = (lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1])
    return {
        "area": float(lesion.mean()),
        "x": float((columns.mean() + 0.5) / width),
        "y": float((rows.mean() + 0.5) / height),
        "touches": any(edge.any() for edge in edges),
    }


def _describe_colours(
    pixels: NDArray[np.float64], lesion: NDArray[np.bool_] | None
) -> dict[str, float]:
    parts = {"frame": np.ones(pixels.shape[:2], bool)}
    if lesion is not None:
        small = np.asarray(Image.fromarray(lesion).resize(COLOUR_SIZE, Image.Resampling.NEAREST))
        parts |= {"lesion": small, "skin": ~small}
    means: dict[str, float] = {}
    for part in ("frame", "lesion", "skin"):
        inside = parts.get(part)
        mean = pixels[inside].mean(axis=0) if inside is not None and inside.any() else [np.nan] * 3
        means |= {f"{part}_{channel}": float(v) for channel, v in zip("rgb", mean, strict=True)}
    return means
