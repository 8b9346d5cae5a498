"""Train, validation and test splits by lesion: all images of a lesion are in one split."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split

from hf_lesion.data.tables import check_columns, check_ids, parse_table
from hf_lesion.errors import InputError, list_offenders

SPLITS = ("train", "validation", "test")
OFFICIAL_TEST = "official_test"  # the test set of ISIC 2018 Task 3
SUBSETS = ("all", "one-per-lesion", "single-image")
FRACTIONS = (0.7, 0.15, 0.15)
SUM_TOLERANCE = 1e-6
LARGEST_SEED = 2**32 - 1  # limit of numpy's legacy generator, which scikit-learn uses


def split_by_lesion(
    frame: pd.DataFrame,
    *,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
) -> pd.Series:
    """Assign each image to a split, at random by lesion, stratified by diagnosis.

    The result depends on the set of (lesion, diagnosis) and the seed, not on the order of the rows.

    Args:
        frame: One row per image, with the columns `lesion_id` and `dx`.
        fractions: Of the lesions in train, validation and test; each in (0, 1), together 1.
        seed: In [0, 2**32).

    Returns:
        (N,) values of `SPLITS`, with the index of `frame`.

    Raises:
        InputError: If a diagnosis has too few lesions for three splits.
    """
    check_options(fractions=fractions, seed=seed)
    lesions = frame[["lesion_id", "dx"]].drop_duplicates("lesion_id").sort_values("lesion_id")
    split_of = _split_lesions(lesions.set_index("lesion_id")["dx"], fractions, seed)
    return frame["lesion_id"].map(split_of).rename("split")


def choose_subset(frame: pd.DataFrame, subset: str) -> pd.DataFrame:
    """Return the rows of one of `SUBSETS`.

    These are all images, the first image_id of each lesion, or only lesions with a single image
    (5,514 in HAM10000).
    """
    if subset == "one-per-lesion":
        return frame.loc[frame.sort_values("image_id").drop_duplicates("lesion_id").index]
    if subset == "single-image":
        return frame[~frame["lesion_id"].duplicated(keep=False)]
    if subset == "all":
        return frame
    raise InputError(f"Expected one of the subsets {', '.join(SUBSETS)}; got {subset}.")


def read_splits(path: Path) -> pd.Series:
    """Read a published split, as `prepare` writes it to splits.csv.

    Columns other than `image_id` and `split` and the rows of the official test set are ignored.

    Returns:
        (N,) values of `SPLITS` by image_id.
    """
    with path.open("rb") as stream:
        table = parse_table(stream, str(path))
    check_columns(table, ("image_id", "split"), str(path))
    check_ids(table, str(path), ("image_id",))
    unknown = sorted(set(table["split"]) - {*SPLITS, OFFICIAL_TEST})
    if unknown:
        raise InputError(
            f"{path} has {len(unknown)} unknown splits: {list_offenders(unknown)}. "
            f"Expected one of {', '.join(SPLITS)}."
        )
    return table[table["split"] != OFFICIAL_TEST].set_index("image_id")["split"]


def apply_splits(frame: pd.DataFrame, splits: pd.Series, *, name: str) -> pd.Series:
    """Return the split of each image of `frame` in a published split, as from `read_splits`.

    `name` is that of the published split in error messages.

    Raises:
        InputError: If either has images that the other lacks, or a lesion is in two splits.
    """
    _check_same(frame["image_id"], splits.index, f"images have no split in {name}")
    _check_same(splits.index, frame["image_id"], f"images of {name} are not in the source")
    found = frame["image_id"].map(splits).rename("split")
    crossing = found.groupby(frame["lesion_id"]).nunique()
    shared = sorted(crossing.index[crossing > 1])
    if shared:
        raise InputError(
            f"{name} has {len(shared)} lesions in more than one split: {list_offenders(shared)}. "
            "Assign all images of a lesion to the same split."
        )
    return found


def check_options(*, fractions: tuple[float, float, float], seed: int) -> None:
    """Raise InputError unless fractions are three in (0, 1) with sum 1, and seed in [0, 2**32)."""
    valid = len(fractions) == len(SPLITS) and all(0 < fraction < 1 for fraction in fractions)
    if not valid or abs(sum(fractions) - 1) > SUM_TOLERANCE:
        raise InputError(
            "Expected fractions of train, validation and test between 0 and 1 with sum 1; "
            f"got {_listed(fractions)}."
        )
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"Expected a seed from 0 to {LARGEST_SEED}; got {seed}.")


def name_splits(splits: pd.Series) -> list[str]:
    """Return the three split names, and the official test set if it occurs."""
    return [*SPLITS, *([OFFICIAL_TEST] if OFFICIAL_TEST in set(splits) else [])]


def check_splits(table: pd.DataFrame, splits: Sequence[str]) -> None:
    """Raise InputError if a split is empty, or one but the official test lacks a diagnosis."""
    empty = [split for split in splits if split not in set(table["split"])]
    if empty:
        raise InputError(
            f"No images remain for {list_offenders(empty)}. Pass a source with more images."
        )
    drawn = table[table["split"] != OFFICIAL_TEST]
    counts = pd.crosstab(drawn["split"], drawn["label"])
    lacking = [
        f"{code} in {split}" for split in counts.index for code in counts if not counts[code][split]
    ]
    if lacking:
        raise InputError(
            f"{len(lacking)} diagnoses have no image in a split: {list_offenders(lacking)}. "
            "Pass a source with more images, another --seed or other --fractions."
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
    except ValueError as error:  # raised by scikit-learn if a class is too small
        raise _too_few(dx, fractions) from error
    parts = dict(zip(SPLITS, (train_lesions, validation_lesions, test_lesions), strict=True))
    if any(set(part) != set(dx) for part in parts.values()):
        raise _too_few(dx, fractions)
    return {lesion: split for split, part in parts.items() for lesion in part.index}


def _too_few(dx: pd.Series, fractions: tuple[float, float, float]) -> InputError:
    counts = dx.value_counts()
    # One lesion of the class must fall into the smallest split; rounding may require another.
    needed = math.ceil(1 / min(fractions)) + 1
    small = [f"{code} {count}" for code, count in sorted(counts.items()) if count < needed]
    offenders = small or [f"{counts.index[-1]} {counts.iloc[-1]}"]
    return InputError(
        "Too few lesions to split each diagnosis into train, validation and test by "
        f"{_listed(fractions)}: {list_offenders(offenders, len(offenders))}. "
        f"Expected about {needed} lesions of each diagnosis: add images or pass other --fractions."
    )


def _listed(fractions: tuple[float, ...]) -> str:
    return " ".join(f"{fraction:g}" for fraction in fractions)
