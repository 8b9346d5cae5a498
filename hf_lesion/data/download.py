"""Download of HAM10000 and the official ISIC 2018 Task 3 test set from Harvard Dataverse.

Pooch checks the files and keeps them. Its `DOIDownloader` does not fit: it needs doi.org, and gets
tables in the form that Dataverse converted them to, whose MD5 is not the published one; and its
downloaders start again from the first byte after a cut.

Source of the file ids: doi:10.7910/DVN/DBW86T. Answers of the API:
https://guides.dataverse.org/en/latest/api/native-api.html and dataaccess.html.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pooch
import requests
from tqdm import tqdm
from urllib3.util import Retry

from hf_lesion.errors import InputError
from hf_lesion.io.files import write_text

BASE_URL = "https://dataverse.harvard.edu"
PAGE = "https://doi.org/10.7910/DVN/DBW86T"
IMAGES = {
    "HAM10000_metadata.csv": 4338392,
    "HAM10000_images_part_1.zip": 3172585,
    "HAM10000_images_part_2.zip": 3172584,
}
MASKS = {"HAM10000_segmentations_lesion_tschandl.zip": 3838943}
OFFICIAL_TEST = {
    "ISIC2018_Task3_Test_GroundTruth.csv": 6924466,
    "ISIC2018_Task3_Test_Images.zip": 3855824,
}
# Name, MD5 and address of each file, for pooch: a second run needs no network.
REGISTRY = "registry.txt"
PART = ".part"
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces
ATTEMPTS = 4  # without a new byte: a closed network is reported after 7 seconds
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0  # seconds between two attempts
BUSY = (429, 500, 502, 503, 504)  # statuses of a server that may pass
CHUNK_BYTES = 1 << 14  # at most so much is lost by a cut
# Of a compressed answer, a Range would not count the bytes on the disk.
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "hf_lesion (pooch)"}

T = TypeVar("T")


class TransferError(Exception):
    """Why a file cannot be fetched."""


def download(
    folder: Path,
    *,
    with_masks: bool = False,
    with_official_test: bool = False,
    base_url: str = BASE_URL,
) -> list[Path]:
    """Download the files that are missing or damaged into a folder, each checked by its MD5.

    Args:
        folder: Where the files go. What a cut or a killed run has left there is continued.
        with_masks: Also fetch the lesion masks.
        with_official_test: Also fetch the official test images and their ground truth.
        base_url: Of Dataverse or a mirror with the same API.

    Raises:
        InputError: If a file cannot be fetched, or has not the MD5 that Dataverse states.
    """
    names = IMAGES | (MASKS if with_masks else {}) | (OFFICIAL_TEST if with_official_test else {})
    folder.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel(logging.WARNING)  # its notes would break the progress bar
    try:
        fetcher = _open_registry(folder, names, base_url.rstrip("/"))
        return [_fetch(fetcher, name) for name in names]
    except TransferError as error:
        raise InputError(
            f"Cannot fetch {error}. Run the same command again to continue with what is in "
            f"{folder}. Where the network is closed, download {', '.join(names)} from {PAGE} by "
            "hand and pass their folder as --source."
        ) from error


def parse_description(data: bytes) -> tuple[str, bool]:
    """Parse the answer of `/api/files/{id}`.

    Returns:
        The MD5 of the file as it was uploaded, and whether Dataverse has converted it (a table);
        then only `?format=original` gives the uploaded file.

    Raises:
        ValueError: If `data` is no such answer or holds no MD5.
    """
    try:
        file = json.loads(data)["data"]["dataFile"]
        checksum = file.get("checksum") or {}
        is_md5 = str(checksum.get("type")).upper() == "MD5"
        md5 = str(file.get("md5") or (checksum.get("value") if is_md5 else "")).lower()
        converted = bool(file.get("tabularData") or file.get("originalFileFormat"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError("an answer that does not describe a file") from error
    if not re.fullmatch("[0-9a-f]{32}", md5):
        raise ValueError("a description without MD5")
    return md5, converted


def _open_registry(folder: Path, names: dict[str, int], base_url: str) -> pooch.Pooch:
    """Return pooch with the MD5 and address of each file, asking for those it does not know."""
    fetcher = pooch.create(path=folder, base_url="", registry={}, urls={}, retry_if_failed=1)
    with contextlib.suppress(OSError, ValueError):  # absent or damaged
        fetcher.load_registry(folder / REGISTRY)
    for name, number in names.items():
        if fetcher.urls.get(name, "").startswith(f"{base_url}/"):
            continue
        url = f"{base_url}/api/files/{number}"
        try:
            md5, converted = parse_description(_retry(partial(_read, url)))
        except (TransferError, ValueError) as error:
            reason = f"the server sends {error}" if isinstance(error, ValueError) else str(error)
            raise TransferError(f"the checksum of {name} from {url}: {reason}") from error
        original = "?format=original" if converted else ""
        fetcher.urls[name] = f"{base_url}/api/access/datafile/{number}{original}"
        fetcher.registry[name] = f"md5:{md5}"
    lines = [f"{name} {fetcher.registry[name]} {url}\n" for name, url in fetcher.urls.items()]
    write_text(folder / REGISTRY, "".join(lines))
    return fetcher


def _fetch(fetcher: pooch.Pooch, name: str) -> Path:
    part = Path(fetcher.abspath) / f"{name}{PART}"

    def resume(url: str, output_file: Any, _: Any) -> None:
        _retry(lambda: _append(url, part), lambda: _length(part))
        os.replace(part, output_file)

    url = fetcher.get_url(name)
    try:
        return Path(fetcher.fetch(name, downloader=resume))
    except TransferError as error:
        raise TransferError(f"{name} from {url}: {error}") from error
    except ValueError as error:  # a wrong sum, twice
        (part.parent / REGISTRY).unlink()
        md5 = fetcher.registry[name].removeprefix("md5:")
        raise TransferError(f"{name} from {url}: its MD5 is not {md5}") from error


def _retry(step: Callable[[], T], position: Callable[[], int] = lambda: 0) -> T:
    """Return what a step returns; repeat it after a cut, a stall, or if the server is busy.

    Args:
        step: Raises a `requests.RequestException` if it fails.
        position: How far the transfer is. Attempts that take it further are not counted.

    Raises:
        TransferError: If the server refuses, or after `ATTEMPTS` without progress.
    """
    furthest, idle = position(), 0
    while True:
        try:
            return step()
        except requests.RequestException as error:
            idle = 1 if position() > furthest else idle + 1
            furthest = max(furthest, position())
            reason, response = _describe(error), error.response
            is_refused = response is not None and response.status_code not in BUSY
            if is_refused or isinstance(error, ValueError):  # the address is wrong
                raise TransferError(reason) from error
            if idle >= ATTEMPTS:
                raise TransferError(f"{reason}, {idle} times in a row") from error
            asked = None if response is None else Retry().get_retry_after(response.raw)
            wait = max(FIRST_WAIT * 2.0 ** (idle - 1), asked or 0.0)
            if wait > LONGEST_WAIT:
                raise TransferError(f"{reason}, and asks to wait {wait:.0f} seconds") from error
            time.sleep(wait)


def _append(url: str, part: Path) -> None:
    """Append to a file what is missing of it."""
    start = _length(part)
    with _get(url, start) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is missing
        start *= response.status_code == requests.codes.partial_content
        missing = int(response.headers.get("Content-Length", 0))
        free = shutil.disk_usage(part.parent).free
        if missing > free:
            raise TransferError(f"{missing / 1e9:.1f} GB do not fit, {free / 1e9:.1f} GB are free")
        bar = tqdm(
            total=start + missing,
            initial=start,
            desc=part.stem,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            disable=None,  # a log keeps only the error
        )
        with bar, part.open("ab" if start else "wb") as stream:
            for chunk in response.iter_content(CHUNK_BYTES):
                bar.update(stream.write(chunk))


def _get(url: str, start: int = 0) -> requests.Response:
    """Ask for an address from a byte on; raise HTTPError unless there is something to read."""
    headers = {**HEADERS, **({"Range": f"bytes={start}-"} if start else {})}
    response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    if response.status_code != requests.codes.requested_range_not_satisfiable or not start:
        response.raise_for_status()
    return response


def _read(url: str) -> bytes:
    return _get(url).content


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _describe(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "no answer in time"
    known = {
        requests.exceptions.ChunkedEncodingError: "the connection was cut",
        requests.exceptions.SSLError: "the connection is not trusted (TLS)",
        requests.exceptions.ProxyError: "the proxy refuses",
        requests.exceptions.ConnectionError: "no connection",
    }
    return next((text for kind, text in known.items() if isinstance(error, kind)), str(error))
