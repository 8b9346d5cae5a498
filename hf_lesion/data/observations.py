"""One sentence for each chart on what to notice, computed from the data and never typed.

Each function takes a frame as from `exploration.read_frame`.
"""

import numpy as np
import pandas as pd

from hf_lesion.data import exploration
from hf_lesion.labels import CODES, MALIGNANT, NAMES

WHOLE = 1.0
# Cramér's V of a medium association of seven rows with four columns: Cohen, "Statistical Power
# Analysis" (1988), w = 0.3.
NOTABLE = 0.17


def say_balance(frame: pd.DataFrame) -> str:
    """Say how uneven the classes are and what accuracy that gives for nothing."""
    counts = exploration.count_classes(frame)
    counts = counts[counts > 0]
    most, least = str(counts.idxmax()), str(counts.idxmin())
    share = counts[most] / counts.sum()
    absent = [code for code in CODES if code not in counts.index]
    missing = f" There is no image of {_listed(absent)}." if absent else ""
    return (
        f"{_named(most)} makes up {share:.1%} of the {len(frame):,} images, so a program that "
        f"always says {most} is {share:.1%} accurate: look at balanced accuracy. {_named(least)} "
        f"has {counts[least]:,} images, {counts[most] / counts[least]:.0f} times fewer.{missing}"
    )


def say_malignant(frame: pd.DataFrame) -> str:
    """Say what share of the images counts as malignant."""
    counts = exploration.count_classes(frame)
    malignant = counts[list(MALIGNANT)]
    return (
        f"{malignant.sum() / counts.sum():.1%} of the images show a diagnosis that counts as "
        f"malignant here ({', '.join(MALIGNANT)}); {malignant['mel']:,} of these "
        f"{malignant.sum():,} are melanoma."
    )


def say_age(frame: pd.DataFrame) -> str:
    """Say between which diagnoses the median age runs."""
    medians = frame.groupby("dx")["age"].median().dropna()
    if medians.empty:
        return "No age is known."
    young, old = str(medians.idxmin()), str(medians.idxmax())
    missing = int(frame["age"].isna().sum())
    return (
        f"The median age runs from {medians[young]:.0f} years ({young}) to {medians[old]:.0f} "
        f"({old}), so age and diagnosis go together. {_count(missing, 'age')} not "
        "known."
    )


def say_sex(frame: pd.DataFrame) -> str:
    """Say how the sexes divide, and where most unevenly."""
    table = exploration.tabulate(frame, "sex")
    known = table.drop(columns=exploration.UNKNOWN, errors="ignore")
    if known.empty or known.to_numpy().sum() == 0:
        return "The sex is not known of any image."
    shares = table.sum() / table.to_numpy().sum()
    overall = ", ".join(f"{share:.1%} {value}" for value, share in shares.items())
    first = known.columns[0]
    of_first = (known[first] / known.sum(axis=1)).dropna()
    low, high = str(of_first.idxmin()), str(of_first.idxmax())
    return (
        f"Of all images: {overall}. Where the sex is known, from {of_first[low]:.0%} ({low}) to "
        f"{of_first[high]:.0%} ({high}) are {first}."
    )


def say_localization(frame: pd.DataFrame) -> str:
    """Say where on the body most lesions are, and which diagnosis keeps to one place."""
    table = exploration.tabulate(frame, "localization")
    known = table.drop(columns=exploration.UNKNOWN, errors="ignore")
    if known.empty:
        return "The place on the body is not known of any image."
    total = known.sum()
    shares = known.div(known.sum(axis=1).replace(0, np.nan), axis=0)
    code, place = _peak(shares)
    strength = exploration.associate(known)
    return (
        f"The most frequent place is the {total.idxmax()} ({total.max() / total.sum():.1%} of the "
        f"known). {_named(code)} keeps to one place most: {np.nanmax(shares.to_numpy()):.0%} "
        f"{place}. {_strength(strength)}"
    )


def say_dx_type(frame: pd.DataFrame) -> str:
    """Say which diagnosis was confirmed how: some ways belong to one diagnosis."""
    table = exploration.tabulate(frame, "dx_type")
    if list(table.columns) == [exploration.UNKNOWN]:
        return "It is not known of any image how its diagnosis was confirmed."
    only = [
        f"{_count(count, 'image')} confirmed by {way}, {_share_of(table[way].max(), count)} of "
        f"them {table[way].idxmax()}"
        for way, count in table.sum().items()
        if count and way != exploration.UNKNOWN and way != "histo"
    ]
    always = [
        code for code in table.index if table.loc[code].get("histo", 0) == table.loc[code].sum()
    ]
    certain = f" Every image of {_listed(always)} has a histology." if always else ""
    ways = "; ".join(only) if only else "All images are confirmed by histology"
    return f"{ways}.{certain} How sure a label is depends on the diagnosis."


