"""Download of HAM10000 and the official ISIC 2018 Task 3 test set from Harvard Dataverse.

Pooch's `DOIDownloader` is not used: it requires doi.org, fetches tables as converted by Dataverse
(with another MD5 than the published one), and restarts an interrupted download from the first byte.

Source of the file ids: doi:10.7910/DVN/DBW86T. API reference:
https://guides.dataverse.org/en/latest/api/native-api.html and dataaccess.html.
"""

import hashlib
import os
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

from hf_lesion.errors import InputError

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
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two chunks
ATTEMPTS = 4  # consecutive attempts without progress
# Repeats requests that find no server or a busy one, after the time that it asks for.
RETRY = Retry(ATTEMPTS - 1, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504))
CHUNK_BYTES = 1 << 14  # at most this much is lost when a download is interrupted
# With a compressed response, a Range would not refer to the bytes on the disk.
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "hf_lesion"}


def download(
    folder: Path,
    *,
    with_masks: bool = False,
    with_official_test: bool = False,
    base_url: str = BASE_URL,
) -> list[Path]:
    """Download missing files into a folder, verify their MD5, and return their paths.

    Interrupted downloads are resumed; `base_url` is Dataverse or a mirror with the same API.

    Raises:
        InputError: If a file cannot be downloaded, or does not have the MD5 stated by Dataverse.
    """
    names = IMAGES | (MASKS if with_masks else {}) | (OFFICIAL_TEST if with_official_test else {})
    folder.mkdir(parents=True, exist_ok=True)
    with requests.Session() as session:
        session.headers.update(HEADERS)
        session.mount(base_url, HTTPAdapter(max_retries=RETRY))
        for name, number in names.items():
            try:
                _fetch(session, folder / name, f"{base_url.rstrip('/')}/api", number)
            except (requests.RequestException, InputError) as error:
                raise InputError(
                    f"Cannot download {name}: {error}. Run the same command again to resume the "
                    f"download in {folder}. Without network access, download {', '.join(names)} "
                    f"from {PAGE} manually and pass their folder as --source."
                ) from error
    return [folder / name for name in names]


def _fetch(session: requests.Session, target: Path, api: str, number: int) -> None:
    """Download a file and verify its MD5, unless an earlier run has done so."""
    if target.exists():
        return
    response = session.get(f"{api}/files/{number}", timeout=TIMEOUT)
    response.raise_for_status()
    try:
        file = response.json()["data"]["dataFile"]
        md5, is_converted = file["md5"], file.get("tabularData") or file.get("originalFileFormat")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{response.url} returned no description of the file") from error
    part = target.with_name(f"{target.name}.part")
    query = "?format=original" if is_converted else ""  # a table, as it was uploaded
    _download(session, f"{api}/access/datafile/{number}{query}", part)
    with part.open("rb") as stream:
        found = hashlib.file_digest(stream, "md5").hexdigest()
    if found != md5:
        part.unlink()
        raise InputError(f"its MD5 is {found} instead of {md5}")
    os.replace(part, target)


def _download(session: requests.Session, url: str, part: Path) -> None:
    """Append the missing remainder of a file, again after interruptions and timeouts."""
    idle = 0  # attempts without progress
    while True:
        start = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={start}-"} if start else {}
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if start and response.status_code == requests.codes.requested_range_not_satisfiable:
                return None  # the file is complete
            response.raise_for_status()
            try:
                is_rest = response.status_code == requests.codes.partial_content
                return _append(response, part, start if is_rest else 0)
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                idle = 1 if part.stat().st_size > start else idle + 1
                if idle == ATTEMPTS:
                    raise


def _append(response: requests.Response, part: Path, start: int) -> None:
    length = start + int(response.headers.get("Content-Length", 0))
    bar = tqdm(total=length, initial=start, desc=part.stem, unit="B", unit_scale=True, disable=None)
    with bar, part.open("ab" if start else "wb") as stream:
        for chunk in response.iter_content(CHUNK_BYTES):
            bar.update(stream.write(chunk))
