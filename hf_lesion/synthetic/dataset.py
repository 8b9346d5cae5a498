"""Synthetic sample dataset in the layout of HAM10000, without data on real patients.

The layout is that of Tschandl, Rosendahl, Kittler, "The HAM10000 dataset", Scientific Data 5:180161
(2018): two image folders, one metadata table, one folder of masks.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from hf_lesion.errors import InputError
from hf_lesion.io.files import whole_folder
from hf_lesion.labels import CODES
from hf_lesion.synthetic.lesions import draw_view, paint_lesion

IMAGE_PREFIX = "SYN_"

IMAGE_FOLDERS = ("HAM10000_images_part_1", "HAM10000_images_part_2")
MASK_FOLDER = "HAM10000_segmentations_lesion_tschandl"
METADATA_FILE = "HAM10000_metadata.csv"
COLUMNS = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]

# Eight images make at least six lesions, the fewest that 70/15/15 splits into 4, 1 and 1.
MINIMUM_PER_CLASS = 8
MINIMUM_IMAGES = 84
# Skewed as the original is (nv 67 %, df 1 %), but softer, so that every class can be learned.
CLASS_SHARES = {
    "akiec": 0.09,
    "bcc": 0.11,
    "bkl": 0.14,
    "df": 0.07,
    "mel": 0.15,
    "nv": 0.36,
    "vasc": 0.08,
}
# Counted in the original: 45 % of the images share their lesion; of the shared lesions 73 % have
# two images, nearly all others three.
SHARED_IMAGES = 0.45
PAIRS = 0.73
# Shares counted in the original's table; rare places are left out.
DX_TYPES = {
    "akiec": {"histo": 1.0},
    "bcc": {"histo": 1.0},
    "bkl": {"histo": 0.70, "consensus": 0.24, "confocal": 0.06},
    "df": {"histo": 0.48, "consensus": 0.52},
    "mel": {"histo": 1.0},
    "nv": {"follow_up": 0.55, "histo": 0.37, "consensus": 0.08},
    "vasc": {"histo": 0.47, "consensus": 0.53},
}
MEAN_AGES = {"akiec": 67, "bcc": 67, "bkl": 64, "df": 52, "mel": 61, "nv": 46, "vasc": 51}
AGE_SPREAD = 13.0
MISSING_AGES = 0.02
SEXES = {"male": 0.54, "female": 0.445, "unknown": 0.015}
LOCALIZATIONS = {
    "back": 0.22,
    "lower extremity": 0.21,
    "trunk": 0.14,
    "upper extremity": 0.11,
    "abdomen": 0.10,
    "face": 0.08,
    "chest": 0.04,
    "foot": 0.03,
    "unknown": 0.03,
    "neck": 0.02,
    "scalp": 0.01,
    "hand": 0.01,
}
SOURCES = {"vidir_molemax": 0.40, "vidir_modern": 0.33, "rosendahl": 0.23, "vienna_dias": 0.04}
JPEG_QUALITIES = (88, 96)


def write_sample(folder: Path, images: int, *, seed: int = 0, overwrite: bool = False) -> None:
    """Write a synthetic HAM10000 of at least `MINIMUM_IMAGES` images to `folder`, atomically.

    Every class has at least six lesions. The same seed, at least 0, gives the same bytes.

    Raises:
        InputError: If `images` is too small, `seed` negative, or `folder` already exists.
    """
    if images < MINIMUM_IMAGES:
        raise InputError(
            f"A sample needs at least {MINIMUM_IMAGES} images, so that each of the {len(CODES)} "
            f"classes has six lesions to split; got {images}. Pass a larger number of images."
        )
    if seed < 0:
        raise InputError(f"The seed must be 0 or more, got {seed}.")
    with whole_folder(folder, overwrite=overwrite) as partial:
        plan = plan_sample(images, seed=seed)
        plan.to_csv(partial / METADATA_FILE, columns=COLUMNS, index=False, lineterminator="\n")
        _write_images(partial, plan, seed=seed)


def plan_sample(images: int, *, seed: int) -> pd.DataFrame:
    """Plan the images to draw, lesion by lesion, in an order independent of `dx`.

    Returns:
        One row per image: the columns of the metadata, the `seed` of its lesion, and its `view`.
    """
    rng = np.random.default_rng(seed)
    lesions = [
        (dx, views)
        for dx, count in _share_images(images).items()
        for views in _group_images(count, rng)
    ]
    rows: list[dict[str, object]] = []
    for number, place in enumerate(rng.permutation(len(lesions)), start=1):
        dx, views = lesions[place]
        lesion = {
            "lesion_id": f"SYNLESION_{number:07d}",
            "dx": dx,
            "seed": int(rng.integers(2**62)),
            **_about_lesion(dx, rng),
        }
        for view in range(views):
            rows.append({"image_id": f"{IMAGE_PREFIX}{len(rows) + 1:07d}", "view": view, **lesion})
    return pd.DataFrame(rows)


def is_synthetic(image_ids: Iterable[str]) -> bool:
    """Return whether every image of a dataset was drawn here."""
    return all(image_id.startswith(IMAGE_PREFIX) for image_id in image_ids)


def _share_images(images: int) -> dict[str, int]:
    """Return how many images each class gets; the counts sum to `images`."""
    counts = {
        dx: max(MINIMUM_PER_CLASS, round(share * images)) for dx, share in CLASS_SHARES.items()
    }
    counts["nv"] += images - sum(counts.values())
    return counts


def _group_images(count: int, rng: np.random.Generator) -> list[int]:
    """Split a class's images into lesions of one to three images; return the lesions' sizes."""
    shared = round(SHARED_IMAGES * count)
    groups: list[int] = []
    while shared - sum(groups) >= 2:
        left = shared - sum(groups)
        groups.append(2 if left == 2 or rng.random() < PAIRS else 3)
    return groups + [1] * (count - sum(groups))


def _about_lesion(dx: str, rng: np.random.Generator) -> dict[str, str]:
    """Sample the metadata of a lesion and its patient."""
    age = np.clip(rng.normal(MEAN_AGES[dx], AGE_SPREAD), 5, 85)
    missing = rng.random() < MISSING_AGES
    return {
        "dx_type": _choose(DX_TYPES[dx], rng),
        # The original gives ages in steps of five years, and leaves some out.
        "age": "" if missing else f"{5 * math.floor(age / 5 + 0.5):.1f}",
        "sex": _choose(SEXES, rng),
        "localization": _choose(LOCALIZATIONS, rng),
        "dataset": _choose(SOURCES, rng),
    }


def _choose(shares: dict[str, float], rng: np.random.Generator) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _write_images(folder: Path, plan: pd.DataFrame, *, seed: int) -> None:
    for name in (*IMAGE_FOLDERS, MASK_FOLDER):
        (folder / name).mkdir()
    # A stream of its own, so that a file's quality says nothing about its diagnosis.
    qualities = np.random.default_rng((seed, 1)).integers(*JPEG_QUALITIES, len(plan))
    half = math.ceil(len(plan) / 2)
    rows = tqdm(plan.to_dict("records"), desc="Drawing", unit="image", disable=None)
    for number, (row, quality) in enumerate(zip(rows, qualities.tolist(), strict=True)):
        if row["view"] == 0:  # the views of a lesion follow each other
            lesion = paint_lesion(row["dx"], seed=row["seed"])
        image, mask = draw_view(lesion, view=row["view"])
        part, name = folder / IMAGE_FOLDERS[number >= half], row["image_id"]
        image.save(part / f"{name}.jpg", quality=quality)
        mask.convert("1").save(folder / MASK_FOLDER / f"{name}_segmentation.png")
