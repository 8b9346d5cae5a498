"""Leakage audit: lesions, identical files and near-duplicates shared between splits.

Also measures the leakage of two common ways of splitting, by image and by copied rows.
"""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from sklearn.model_selection import train_test_split

from hf_lesion.data.near_duplicates import (
    ORIENTATION_NAMES,
    NearDuplicate,
    confirm_candidates,
    extract_detail,
    find_candidates,
    hash_image,
)
from hf_lesion.data.reader import map_images, open_image, read_rows
from hf_lesion.data.record import fingerprint, read_fingerprint
from hf_lesion.data.splits import SPLITS
from hf_lesion.errors import InputError
from hf_lesion.io.provenance import provenance
from hf_lesion.labels import ID2LABEL

TRAIN, TEST = "train", "test"
COLUMNS = ("image_id", "lesion_id", "label")
COPIES = 3  # how often `split_copied_rows` repeats each row
PAIRS_PER_PASS = 4000  # pairs compared per pass over the data: at most 8,000 details, 200 MB
DRAWS = 20
TEST_FRACTION = 0.2  # as in the common train_test_split(..., test_size=0.2)


@dataclass(frozen=True)
class Scan:
    """Identity of each image of a dataset."""

    rows: pd.DataFrame  # image_id, lesion_id, label (code), split, sha256 (of the file)
    hashes: NDArray[np.uint8]  # (N, 4, 32), as from `near_duplicates.hash_image`


def scan(folder: Path, *, with_hashes: bool = True) -> Scan:
    """Read every image of a prepared dataset once, without comparing it with its record.

    Needs about 0.5 kB of memory per image. Without `with_hashes`, perceptual hashes are left empty.
    """
    rows, hashes = [], []
    for split, row in read_rows(folder, ["image", *COLUMNS]):
        sha256 = hashlib.sha256(row["image"]["bytes"]).hexdigest()
        rows.append((row["image_id"], row["lesion_id"], ID2LABEL[row["label"]], split, sha256))
        if with_hashes:
            hashes.append(hash_image(open_image(row)))
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "split", "sha256"])
    return Scan(frame, np.stack(hashes) if hashes else np.empty((0, 4, 32), np.uint8))


def find_near_duplicates(folder: Path, found: Scan) -> tuple[list[NearDuplicate], int]:
    """Return pairs of images of the same skin under two lesion_ids, the most similar first.

    Candidate images are read a second time.

    Returns:
        Pairs of row numbers of `found.rows`; the number of candidates that were not compared.
    """
    # An image without lesion_id (official test set) counts as a lesion of its own.
    lesions = found.rows["lesion_id"].fillna(found.rows["image_id"])
    groups = pd.factorize(lesions)[0]
    contents = pd.factorize(found.rows["sha256"])[0]
    pairs, left_out = find_candidates(found.hashes, groups, contents)
    confirmed = []
    for start in range(0, len(pairs), PAIRS_PER_PASS):
        part = pairs[start : start + PAIRS_PER_PASS]
        wanted = {number for pair in part for number in (pair.first, pair.second)}
        confirmed += confirm_candidates(part, map_images(folder, wanted, _detail, "Comparing"))
    return sorted(confirmed, key=lambda pair: -pair.correlation), left_out


def _detail(image: Image.Image) -> NDArray[np.float16]:
    return extract_detail(image).astype(np.float16)


def split_by_image(
    rows: pd.DataFrame, *, test_fraction: float = TEST_FRACTION, seed: int = 0
) -> pd.DataFrame:
    """Split all images by row, stratified by diagnosis; a common scheme that leaks lesions.

    Only rows of train, validation and test are used.
    """
    if not 0 < test_fraction < 1:
        raise InputError(f"Expected a test fraction between 0 and 1; got {test_fraction:g}.")
    rows = rows[rows["split"].isin(SPLITS)].reset_index(drop=True)
    try:
        _, test = train_test_split(
            rows.index, test_size=test_fraction, stratify=rows["label"], random_state=seed
        )
    except ValueError as error:  # raised by scikit-learn if a class is too small
        raise InputError(
            f"Too few images to split by row with a test fraction of {test_fraction:g}: {error}"
        ) from error
    return rows.assign(split=np.where(rows.index.isin(test), TEST, TRAIN))


def split_copied_rows(
    rows: pd.DataFrame, *, test_fraction: float = TEST_FRACTION, seed: int = 0
) -> pd.DataFrame:
    """Return lesions with a single image, each row repeated three times, then split by row.

    This is oversampling before the split. Arguments and errors are those of `split_by_image`.
    """
    known = rows[rows["lesion_id"].notna()]
    single = known[~known["lesion_id"].duplicated(keep=False)]
    return split_by_image(pd.concat([single] * COPIES), test_fraction=test_fraction, seed=seed)


SCHEMES: dict[str, Callable[..., pd.DataFrame]] = {
    "image-level": split_by_image,
    "copied-rows": split_copied_rows,
}


