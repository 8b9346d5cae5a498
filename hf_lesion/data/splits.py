"""Splitting images into train, validation and test so that no lesion is in two of them."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import BinaryIO

import pandas as pd
from sklearn.model_selection import train_test_split

from hf_lesion.data.tables import check_columns, check_ids, parse_table
from hf_lesion.errors import InputError, list_offenders

SPLITS = ("train", "validation", "test")
OFFICIAL_TEST = "official_test"  # the test set of ISIC 2018 Task 3: a split of its own
SUBSETS = ("all", "one-per-lesion", "single-image")
FRACTIONS = (0.7, 0.15, 0.15)
SUM_TOLERANCE = 1e-6
LARGEST_SEED = 2**32 - 1  # numpy's legacy generator, which scikit-learn seeds, takes 32 bits


def split_by_lesion(
    frame: pd.DataFrame,
    *,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
) -> pd.Series:
    """Give each image a split: at random over lesions, stratified by diagnosis.

    All images of a lesion share its split. The result depends on the set of (lesion, diagnosis)
    and the seed, not on the order of the rows. Fractions are of lesions, so those of images differ
    a little.

    Args:
        frame: One row per image, with the columns `lesion_id` and `dx`.
        fractions: Of train, validation and test; each in (0, 1), together 1.
        seed: In [0, 2**32).

    Returns:
        (N,) names out of `SPLITS`, with the index of `frame`.

    Raises:
        InputError: If fractions or seed are out of range, or a diagnosis has too few lesions to be
            in every split.
    """
    check_options(fractions=fractions, seed=seed)
    lesions = frame[["lesion_id", "dx"]].drop_duplicates("lesion_id").sort_values("lesion_id")
    split_of = _split_lesions(lesions.set_index("lesion_id")["dx"], fractions, seed)
    return frame["lesion_id"].map(split_of).rename("split")


def choose_subset(frame: pd.DataFrame, subset: str) -> pd.DataFrame:
    """Return the rows of a subset.

    Args:
        frame: One row per image, with the columns `lesion_id` and `image_id`.
        subset: One of `SUBSETS`: all images; of each lesion the image with the first image_id; or
            the images of lesions that have no other (5,514 of HAM10000).

    Raises:
        InputError: If `subset` is none of them.
    """
    if subset not in SUBSETS:
        raise InputError(f"Expected a subset out of {', '.join(SUBSETS)}; came {subset}.")
    if subset == "one-per-lesion":
        return frame.loc[frame.sort_values("image_id").drop_duplicates("lesion_id").index]
    if subset == "single-image":
        return frame[~frame["lesion_id"].duplicated(keep=False)]
    return frame


def read_splits(path: Path) -> pd.Series:
    """Read a published split; see `parse_splits`.

    Raises:
        InputError: If the file is not there, or as `parse_splits` raises.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there. Pass a CSV with the columns image_id and split.")
    with path.open("rb") as stream:
        return parse_splits(stream, name=str(path))


def parse_splits(stream: BinaryIO, *, name: str) -> pd.Series:
    """Parse a published split, as `prepare` writes it to splits.csv.

    Args:
        stream: CSV bytes with the columns `image_id` and `split`; others are passed over, and so
            are rows of the official test set, which is never split.
        name: What to call the stream in errors.

    Returns:
        (N,) names out of `SPLITS` by image_id.

    Raises:
        InputError: If the table is wrong, names an image twice or an unknown split.
    """
    table = parse_table(stream, name)
    check_columns(table, ("image_id", "split"), name)
    check_ids(table, name, ("image_id",))
    unknown = sorted(set(table["split"]) - {*SPLITS, OFFICIAL_TEST})
    if unknown:
        raise InputError(
            f"{name} has {len(unknown)} unknown splits: "
            f"{list_offenders([repr(split) for split in unknown])}. "
            f"Expected one of {', '.join(SPLITS)}."
        )
    return table[table["split"] != OFFICIAL_TEST].set_index("image_id")["split"]


