"""Fetching HAM10000 and the official ISIC 2018 Task 3 test set from Harvard Dataverse.

Source of the file ids: doi:10.7910/DVN/DBW86T. What the API answers:
https://guides.dataverse.org/en/latest/api/native-api.html and dataaccess.html.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pooch

from hf_lesion.data.resume import PART_SUFFIX, Patience, TransferError, build_downloader, fetch
from hf_lesion.errors import InputError
from hf_lesion.files import write_json

BASE_URL = "https://dataverse.harvard.edu"
PAGE = "https://doi.org/10.7910/DVN/DBW86T"
# What Dataverse told about the files: with it and the files, a second run needs no network.
DESCRIPTIONS_FILE = "dataverse.json"
MD5_DIGITS = 32
# A file that arrives with wrong bytes is fetched once more from its first byte.
TRIES = 2


@dataclass(frozen=True)
class RemoteFile:
    """One file of the Dataverse dataset, and the name to keep it under."""

    id: int
    name: str


@dataclass(frozen=True)
class Description:
    """What Dataverse tells about a file: its MD5, its bytes, and whether it has been converted.

    Tables are converted on upload; the MD5 is that of the file that was uploaded, which
    `?format=original` gives back. Its size is not told reliably (IQSS/dataverse issue 5321).
    """

    md5: str
    size: int | None
    converted: bool


IMAGES = (
    RemoteFile(4338392, "HAM10000_metadata.csv"),
    RemoteFile(3172585, "HAM10000_images_part_1.zip"),
    RemoteFile(3172584, "HAM10000_images_part_2.zip"),
)
MASKS = (RemoteFile(3838943, "HAM10000_segmentations_lesion_tschandl.zip"),)
OFFICIAL_TEST = (
    RemoteFile(6924466, "ISIC2018_Task3_Test_GroundTruth.csv"),
    RemoteFile(3855824, "ISIC2018_Task3_Test_Images.zip"),
)


def download(
    folder: Path,
    *,
    with_masks: bool = False,
    with_official_test: bool = False,
    base_url: str = BASE_URL,
    patience: Patience | None = None,
) -> list[Path]:
    """Fetch the files into `folder`, each checked by the MD5 that Dataverse tells.

    Files that are there already are kept if their MD5 is right; a file that was cut goes on from
    where it ended.

    Args:
        folder: Where the files go; made if need be.
        with_masks: Also fetch the lesion masks.
        with_official_test: Also fetch the official test images and their ground truth.
        base_url: Of Dataverse or a mirror that answers alike.
        patience: How long and how often to try; the default suits a slow line.

    Returns:
        The files.

    Raises:
        InputError: If a file cannot be fetched or comes with other bytes, or the disk is too full;
            the text tells how to go on by hand.
    """
    files = [
        *IMAGES,
        *(MASKS if with_masks else ()),
        *(OFFICIAL_TEST if with_official_test else ()),
    ]
    patience = patience or Patience()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        descriptions = _describe_all(folder, files, base_url.rstrip("/"), patience)
        _check_space(folder, files, descriptions)
        return [
            _fetch(folder, file, descriptions[file], base_url.rstrip("/"), patience)
            for file in files
        ]
    except TransferError as error:
        names = ", ".join(file.name for file in files)
        raise InputError(
            f"Cannot fetch {error}. Run the same command again to go on with what has arrived in "
            f"{folder}. Where the network is closed, fetch {names} by hand from {PAGE} and pass "
            "their folder as --source."
        ) from error


def parse_description(data: bytes) -> Description:
    """Parse what `/api/files/{id}` answers.

    Raises:
        ValueError: If `data` is no such answer or holds no MD5.
    """
    try:
        file = json.loads(data)["data"]["dataFile"]
        checksum = file.get("checksum") or {}
        is_md5 = str(checksum.get("type")).upper() == "MD5"
        md5 = str(file.get("md5") or (checksum.get("value") if is_md5 else "")).lower()
        converted = bool(file.get("tabularData") or file.get("originalFileFormat"))
        size = None if converted or "filesize" not in file else int(file["filesize"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError("no description of a file") from error
    if len(md5) != MD5_DIGITS or set(md5) - set("0123456789abcdef"):
        raise ValueError("a description without MD5")
    return Description(md5, size, converted)


def _describe_all(
    folder: Path, files: Sequence[RemoteFile], base_url: str, patience: Patience
) -> dict[RemoteFile, Description]:
    """Return the descriptions, from an earlier run's record where it has them."""
    record = folder / DESCRIPTIONS_FILE
    known = _read_record(record)
    for file in files:
        if file.name not in known:
            known[file.name] = _describe(file, base_url, patience)
            write_json(record, {name: asdict(each) for name, each in known.items()})
    return {file: known[file.name] for file in files}


def _read_record(record: Path) -> dict[str, Description]:
    try:
        values = json.loads(record.read_text(encoding="utf-8"))
        return {name: Description(**value) for name, value in values.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # a record that cannot be read is asked for anew


def _describe(file: RemoteFile, base_url: str, patience: Patience) -> Description:
    url = f"{base_url}/api/files/{file.id}"
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / f"{file.name}: checksum"
        try:
            fetch(url, part, size=None, patience=patience)
            return parse_description(part.read_bytes())
        except (TransferError, ValueError) as error:
            reason = f"the server sends {error}" if isinstance(error, ValueError) else str(error)
            raise TransferError(f"the checksum of {file.name} from {url}: {reason}") from error


def _check_space(
    folder: Path, files: Sequence[RemoteFile], descriptions: dict[RemoteFile, Description]
) -> None:
    """Check that the disk has room for what is still to come."""
    needed = 0
    for file in files:
        target = folder / file.name
        part = folder / f"{file.name}{PART_SUFFIX}"
        have = sum(path.stat().st_size for path in (target, part) if path.exists())
        needed += max(0, (descriptions[file].size or 0) - have)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"The files still need {needed / 1e9:.1f} GB, but {folder} has room for "
            f"{free / 1e9:.1f} GB. Make room, or pass another --download_dir."
        )


def _fetch(
    folder: Path, file: RemoteFile, description: Description, base_url: str, patience: Patience
) -> Path:
    url = f"{base_url}/api/access/datafile/{file.id}"
    url += "?format=original" if description.converted else ""
    downloader: Any = build_downloader(
        folder / f"{file.name}{PART_SUFFIX}", size=description.size, patience=patience
    )
    pooch.get_logger().setLevel(logging.WARNING)  # its notes would cut through the bar
    for _ in range(TRIES):
        try:
            known_hash = f"md5:{description.md5}"
            return Path(
                pooch.retrieve(url, known_hash, file.name, path=folder, downloader=downloader)
            )
        except TransferError as error:
            raise TransferError(f"{file.name} from {url}: {error}") from error
        except ValueError:  # pooch's way to say that the sum differs; it has removed the file
            continue
    (folder / DESCRIPTIONS_FILE).unlink(missing_ok=True)
    raise TransferError(
        f"{file.name} from {url}: it came {TRIES} times with other bytes than its MD5 "
        f"{description.md5} asks for"
    )
