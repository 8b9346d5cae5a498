"""The SHA-256 sums of the published 600×450 images and masks of HAM10000.

`checksums.csv` holds the columns image_id, image_sha256 and mask_sha256, one row for each image.
"""

import csv
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

from tqdm import tqdm

from hf_lesion.data.images import MASK_ENDING, PictureFile
from hf_lesion.errors import InputError, list_offenders

CHECKSUMS_FILE = "checksums.csv"


def read_checksums() -> dict[str, str]:
    """Return the sum of each published file by its stem, as "ISIC_0024306_segmentation"."""
    sums = {}
    with files("hf_lesion.data").joinpath(CHECKSUMS_FILE).open(encoding="ascii") as stream:
        for row in csv.DictReader(stream):
            sums[row["image_id"]] = row["image_sha256"]
            sums[row["image_id"] + MASK_ENDING] = row["mask_sha256"]
    return sums


def check_originals(pictures: Mapping[str, PictureFile]) -> None:
    """Check that every picture is byte for byte the published one.

    Args:
        pictures: Images and masks by stem.

    Raises:
        InputError: If one differs from the published file, or none was published by its name.
    """
    sums = read_checksums()
    with ThreadPoolExecutor() as pool:
        found = pool.map(_hash, pictures.values())
        bar = tqdm(found, desc="Checking", total=len(pictures), unit="file", disable=None)
        differing = [
            stem for stem, digest in zip(pictures, bar, strict=True) if sums.get(stem) != digest
        ]
    if differing:
        raise InputError(
            f"{len(differing)} of {len(pictures)} files are not the published ones by their "
            f"SHA-256: {list_offenders(differing)}. Remove the archives that hold them and fetch "
            "them again from https://doi.org/10.7910/DVN/DBW86T."
        )


def _hash(picture: PictureFile) -> str:
    return hashlib.sha256(picture.read_bytes()).hexdigest()
