"""Download of HAM10000 and the official ISIC 2018 Task 3 test set from Harvard Dataverse.

Pooch verifies and caches the files. Its `DOIDownloader` is not used: it requires doi.org, fetches
tables as converted by Dataverse (with another MD5 than the published one), and restarts an
interrupted download from the first byte.

Source of the file ids: doi:10.7910/DVN/DBW86T. API reference:
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
# Name, MD5 and URL of each file in the format of pooch; a second run needs no network.
REGISTRY = "registry.txt"
PART = ".part"
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two chunks
ATTEMPTS = 4  # consecutive attempts without progress; fails after 7 seconds without network
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0  # seconds between two attempts
BUSY = (429, 500, 502, 503, 504)  # HTTP statuses that are retried
CHUNK_BYTES = 1 << 14  # at most this much is lost when a download is interrupted
# With a compressed response, a Range would not refer to the bytes on the disk.
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "hf_lesion (pooch)"}

T = TypeVar("T")


class TransferError(Exception):
    """A file cannot be downloaded."""


def download(
    folder: Path,
    *,
    with_masks: bool = False,
    with_official_test: bool = False,
    base_url: str = BASE_URL,
) -> list[Path]:
    """Download missing or damaged files into a folder, verify their MD5, and return their paths.

    Interrupted downloads are resumed; `base_url` is Dataverse or a mirror with the same API.

    Raises:
        InputError: If a file cannot be downloaded, or does not have the MD5 stated by Dataverse.
    """
    names = IMAGES | (MASKS if with_masks else {}) | (OFFICIAL_TEST if with_official_test else {})
    folder.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel(logging.WARNING)  # its messages would break the progress bar
    try:
        fetcher = _open_registry(folder, names, base_url.rstrip("/"))
        return [_fetch(fetcher, name) for name in names]
    except TransferError as error:
        raise InputError(
            f"Cannot download {error}. Run the same command again to resume the download in "
            f"{folder}. Without network access, download {', '.join(names)} from {PAGE} "
            "manually and pass their folder as --source."
        ) from error


def parse_description(data: bytes) -> tuple[str, bool]:
    """Parse the response of `/api/files/{id}`.

    Returns:
        The MD5 of the uploaded file, and whether Dataverse has converted it (tables); then
        `?format=original` is needed to get the uploaded file.

    Raises:
        ValueError: If `data` is not such a response or has no MD5.
    """
    try:
        file = json.loads(data)["data"]["dataFile"]
        checksum = file.get("checksum") or {}
        is_md5 = str(checksum.get("type")).upper() == "MD5"
        md5 = str(file.get("md5") or (checksum.get("value") if is_md5 else "")).lower()
        converted = bool(file.get("tabularData") or file.get("originalFileFormat"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError("a response that does not describe a file") from error
    if not re.fullmatch("[0-9a-f]{32}", md5):
        raise ValueError("a description without MD5")
    return md5, converted


def _open_registry(folder: Path, names: dict[str, int], base_url: str) -> pooch.Pooch:
    """Return a pooch with the MD5 and URL of each file, requesting those that are unknown."""
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
            reason = f"the server returned {error}" if isinstance(error, ValueError) else str(error)
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
    except ValueError as error:  # the MD5 differed twice
        (part.parent / REGISTRY).unlink()
        md5 = fetcher.registry[name].removeprefix("md5:")
        raise TransferError(f"{name} from {url}: its MD5 differs from {md5}") from error


def _retry(step: Callable[[], T], position: Callable[[], int] = lambda: 0) -> T:
    """Call `step` until it succeeds, retrying after interruptions, timeouts and busy servers.

    `step` raises a `requests.RequestException` if it fails. Attempts that advance `position`, the
    number of bytes received, are not counted.

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
            if is_refused or isinstance(error, ValueError):  # invalid URL
                raise TransferError(reason) from error
            if idle >= ATTEMPTS:
                raise TransferError(f"{reason}, {idle} times in a row") from error
            asked = None if response is None else Retry().get_retry_after(response.raw)
            wait = max(FIRST_WAIT * 2.0 ** (idle - 1), asked or 0.0)
            if wait > LONGEST_WAIT:
                raise TransferError(f"{reason}; retry after {wait:.0f} seconds") from error
            time.sleep(wait)


def _append(url: str, part: Path) -> None:
    """Download the missing remainder of a file and append it."""
    start = _length(part)
    with _get(url, start) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # the file is complete
        start *= response.status_code == requests.codes.partial_content
        missing = int(response.headers.get("Content-Length", 0))
        free = shutil.disk_usage(part.parent).free
        if missing > free:
            raise TransferError(
                f"not enough disk space: {missing / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free"
            )
        bar = tqdm(
            total=start + missing,
            initial=start,
            desc=part.stem,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            disable=None,
        )
        with bar, part.open("ab" if start else "wb") as stream:
            for chunk in response.iter_content(CHUNK_BYTES):
                bar.update(stream.write(chunk))


def _get(url: str, start: int = 0) -> requests.Response:
    """Request a URL from byte `start`; raise HTTPError on failure."""
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
        return f"the server returned {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "the request timed out"
    known = {
        requests.exceptions.ChunkedEncodingError: "the connection was interrupted",
        requests.exceptions.SSLError: "TLS verification failed",
        requests.exceptions.ProxyError: "proxy error",
        requests.exceptions.ConnectionError: "connection failed",
    }
    return next((text for kind, text in known.items() if isinstance(error, kind)), str(error))
