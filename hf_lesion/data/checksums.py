"""SHA-256 checksums of the published 600×450 images and masks of HAM10000.

`checksums.csv` has the columns image_id, image_sha256 and mask_sha256, one row per image.
"""

import csv
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

from tqdm import tqdm

from hf_lesion.data.sources import MASK_ENDING
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.decoding import ImageFile

CHECKSUMS_FILE = "checksums.csv"


def read_checksums() -> dict[str, str]:
    """Return the SHA-256 of each published file by stem, such as "ISIC_0024306_segmentation"."""
    sums = {}
    with files("hf_lesion.data").joinpath(CHECKSUMS_FILE).open(encoding="ascii") as stream:
        for row in csv.DictReader(stream):
            sums[row["image_id"]] = row["image_sha256"]
            sums[row["image_id"] + MASK_ENDING] = row["mask_sha256"]
    return sums


def check_originals(images: Mapping[str, ImageFile]) -> None:
    """Raise InputError unless every file, by its stem, is identical to the published one."""
    sums = read_checksums()
    with ThreadPoolExecutor() as pool:
        found = pool.map(
            lambda file: hashlib.sha256(file.read_bytes()).hexdigest(), images.values()
        )
        bar = tqdm(found, desc="Checking", total=len(images), unit="file", disable=None)
        differing = [
            stem for stem, digest in zip(images, bar, strict=True) if sums.get(stem) != digest
        ]
    if differing:
        raise InputError(
            f"{len(differing)} of {len(images)} files differ from the published ones (SHA-256): "
            f"{list_offenders(differing)}. Remove the archives that contain them and download "
            "them again from https://doi.org/10.7910/DVN/DBW86T."
        )
