"""Which images a network is trained and tested on: honestly, and in the ways that leak.

Each protocol gives row numbers of one table of images, so that recipes can be compared on it.
"""

from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_lesion.data.leakage import COPIES, TEST, TEST_FRACTION, split_by_image, split_copied_rows
from hf_lesion.data.reader import open_splits
from hf_lesion.data.splits import SPLITS, choose_subset
from hf_lesion.errors import InputError

SINGLE = "single-image"
# Of the lesions with several images, those that give one image each to the fixed test set.
TESTED_SHARE = 0.5
COLUMNS = ("image_id", "lesion_id", "label")

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Protocol:
    """What is trained and tested on.

    Attributes:
        train: Row numbers; a row that is copied is named several times.
        test: Row numbers.
    """

    train: Rows
    test: Rows


def pool_splits(folder: Path) -> tuple[datasets.Dataset, pd.DataFrame]:
    """Return the images of a prepared dataset's three splits as one table.

    Returns:
        The rows with their images; and a frame of `image_id`, `lesion_id`, `label` (class id) and
        `split` in the same order, numbered from 0.

    Raises:
        InputError: As `open_splits`, or if a split is missing.
    """
    splits = open_splits(folder)
    if missing := [name for name in SPLITS if name not in splits]:
        raise InputError(f"{folder} has no split {', '.join(missing)}. Prepare it again.")
    frames = [
        splits[name].select_columns(list(COLUMNS)).to_pandas().assign(split=name) for name in SPLITS
    ]
    wanted = [splits[name].select_columns(["image", *COLUMNS]) for name in SPLITS]
    return datasets.concatenate_datasets(wanted), pd.concat(frames, ignore_index=True)


def honest_single(rows: pd.DataFrame) -> Protocol:
    """Return the dataset's own splits, of lesions with a single image: train and validation, test.

    Args:
        rows: As from `pool_splits`.
    """
    single = choose_subset(rows, SINGLE)
    is_test = single["split"] == TEST
    return Protocol(_numbers(single[~is_test]), _numbers(single[is_test]))


def paired_leak(rows: pd.DataFrame, *, seed: int = 0) -> tuple[Protocol, Protocol]:
    """Return two protocols with one fixed test set: without and with its lesions in train.

    One image of each of half the lesions that have several is tested. The first protocol trains on
    images of other lesions only; in the second as many of them, class for class, make room for the
    tested lesions' remaining images. So both train on equally many images of each class.

    Args:
        rows: As from `pool_splits`.
        seed: Of the draws; in [0, 2**32).
    """
    generator = np.random.default_rng(seed)
    several = rows[rows["lesion_id"].duplicated(keep=False)]
    # Half of each class's lesions; the first image by image_id would be no worse than any other.
    lesions = several.drop_duplicates("lesion_id")
    tested = lesions.groupby("label")["lesion_id"].sample(frac=TESTED_SHARE, random_state=generator)
    of_tested = rows[rows["lesion_id"].isin(tested)]
    test = of_tested.groupby("lesion_id").sample(1, random_state=generator)
    siblings = of_tested.drop(test.index)
    others = rows.drop(of_tested.index)
    out = [
        part.sample(min(len(part), (siblings["label"] == label).sum()), random_state=generator)
        for label, part in others.groupby("label")
    ]
    removed = pd.concat(out)
    # Where a class has fewer other images than siblings, so many siblings come in as go out.
    room = removed["label"].value_counts()
    entering = pd.concat(
        [part.head(room.get(label, 0)) for label, part in siblings.groupby("label")]
    )
    leaky = np.concatenate([_numbers(others.drop(removed.index)), _numbers(entering)])
    clean = Protocol(_numbers(others), _numbers(test))
    return clean, Protocol(np.sort(leaky), clean.test)


def copied_rows(rows: pd.DataFrame, *, seed: int = 0) -> tuple[Protocol, Protocol]:
    """Return the student project's protocol and its honest counterpart.

    Lesions with a single image; the student's rows are copied, then split by row. The counterpart
    is split first and copies the rows of train alone, so that both train equally long.

    Args:
        rows: As from `pool_splits`.
        seed: Of the splits; in [0, 2**32).
    """
    table = rows.assign(row=np.arange(len(rows)))
    copied = split_copied_rows(table, seed=seed)
    single = split_by_image(choose_subset(table, SINGLE), test_fraction=TEST_FRACTION, seed=seed)
    parts = []
    for part, copies in ((copied, 1), (single, COPIES)):
        is_test = part["split"] == TEST
        train = part.loc[~is_test, "row"].to_numpy(np.int64)
        parts.append(Protocol(np.tile(train, copies), part.loc[is_test, "row"].to_numpy(np.int64)))
    return parts[0], parts[1]


def share_seen(rows: pd.DataFrame, protocol: Protocol) -> float:
    """Return which share of the tested images has its lesion in train."""
    lesions = rows["lesion_id"]
    seen = lesions.iloc[protocol.test].isin(set(lesions.iloc[protocol.train]))
    return float(seen.mean())


def _numbers(part: pd.DataFrame) -> Rows:
    return part.index.to_numpy(np.int64)
