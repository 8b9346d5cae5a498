"""The table behind the exploration: one row per image with metadata, mask and mean colours."""

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
from hf_lesion.labels import CODES

UNKNOWN = "unknown"  # the dataset's own word in sex and localization
TEXT_COLUMNS = ("lesion_id", "image_id", "dx_type", "sex", "localization", "dataset")
COLUMNS = ("image", "mask", "label", "age", *TEXT_COLUMNS)
PARTS = ("frame", "lesion", "skin")
COLOUR_SIZE = (64, 48)  # pixels: enough for means
WHITE = 127  # grey levels above it are lesion
# Luminance of gamma-encoded sRGB: ITU-R BT.601, as in images of mode L.
LUMINANCE = np.array([0.299, 0.587, 0.114])


def read_frame(folder: Path) -> pd.DataFrame:
    """Read every row of a prepared dataset and reduce its image and mask to a few numbers.

    Args:
        folder: A prepared dataset.

    Returns:
        One row per image: `split`, `dx` (categories in the order of `CODES`), `age` (years, NaN),
        the text columns as stored (None where null), `width` and `height` in pixels; of the mask
        `area` (share of the frame), `x` and `y` (centre of mass, in [0, 1] from the upper left),
        NaN without a mask; mean red, green and blue in [0, 255] of the whole image (`frame_r`, …),
        inside the mask (`lesion_r`, …) and outside it (`skin_r`, …).

    Raises:
        InputError: If `folder` is not a prepared dataset or part of it cannot be read.
    """
    check_rows(folder)
    rows = watch_rows(folder, COLUMNS, "Reading")
    frame = pd.DataFrame([_reduce(split, row) for split, row in rows])
    classes = pd.CategoricalDtype(list(CODES))
    frame["dx"] = pd.Categorical.from_codes(frame["dx"].to_numpy(), dtype=classes)
    frame["age"] = frame["age"].astype(float)
    return frame


def tabulate(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Count the images of each diagnosis by a text column; null counts as "unknown".

    Returns:
        (7, V) counts in the order of `CODES`; columns from the most frequent value to the rarest,
        "unknown" last.
    """
    values = frame[column].fillna(UNKNOWN)
    table = pd.crosstab(frame["dx"], values, dropna=False)
    order = table.sum().sort_values(ascending=False, kind="stable").index
    return table[sorted(order, key=lambda value: value == UNKNOWN)]


def count_images_per_lesion(frame: pd.DataFrame) -> pd.Series:
    """Return how many lesions have 1, 2, … images; images of unknown lesions are left out."""
    return frame["lesion_id"].value_counts().value_counts().sort_index()


def count_missing(frame: pd.DataFrame) -> pd.DataFrame:
    """Return how many values of each column are null, and how many the word "unknown"."""
    columns = frame[["age", *TEXT_COLUMNS]].assign(mask=frame["area"])
    return pd.DataFrame({"null": columns.isna().sum(), UNKNOWN: (columns == UNKNOWN).sum()})


def has_masks(frame: pd.DataFrame) -> bool:
    """Return whether any image has a mask that shows a lesion."""
    return bool(frame["lesion_r"].notna().any())


def luminance(frame: pd.DataFrame, part: str) -> pd.Series:
    """Return the mean luminance in [0, 255] of "frame", "lesion" or "skin" of each image."""
    values = frame[[f"{part}_{channel}" for channel in "rgb"]].to_numpy(dtype=float) @ LUMINANCE
    return pd.Series(values, index=frame.index)


def sample_images(frame: pd.DataFrame, *, per_class: int, seed: int) -> dict[str, list[int]]:
    """Sample images of each diagnosis at random, at most one per lesion.

    Returns:
        Up to `per_class` row numbers for each diagnosis that is present.
    """
    lesions = frame["lesion_id"].fillna(frame["image_id"])
    one_each = frame[~lesions.duplicated()].sample(frac=1, random_state=seed)
    chosen = one_each.groupby("dx", observed=True).head(per_class).sort_index()
    return {str(code): list(part.index) for code, part in chosen.groupby("dx", observed=True)}


def _reduce(split: str, row: Mapping[str, Any]) -> dict[str, Any]:
    (width, height), pixels = _read_pixels(row)
    # To grey levels: the original archive holds palette masks with an inverted palette.
    lesion = (
        np.asarray(open_image(dict(row), column="mask").convert("L")) > WHITE
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


def _read_pixels(row: Mapping[str, Any]) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """Return an image's size and a small copy of it, in (H, W, 3) of [0, 255]."""
    try:
        image = Image.open(BytesIO(row["image"]["bytes"]))
        size = image.size
        image.draft("RGB", COLOUR_SIZE)  # a JPEG is then decoded at a fraction of its size
        return size, np.asarray(image.convert("RGB").resize(COLOUR_SIZE), dtype=float)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"The image of {row['image_id']} cannot be read: {error}. Prepare the dataset again."
        ) from error


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
