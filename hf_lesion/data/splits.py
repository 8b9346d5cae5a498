"""Splitting images into train, validation and test so that no lesion is in two of them."""

import math

import pandas as pd
from sklearn.model_selection import train_test_split

from hf_lesion.errors import InputError, list_offenders

SPLITS = ("train", "validation", "test")
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
