"""Snapshots of saved models: a checked local folder, or one fetched from the Hub at one commit.

A model is loaded from a folder only, never file by file over the network. All its files are then of
the same commit, can be compared with SHA256SUMS, and remain available without the Hub.
"""

import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx

from hf_lesion.errors import InputError
from hf_lesion.io.checksums import CONFIG, MANIFEST, DamageError, check_manifest, read_manifest
from hf_lesion.io.files import check_model_path
from hf_lesion.io.tokens import describe_rejection

logger = logging.getLogger(__name__)
SECONDS = 5
# What loading reads: no code, no charts, and no weights but safetensors.
SUFFIXES = (".json", ".safetensors")
PATTERNS = (*(f"*{suffix}" for suffix in SUFFIXES), MANIFEST)
COMMIT = re.compile(r"[0-9a-f]{40}")
TROUBLE = (OSError, HfHubHTTPError, OfflineModeIsEnabled, httpx.HTTPError)


@dataclass(frozen=True)
class Snapshot:
    """Files of a model at one commit."""

    folder: Path  # complete and undamaged, according to SHA256SUMS if there is one
    name: str  # of the folder, or the Hub id
    revision: str | None = None  # the commit on the Hub; None for a folder


def open_snapshot(source: str, *, revision: str | None = None) -> Snapshot:
    """Return a model's folder, fetched from the Hub if it is not one, and checked.

    `source` is a folder, a Hub id ("owner/name"), or one with a revision ("owner/name@v1"): a
    branch, tag or commit, which may be passed as `revision` instead.
    """
    if Path(source).is_dir():
        check_model_path(source)
        check_manifest(Path(source), suffixes=SUFFIXES)
        return Snapshot(Path(source), Path(source).resolve().name)
    repo_id, revision = split_revision(source, revision)
    folder = _fetch(repo_id, revision)
    try:
        check_manifest(folder, suffixes=SUFFIXES)
    except DamageError as error:
        raise _forget(folder, repo_id, error) from error
    return Snapshot(folder, repo_id, folder.name)


def split_revision(source: str, revision: str | None = None) -> tuple[str, str | None]:
    """Return a Hub id and its revision, which may follow an @; InputError if both differ."""
    repo_id, _, pinned = source.partition("@")
    if source.startswith((".", "/", "~")) or repo_id.count("/") != 1:
        raise InputError(
            f"Model folder {source} not found. Pass a folder that scripts/train.py saved, or a "
            "Hub id such as owner/name."
        )
    if pinned and revision and pinned != revision:
        raise InputError(f"{source} names a revision, and another one is given: {revision}.")
    return repo_id, revision or pinned or None


def _fetch(repo_id: str, revision: str | None) -> Path:
    """Return the folder of a model in the Hub's cache, after downloading missing files."""
    cached = _cached(repo_id, revision) if COMMIT.fullmatch(revision or "") else None
    # A commit never changes: a whole copy of it, that can be checked, needs no question.
    if cached is not None and (cached / MANIFEST).is_file():
        return cached
    if trouble := _trouble(repo_id, revision):
        if folder := _cached(repo_id, revision):
            logger.warning("%s The copy in the cache is used.", trouble)
            return folder
        raise trouble
    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=list(PATTERNS)))
    except TROUBLE as error:
        what = f"The model {repo_id} could not be fetched whole from the Hub"
        if rejection := describe_rejection(error):
            raise InputError(f"{what}. {rejection}") from error
        raise InputError(
            f"{what} ({_name(error)}). Run it again: what was fetched is kept."
        ) from error


def _cached(repo_id: str, revision: str | None) -> Path | None:
    try:
        folder = snapshot_download(
            repo_id, revision=revision, allow_patterns=list(PATTERNS), local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    return Path(folder) if _is_whole(Path(folder)) else None


def _is_whole(folder: Path) -> bool:
    """Return whether the cached model is complete; an interrupted download is not."""
    if (folder / MANIFEST).is_file():
        names = [name for name in read_manifest(folder) if Path(name).suffix in SUFFIXES]
        return all((folder / name).is_file() for name in names)
    return (folder / CONFIG).is_file() and any(folder.glob("*.safetensors"))


def _trouble(repo_id: str, revision: str | None) -> InputError | None:
    """Return why the Hub cannot be used, or None; asked once, briefly.

    huggingface_hub alone retries for most of a minute. Raises InputError if the
    model does not exist or is gated.
    """

    def ask() -> object:
        return HfApi().model_info(repo_id, revision=revision, timeout=SECONDS)

    try:
        _within(SECONDS, ask)
    except GatedRepoError as error:
        raise InputError(
            f"Access to the model {repo_id} is gated. Request it on the model's page on the Hub."
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(f"The model {repo_id} has no revision {revision}.") from error
    except HFValidationError as error:
        raise InputError(f"{repo_id} is not a Hub id such as owner/name: {error}") from error
    except TROUBLE as error:
        what = f"The model {repo_id} could not be fetched from the Hub"
        if rejection := describe_rejection(error):
            return InputError(f"{what}. {rejection}")
        if isinstance(error, RepositoryNotFoundError):
            raise InputError(
                f"There is no model {repo_id} on the Hub, or it is private and you are not logged "
                "in: run `hf auth login`, or set HF_TOKEN."
            ) from error
        return InputError(
            f"{what} ({_name(error)}), and there is no folder of that name. Pass the folder of a "
            "local copy."
        )
    return None


def _within(seconds: float, ask: Callable[[], object]) -> None:
    """Call a function with a timeout; raise TimeoutError if it takes longer.

    The client's own limit is for each step and each address of a server: where packets are dropped
    the steps add up to a minute, and looking up a name has no limit at all.
    """
    answer: Future[object] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            answer.set_exception(error)

    threading.Thread(target=run, name="asks the Hub", daemon=True).start()
    answer.result(timeout=seconds)


def _forget(folder: Path, repo_id: str, error: DamageError) -> InputError:
    """Delete damaged files from the cache and return the error; they are fetched again."""
    for name in error.files:
        file = folder / name
        if file.is_file():
            file.resolve().unlink(missing_ok=True)
            file.unlink(missing_ok=True)
    text = str(error).partition(". Fetch it again")[0].replace(str(folder), repo_id)
    return InputError(
        f"{text}. It is refused. What is damaged was removed from the cache: run it again to fetch "
        "that anew."
    )


def _name(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"no answer in {SECONDS} seconds"
    return type(error).__name__
