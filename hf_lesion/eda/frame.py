"""Table of a dataset: one row per image with metadata, mask geometry and mean colours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.data.description import WHITE
from hf_lesion.data.reader import check_rows, open_image, read_rows
from hf_lesion.data.shards import TEXT_COLUMNS
from hf_lesion.io.decoding import read_size
from hf_lesion.labels import CODES

UNKNOWN = "unknown"  # a value of sex and localization in HAM10000
COLUMNS = ("image", "mask", "label", "age", *TEXT_COLUMNS)
PARTS = ("frame", "lesion", "skin")
COLOUR_SIZE = (64, 48)  # pixels; sufficient for mean colours
# Luminance of gamma-encoded sRGB: ITU-R BT.601, as in images of mode L.
LUMINANCE = np.array([0.299, 0.587, 0.114])


def read_frame(folder: Path) -> pd.DataFrame:
    """Read every row of a prepared dataset and summarise its image and mask.

    Returns:
        One row per image: `split`, `dx` (categories in the order of `CODES`), `age` (years, NaN),
        the text columns as stored (None where null), `width` and `height` in pixels; `area` of the
        mask (fraction of the frame), `x` and `y` of its centre of mass (in [0, 1] from the upper
        left), NaN without a mask; mean red, green and blue in [0, 255] of the whole image
        (`frame_r`, …), inside the mask (`lesion_r`, …) and outside it (`skin_r`, …).
    """
    check_rows(folder)
    rows = read_rows(folder, COLUMNS)
    frame = pd.DataFrame([_reduce(split, row) for split, row in rows])
    classes = pd.CategoricalDtype(list(CODES))
    frame["dx"] = pd.Categorical.from_codes(frame["dx"].to_numpy(), dtype=classes)
    frame["age"] = frame["age"].astype(float)
    return frame


def tabulate(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Count the images of each diagnosis by a text column; null counts as "unknown".

    Returns:
        (7, V) counts in the order of `CODES`; columns by descending frequency, "unknown" last.
    """
    values = frame[column].fillna(UNKNOWN)
    table = pd.crosstab(frame["dx"], values, dropna=False)
    order = table.sum().sort_values(ascending=False, kind="stable").index
    return table[sorted(order, key=lambda value: value == UNKNOWN)]


def count_images_per_lesion(frame: pd.DataFrame) -> pd.Series:
    """Return the number of lesions with 1, 2, … images, ignoring unknown lesion_ids."""
    return frame["lesion_id"].value_counts().value_counts().sort_index()


def count_missing(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the number of null values and of "unknown" values of each column."""
    columns = frame[["age", *TEXT_COLUMNS]].assign(mask=frame["area"])
    return pd.DataFrame({"null": columns.isna().sum(), UNKNOWN: (columns == UNKNOWN).sum()})


def has_masks(frame: pd.DataFrame) -> bool:
    """Return whether any image has a non-empty mask."""
    return bool(frame["lesion_r"].notna().any())


def luminance(frame: pd.DataFrame, part: str) -> pd.Series:
    """Return the mean luminance of "frame", "lesion" or "skin" of each image, in [0, 255]."""
    values = frame[[f"{part}_{channel}" for channel in "rgb"]].to_numpy(dtype=float) @ LUMINANCE
    return pd.Series(values, index=frame.index)


def sample_images(frame: pd.DataFrame, *, per_class: int, seed: int) -> dict[str, list[int]]:
    """Return up to `per_class` random row numbers of each diagnosis, at most one per lesion."""
    lesions = frame["lesion_id"].fillna(frame["image_id"])
    one_each = frame[~lesions.duplicated()].sample(frac=1, random_state=seed)
    chosen = one_each.groupby("dx", observed=True).head(per_class).sort_index()
    return {str(code): list(part.index) for code, part in chosen.groupby("dx", observed=True)}


def _reduce(split: str, row: Mapping[str, Any]) -> dict[str, Any]:
    pixels = np.asarray(open_image(row, draft=COLOUR_SIZE).resize(COLOUR_SIZE), dtype=float)
    width, height = read_size(row["image"]["bytes"])
    # The original archive contains masks with an inverted palette; grey levels are unambiguous.
    lesion = (
        np.asarray(open_image(row, column="mask").convert("L")) > WHITE
        if row["mask"] is not None
        else None
    )
    return {
        "split": split,
        "dx": row["label"],
        "age": row["age"],
        **{column: row[column] for column in TEXT_COLUMNS},
        "width": width,
        "height": height,
        **_describe_mask(lesion),
        **_describe_colours(pixels, lesion),
    }


def _describe_mask(lesion: NDArray[np.bool_] | None) -> dict[str, float]:
    if lesion is None or not lesion.any():
        nan = float("nan")
        return {"area": nan if lesion is None else 0.0, "x": nan, "y": nan}
    height, width = lesion.shape
    rows, columns = np.nonzero(lesion)
    return {
        "area": float(lesion.mean()),
        "x": float((columns.mean() + 0.5) / width),
        "y": float((rows.mean() + 0.5) / height),
    }


def _describe_colours(
    pixels: NDArray[np.float64], lesion: NDArray[np.bool_] | None
) -> dict[str, float]:
    nowhere = np.zeros(pixels.shape[:2], bool)
    inside = {"frame": ~nowhere, "lesion": nowhere, "skin": nowhere}
    if lesion is not None:
        small = np.asarray(Image.fromarray(lesion).resize(COLOUR_SIZE, Image.Resampling.NEAREST))
        inside |= {"lesion": small, "skin": ~small}
    means = {
        part: pixels[inside[part]].mean(axis=0) if inside[part].any() else [np.nan] * 3
        for part in PARTS
    }
    return {
        f"{part}_{c}": float(v) for part in PARTS for c, v in zip("rgb", means[part], strict=True)
    }
