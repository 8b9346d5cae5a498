"""Fetching one file over HTTP so that a cut, a stall or a busy server costs little."""

import datetime
import email.utils
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

PART_SUFFIX = ".part"
BUSY = (429, 500, 502, 503, 504)  # states of a server that may pass
CHUNK_BYTES = 1 << 14  # what a cut can lose: requests hands on whole chunks only
# Compressed on the way, the bytes that a Range counts would not be those on the disk.
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "hf_lesion (pooch)"}


class TransferError(Exception):
    """Why a file cannot be fetched; what has arrived of it stays in its part file."""


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to try again without a new byte."""

    connect: float = 10.0
    read: float = 60.0
    attempts: int = 4  # a closed network is told after 7 seconds
    first_wait: float = 1.0
    longest_wait: float = 300.0


@dataclass(frozen=True)
class Setback:
    """Why an attempt ended early, and how many seconds the server asks to wait."""

    reason: str
    wait: float | None = None


def build_downloader(
    part: Path, *, size: int | None, patience: Patience
) -> Callable[[str, Any, Any], None]:
    """Return a downloader as `pooch.retrieve` takes it, which goes on from the file `part`.

    Pooch's own downloader starts anew after a cut and forgets what has arrived.

    Args:
        part: Where the bytes gather; what is there already is not fetched again.
        size: Bytes of the whole file; None where unknown.
        patience: How long and how often to try.
    """

    def download(url: str, output_file: Any, pooch: Any) -> None:
        del pooch  # pooch passes itself: not needed here
        fetch(url, part, size=size, patience=patience)
        os.replace(part, output_file)

    return download


def fetch(url: str, part: Path, *, size: int | None, patience: Patience) -> None:
    """Fetch `url` into `part`, from where it ends, with back-off until the file is whole.

    Only a checksum tells whether the bytes are right: that is the caller's.

    Raises:
        TransferError: If the server refuses, or no new byte came in `patience.attempts` attempts.
    """
    furthest, idle = _length(part), 0
    with requests.Session() as session, _bar(part, size) as bar:
        while (setback := _attempt(session, url, part, size, patience, bar)) is not None:
            idle = 1 if _length(part) > furthest else idle + 1
            furthest = max(furthest, _length(part))
            if idle >= patience.attempts:
                raise TransferError(f"{setback.reason}, {idle} times in a row")
            wait = max(setback.wait or 0.0, patience.first_wait * 2.0 ** (idle - 1))
            if wait > patience.longest_wait:
                raise TransferError(f"{setback.reason}, and asks to wait {wait:.0f} seconds")
            bar.set_postfix_str(f"{setback.reason}: again in {wait:.0f} s")
            time.sleep(wait)
            bar.set_postfix_str("")


def _attempt(
    session: requests.Session,
    url: str,
    part: Path,
    size: int | None,
    patience: Patience,
    bar: "tqdm[Any]",
) -> Setback | None:
    """Return None when the file is whole as far as the server tells."""
    start = _length(part)
    if size is not None and start >= size:
        return None
    headers = {**HEADERS, **({"Range": f"bytes={start}-"} if start else {})}
    timeout = (patience.connect, patience.read)
    try:
        with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
            if start and response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None  # nothing lies beyond what has arrived
            setback = _judge(response, part, start)
            if setback is None:
                _append(
                    response, part, bar, anew=response.status_code != HTTPStatus.PARTIAL_CONTENT
                )
    except requests.RequestException as error:
        if isinstance(error, ValueError):  # a wrong address, which waiting does not mend
            raise TransferError(str(error)) from error
        return Setback(_describe(error))
    length = _length(part)
    if setback is None and size is not None and length < size:
        return Setback(f"the answer ends at {length:,} of {size:,} bytes")
    return setback


def _judge(response: requests.Response, part: Path, start: int) -> Setback | None:
    """Return why the body is of no use, or None if it can be written."""
    status = f"the server answers {response.status_code} {response.reason}"
    if response.status_code in BUSY:
        return Setback(status, _retry_after(response.headers.get("Retry-After")))
    if response.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise TransferError(status)
    came = response.headers.get("Content-Range", "")
    if response.status_code == HTTPStatus.PARTIAL_CONTENT and not came.startswith(
        f"bytes {start}-"
    ):
        part.unlink(missing_ok=True)
        return Setback(f"the server sends the range '{came}' instead of that from {start}")
    return None


def _append(response: requests.Response, part: Path, bar: "tqdm[Any]", *, anew: bool) -> None:
    if anew:
        bar.reset(bar.total)
    with part.open("wb" if anew else "ab") as stream:
        for chunk in response.iter_content(CHUNK_BYTES):
            stream.write(chunk)
            bar.update(len(chunk))


def _bar(part: Path, size: int | None) -> "tqdm[Any]":
    return tqdm(
        total=size,
        initial=_length(part),
        desc=part.name.removesuffix(PART_SUFFIX),
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=None,  # no bar where nobody watches: a log keeps only the error line
    )


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, as a number or a date; None if not."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date - datetime.datetime.now(datetime.UTC)).total_seconds())


def _describe(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    if isinstance(error, requests.exceptions.SSLError):
        return "the connection is not trusted (TLS)"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refuses"
    return "no connection"
