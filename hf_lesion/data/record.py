"""What the record of a prepared dataset tells: how many images of what, and what was left out."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from hf_lesion.data.checksums import read_checksums
from hf_lesion.data.shards import Outcome
from hf_lesion.data.sharper import SHARP, SOFT
from hf_lesion.data.splits import name_splits
from hf_lesion.labels import CODES


def count_images(table: pd.DataFrame, *, with_copy: bool) -> dict[str, Any]:
    """Return images, lesions, counts per dx and sharp copies per split, and absent masks.

    Args:
        table: One row per image with `split`, `lesion_id`, `label` (code), `has_mask` and `copy`.
        with_copy: Count the copies.

    Returns:
        "images", "lesions", "counts" and, if asked for, "copies": by split, the official test set
        only if it is there; a lesion_id that is not known counts as no lesion. "without_mask".
    """
    parts = {split: table[table["split"] == split] for split in name_splits(table["split"])}
    counts: dict[str, Any] = {
        "images": {split: len(part) for split, part in parts.items()},
        "lesions": {split: part["lesion_id"].nunique() for split, part in parts.items()},
        "counts": {
            split: {code: int((part["label"] == code).sum()) for code in CODES}
            for split, part in parts.items()
        },
        "without_mask": int((~table["has_mask"].astype(bool)).sum()),
    }
    if with_copy:
        counts["copies"] = {
            split: {copy: int((part["copy"] == copy).sum()) for copy in (SHARP, SOFT)}
            for split, part in parts.items()
        }
    return counts


def list_left_out(
    no_file: list[str], no_row: list[str], outcomes: Iterable[Outcome]
) -> dict[str, Any]:
    """Return the images of the metadata that were left out, and the files that were.

    Args:
        no_file: image_ids of the metadata that have no file.
        no_row: Images that have no row in the metadata.
        outcomes: What became of the others.

    Returns:
        "count" (of rows), "no_file", "unreadable" and "unreadable_masks" with the reason by
        image_id, "no_row".
    """
    outcomes = list(outcomes)
    unreadable = {
        outcome.image_id: outcome.image_problem for outcome in outcomes if outcome.image_problem
    }
    masks = {outcome.image_id: outcome.mask_problem for outcome in outcomes if outcome.mask_problem}
    return {
        "count": len(no_file) + len(unreadable),
        "no_file": no_file,
        "unreadable": unreadable,
        "unreadable_masks": masks,
        "no_row": no_row,
    }


def count_published(table: pd.DataFrame) -> int:
    """Return how many images are byte for byte the published ones.

    Args:
        table: The columns `image_id` and `sha256` (of the image's bytes).
    """
    sums = read_checksums()
    pairs = zip(table["image_id"], table["sha256"], strict=True)
    return sum(sums.get(image_id) == sha256 for image_id, sha256 in pairs)