def apply_splits(frame: pd.DataFrame, splits: pd.Series, *, name: str) -> pd.Series:
    """Give each image the split that a published split names.

    Args:
        frame: One row per image, with the columns `image_id` and `lesion_id`.
        splits: As `parse_splits` returns.
        name: What to call it in errors.

    Returns:
        (N,) names out of `SPLITS`, with the index of `frame`.

    Raises:
        InputError: If one of the two has images that the other lacks, or a lesion is in two splits.
    """
    _check_same(frame["image_id"], splits.index, f"images have no split in {name}")
    _check_same(splits.index, frame["image_id"], f"images of {name} are not in the source")
    found = frame["image_id"].map(splits).rename("split")
    crossing = found.groupby(frame["lesion_id"]).nunique()
    torn = sorted(crossing.index[crossing > 1])
    if torn:
        raise InputError(
            f"{name} puts {len(torn)} lesions into more than one split: {list_offenders(torn)}. "
            "Give all images of a lesion the same split."
        )
    return found


def check_options(*, fractions: tuple[float, float, float], seed: int) -> None:
    """Check what a user may choose about a split.

    Raises:
        InputError: If `fractions` are not three numbers in (0, 1) with sum 1, or `seed` is not in
            [0, 2**32).
    """
    well = len(fractions) == len(SPLITS) and all(0 < fraction < 1 for fraction in fractions)
    if not well or abs(sum(fractions) - 1) > SUM_TOLERANCE:
        raise InputError(
            "Expected fractions of train, validation and test between 0 and 1 with sum 1; "
            f"came {_listed(fractions)}."
        )
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"Expected a seed from 0 to {LARGEST_SEED}; came {seed}.")


def name_splits(splits: pd.Series) -> list[str]:
    """Return the names of the splits: the three, and the official test set if it is among them."""
    return [*SPLITS, *([OFFICIAL_TEST] if OFFICIAL_TEST in set(splits) else [])]


def check_splits(table: pd.DataFrame, splits: Sequence[str]) -> None:
    """Check that every split has images, and all but the official test set those of each diagnosis.

    Args:
        table: The columns `split` and `label` (code), one row per image.
        splits: The splits that are to be there.

    Raises:
        InputError: If one is empty or lacks a diagnosis.
    """
    empty = [split for split in splits if split not in set(table["split"])]
    if empty:
        raise InputError(
            f"No image is left for {list_offenders(empty)}. Pass a source with more of the images."
        )
    drawn = table[table["split"] != OFFICIAL_TEST]
    counts = pd.crosstab(drawn["split"], drawn["label"])
    lacking = [
        f"{code} in {split}" for split in counts.index for code in counts if not counts[code][split]
    ]
    if lacking:
        raise InputError(
            f"{len(lacking)} diagnoses have no image in a split: {list_offenders(lacking)}. "
            "Pass a source with more of the images, another --seed or other --fractions."
        )


def _check_same(wanted: Collection[str], given: Collection[str], what: str) -> None:
    absent = sorted(set(wanted) - set(given))
    if absent:
        raise InputError(
            f"{len(absent)} {what}: {list_offenders(absent)}. "
            "Pass the source and the --subset that the split was made from."
        )


def _split_lesions(
    dx: pd.Series, fractions: tuple[float, float, float], seed: int
) -> dict[str, str]:
    _, validation, test = fractions
    try:
        rest, test_lesions = train_test_split(
            dx, test_size=round(test * len(dx)), stratify=dx, random_state=seed
        )
        train_lesions, validation_lesions = train_test_split(
            rest, test_size=round(validation * len(dx)), stratify=rest, random_state=seed
        )
    except ValueError as error:  # scikit-learn's way to say that a class is too small
        raise _too_few(dx, fractions) from error
    parts = dict(zip(SPLITS, (train_lesions, validation_lesions, test_lesions), strict=True))
    if any(set(part) != set(dx) for part in parts.values()):
        raise _too_few(dx, fractions)
    return {lesion: split for split, part in parts.items() for lesion in part.index}


def _too_few(dx: pd.Series, fractions: tuple[float, float, float]) -> InputError:
    counts = dx.value_counts()
    # One lesion of the class falls into the smallest split, and rounding can cost another.
    needed = math.ceil(1 / min(fractions)) + 1
    small = [f"{code} {count}" for code, count in sorted(counts.items()) if count < needed]
    offenders = small or [f"{counts.index[-1]} {counts.iloc[-1]}"]
    return InputError(
        "Too few lesions to put each diagnosis into train, validation and test by "
        f"{_listed(fractions)}: {list_offenders(offenders, len(offenders))}. "
        f"Give about {needed} lesions of each diagnosis, or pass other --fractions."
    )


def _listed(fractions: tuple[float, ...]) -> str:
    return " ".join(f"{fraction:g}" for fraction in fractions)