def compare_splits(
    rows: pd.DataFrame, near: Sequence[NearDuplicate] | None = None
) -> list[dict[str, Any]]:
    """Return the lesions and images that each pair of splits shares.

    Returns:
        For each pair: "splits" (two names), "lesions" (shared lesion_ids), "identical" (pairs of
        image_ids with the same bytes, one per content), "near_duplicates" (their number, None if
        they were not searched for).
    """
    parts = {str(split): part for split, part in rows.groupby("split", sort=False)}
    return [
        {
            "splits": [first, second],
            "lesions": sorted(
                set(parts[first]["lesion_id"].dropna()) & set(parts[second]["lesion_id"])
            ),
            "identical": _identical(parts[first], parts[second]),
            "near_duplicates": None if near is None else _count_between(rows, near, first, second),
        }
        for first, second in itertools.combinations(parts, 2)
    ]


def repeat_scheme(
    rows: pd.DataFrame, scheme: str, *, test_fraction: float = TEST_FRACTION, draws: int = DRAWS
) -> dict[str, Any]:
    """Return mean and standard deviation of the fractions of `count_seen`, over random splits.

    The splits are drawn by one of `SCHEMES` with the seeds from 0 to `draws` - 1.
    """
    split = SCHEMES[scheme]
    counts = pd.DataFrame(
        [count_seen(split(rows, test_fraction=test_fraction, seed=seed)) for seed in range(draws)]
    )
    shares = {
        name: {"mean": float(counts[name].mean()), "standard_deviation": float(counts[name].std())}
        for name in ("share", "share_all_others")
    }
    return {"draws": draws, **shares}


def count_seen(rows: pd.DataFrame) -> dict[str, Any]:
    """Count the test rows whose lesion or identical image is in train.

    Returns:
        "rows" in test; "seen" and "share": number and fraction whose lesion_id or image content is
        in train; "all_others_seen" and "share_all_others": those whose lesion has other rows, all
        of them in train.
    """
    train, test = (rows[rows["split"] == split] for split in (TRAIN, TEST))
    known = train["lesion_id"].dropna()
    seen = test["lesion_id"].isin(known) | test["sha256"].isin(train["sha256"])
    in_train, in_all = (part["lesion_id"].value_counts() for part in (train, rows))
    others = test["lesion_id"].map(in_all) - 1
    whole = (others > 0) & (test["lesion_id"].map(in_train).fillna(0) == others)
    return {
        "rows": len(test),
        "seen": int(seen.sum()),
        "share": float(seen.mean()),
        "all_others_seen": int(whole.sum()),
        "share_all_others": float(whole.mean()),
    }


def build_record(
    folder: Path,
    found: Scan,
    rows: pd.DataFrame,
    *,
    scheme: dict[str, Any] | None = None,
    near: tuple[list[NearDuplicate], int] | None = None,
) -> dict[str, Any]:
    """Return the content of `leakage.json`.

    `rows` are `found.rows` to audit the splits of the dataset, or the result of a splitting scheme
    whose name, options and averages are `scheme`. `near` is as from `find_near_duplicates`.

    Returns:
        "leaks" is true if a lesion or an identical image is in two splits; near-duplicates do not
        count. "fingerprint" is computed from the files, "fingerprint_prepared" is that of the
        record.
    """
    pairs = compare_splits(rows, near[0] if near else None)
    return {
        "dataset": folder.name,
        "fingerprint": fingerprint(found.rows),
        "fingerprint_prepared": read_fingerprint(folder),
        "scheme": scheme,
        "splits": {
            str(split): {"rows": len(part), "lesions": int(part["lesion_id"].nunique())}
            for split, part in rows.groupby("split", sort=False)
        },
        "leaks": any(pair["lesions"] or pair["identical"] for pair in pairs),
        "pairs": pairs,
        "test_rows_seen": count_seen(rows),
        "near_duplicates": None if near is None else [_entry(rows, pair) for pair in near[0]],
        "candidates_not_compared": None if near is None else near[1],
        "provenance": provenance(),
    }


def _entry(rows: pd.DataFrame, pair: NearDuplicate) -> dict[str, Any]:
    ends = rows.iloc[[pair.first, pair.second]]
    return {
        **{column: ends[column].to_list() for column in (*COLUMNS, "split")},
        "orientation": ORIENTATION_NAMES[pair.orientation],
        "hash_distance": pair.distance,
        "detail_correlation": round(pair.correlation, 3),
    }


def _identical(first: pd.DataFrame, second: pd.DataFrame) -> list[list[str]]:
    left, right = (part.drop_duplicates("sha256") for part in (first, second))
    both = left.merge(right, on="sha256", suffixes=("_1", "_2"))
    return sorted(both[["image_id_1", "image_id_2"]].to_numpy().tolist())


def _count_between(
    rows: pd.DataFrame, near: Sequence[NearDuplicate], first: str, second: str
) -> int:
    split = rows["split"].to_numpy()
    return sum({split[pair.first], split[pair.second]} == {first, second} for pair in near)