def say_source(frame: pd.DataFrame) -> str:
    """Say how much the source gives away about the diagnosis."""
    table = exploration.tabulate(frame, "dataset")
    if list(table.columns) == [exploration.UNKNOWN]:
        return "The source of the images is not known (the copy on Kaggle lacks the column)."
    largest = table.columns[0]
    in_largest = table[largest]
    # Of the rarer diagnoses, the one that comes most from one source.
    shares = table.div(table.sum(axis=1), axis=0).drop(index=in_largest.idxmax())
    code, source = _peak(shares if len(shares) else table)
    strength = exploration.associate(table)
    confounded = strength >= NOTABLE
    warning = " A model can read the diagnosis off the camera, not the skin." if confounded else ""
    return (
        f"{in_largest.max() / in_largest.sum():.0%} of the {in_largest.sum():,} images from "
        f"{largest} are {in_largest.idxmax()}, and {table[source][code]:,} of the "
        f"{table.loc[code].sum():,} {code} come from {source}. {_strength(strength)}{warning}"
    )


def say_per_lesion(frame: pd.DataFrame) -> str:
    """Say how many images share their lesion: what a split by image would leak."""
    counts = exploration.count_per_lesion(frame)
    if counts.empty:
        return "The lesion is not known of any image."
    lesions, images = int(counts.sum()), int((counts * counts.index).sum())
    single = int(counts.get(1, 0))
    return (
        f"{lesions:,} lesions have {images:,} images: {single:,} lesions have one, and "
        f"{images - single:,} images ({(images - single) / images:.1%}) share their lesion with "
        "another. Split by image, a model is tested on lesions that it has seen in training."
    )


def say_masks(frame: pd.DataFrame) -> str:
    """Say how much of the frame lesions cover and where they lie."""
    area = frame["area"].dropna()
    medians = frame.groupby("dx")["area"].median().dropna()
    small, large = str(medians.idxmin()), str(medians.idxmax())
    most, whole = int((area > exploration.LARGE_MASK).sum()), int((area >= WHOLE).sum())
    empty = int((area == 0).sum())
    touching = frame["touches"].dropna().astype(float).mean()
    big = (
        f" {_count(most, 'mask')} larger than {exploration.LARGE_MASK:.0%} of the frame, "
        f"{whole:,} of them all of it."
        if most
        else ""
    )
    hollow = f" {_count(empty, 'mask')} empty." if empty else ""
    return (
        f"The lesion covers {area.median():.0%} of the frame in the median image, from "
        f"{medians[small]:.0%} ({small}) to {medians[large]:.0%} ({large}). It reaches the frame's "
        f"edge in {touching:.0%} of the images.{big}{hollow}"
    )


def say_colours(frame: pd.DataFrame) -> str:
    """Say which lesions are darkest, and how much darker than the skin."""
    part = "lesion" if exploration.has_masks(frame) else "frame"
    values = exploration.luminance(frame, part)
    medians = values.groupby(frame["dx"]).median().dropna()
    dark, light = str(medians.idxmin()), str(medians.idxmax())
    text = (
        f"The median luminance runs from {medians[dark]:.0f} ({dark}, the darkest) to "
        f"{medians[light]:.0f} ({light})."
    )
    if part == "lesion":
        contrast = (
            (exploration.luminance(frame, "skin") - values).groupby(frame["dx"]).median().dropna()
        )
        if len(contrast):
            text += (
                f" Against the skin around it {contrast.idxmax()} stands out most (by "
                f"{contrast.max():.0f}) and {contrast.idxmin()} least (by {contrast.min():.0f})."
            )
    return text


def say_source_colours(frame: pd.DataFrame) -> str:
    """Say how far apart the sources are in brightness."""
    values = exploration.luminance(frame, "frame")
    sources = frame["dataset"].fillna(exploration.UNKNOWN)
    medians = values.groupby(sources).median()
    if len(medians) == 1:
        return f"There is one source ({medians.index[0]})."
    dark, light = str(medians.idxmin()), str(medians.idxmax())
    return (
        f"Cameras and light differ: the median luminance runs from {medians[dark]:.0f} ({dark}) to "
        f"{medians[light]:.0f} ({light})."
    )


def say_missing(frame: pd.DataFrame) -> str:
    """Say which values are missing, and in which form."""
    missing = exploration.count_missing(frame)
    parts = [
        f"{column} {row['null'] + row['unknown']:,}"
        + (" (as the word “unknown”)" if row["unknown"] and not row["null"] else "")
        for column, row in missing.iterrows()
        if row.sum()
    ]
    return f"Missing: {', '.join(parts)}." if parts else "No value is missing."


def _peak(table: pd.DataFrame) -> tuple[str, str]:
    """Return row and column of the largest number."""
    values = table.to_numpy(dtype=float)
    row, column = np.unravel_index(int(np.nanargmax(values)), values.shape)
    return str(table.index[int(row)]), str(table.columns[int(column)])


def _named(code: str) -> str:
    return f"{NAMES[code]} ({code})"


def _listed(codes: list[str]) -> str:
    return codes[0] if len(codes) == 1 else f"{', '.join(codes[:-1])} and {codes[-1]}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun} is" if number == 1 else f"{number:,} {noun}s are"


def _share_of(part: int, whole: int) -> str:
    return "all" if part == whole else f"{part / whole:.0%}"


def _strength(cramers_v: float) -> str:
    if np.isnan(cramers_v):
        return "There is one value only."
    return f"Association with the diagnosis: Cramér's V {cramers_v:.2f} (0 none, 1 complete)."
