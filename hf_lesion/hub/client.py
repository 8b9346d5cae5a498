"""Client of the Hub: the account, the state of a repository, and errors in one line."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi, get_session, get_token, hf_hub_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.checksums import MANIFEST, UNLISTED, file_sha256, parse_manifest
from hf_lesion.io.tokens import FORBIDDEN, UNAUTHORIZED, describe_rejection

Kind = Literal["model", "dataset", "space"]
CARD = "README.md"
SECONDS = 60.0  # without an answer or a byte; the client itself has no timeout
NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,94}[A-Za-z0-9_]|[A-Za-z0-9_]")
COMMIT = re.compile(r"[0-9a-f]{40}")
GITATTRIBUTES = ".gitattributes"
# A repository with no more than what the Hub's own pages put into a new one.
FRESH = {GITATTRIBUTES, CARD}

LOGIN = "Run `hf auth login`, or set HF_TOKEN."
WRITE_TOKEN = "https://huggingface.co/settings/tokens makes a token with write access."
AGAIN = "Run the same command again: what was sent is not sent twice."
TIMEOUT, CHANGED, TOO_MANY, SERVER = 408, 412, 429, 500
# Of the libraries: raised by the client itself, by its transport, and around a failed upload.
RAISED = (
    HfHubHTTPError,
    OfflineModeIsEnabled,
    httpx.HTTPError,
    ConnectionError,
    TimeoutError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Target:
    """State of a repository before an upload."""

    repo_id: str
    kind: Kind
    revision: str | None = None  # the branch; None is the main one
    head: str | None = None  # the branch's commit; None if the branch does not exist yet
    exists: bool = False
    private: bool | None = None  # None where it does not exist
    files: Mapping[str, str] | None = None  # SHA-256 by name; "" where that is not known
    ours: bool = True  # whether this module wrote what is there, or nothing is there

    @property
    def page(self) -> str:
        """Its address on the Hub."""
        prefix = "" if self.kind == "model" else f"{self.kind}s/"
        return f"{HfApi().endpoint}/{prefix}{self.repo_id}"


def check_account(repo_id: str, *, timeout: float = SECONDS) -> str:
    """Return the full name of a repository that the token may write to, or raise InputError.

    A name without owner is of the token's own account. `timeout` is in seconds, for all requests of
    this process to the Hub.
    """
    owner, _, name = repo_id.rpartition("/")
    if not NAME.fullmatch(name) or (owner and not NAME.fullmatch(owner)):
        raise InputError(
            f"{repo_id!r} is not a valid repository name: expected owner/name of letters, digits, "
            "-, _ and ., at most 96 each."
        )
    if get_token() is None:
        raise InputError(f"You are not logged in to the Hub. {LOGIN}")
    get_session().timeout = timeout
    with hub_errors(repo_id):
        account = HfApi().whoami()
    token = account.get("auth", {}).get("accessToken", {})
    if token.get("role") == "read":
        raise InputError(f"Your token of the Hub may only read. {WRITE_TOKEN}")
    owners = [account["name"], *(org["name"] for org in account.get("orgs", []))]
    if owner and owner not in owners:
        raise InputError(
            f"{repo_id}: you have no right to write there. You are {owners[0]}; you can write "
            f"under {list_offenders(owners)}."
        )
    return f"{owner or owners[0]}/{name}"


def find_target(repo_id: str, kind: Kind, *, revision: str | None = None) -> Target:
    """Return the state of a repository and its branch; a commit as `revision` is an InputError."""
    if revision and COMMIT.fullmatch(revision):
        raise InputError(f"--revision is a branch to write to; {revision} is a commit.")
    api = HfApi()
    with hub_errors(repo_id):
        try:
            info = api.repo_info(repo_id, repo_type=kind, timeout=SECONDS)
        except RepositoryNotFoundError:
            return Target(repo_id, kind, revision)
        if revision:
            try:
                info = api.repo_info(repo_id, repo_type=kind, revision=revision, timeout=SECONDS)
            except RevisionNotFoundError:
                return Target(repo_id, kind, revision, None, True, info.private)
        files = _read_files(repo_id, kind, info)
    ours = MANIFEST in files or not set(files) - FRESH
    return Target(repo_id, kind, revision, info.sha, True, info.private, files, ours)


def check_target(target: Target, *, private: bool | None, overwrite: bool) -> bool:
    """Return whether the repository is private, or will be created as private.

    `private` is the requested visibility; None: private for datasets, public otherwise. Publishing
    private content, or replacing other people's files without `overwrite`, is an InputError.
    """
    wanted = target.kind == "dataset" if private is None else private
    if wanted and target.private is False:
        raise InputError(
            f"{target.repo_id} exists and is public; expected a private one"
            f"{'' if private else ' (datasets are private by default)'}. Make it private in its "
            "settings on the Hub, or pass --public."
        )
    if not target.ours and not overwrite:
        others = sorted(set(target.files or {}) - FRESH)
        raise InputError(
            f"{target.repo_id} exists and has files that scripts/publish.py did not write: "
            f"{list_offenders(others)}. Pass another --repo_id, or --overwrite to replace it all."
        )
    return wanted if target.private is None else target.private


def _read_files(repo_id: str, kind: Kind, info: Any) -> dict[str, str]:
    """Return the SHA-256 of the files of one commit, by its SHA256SUMS."""
    names = [sibling.rfilename for sibling in info.siblings or []]
    sums = dict.fromkeys(names, "")

    def fetch(name: str) -> Path:
        return Path(hf_hub_download(repo_id, name, repo_type=kind, revision=info.sha))

    if MANIFEST in names:
        text = fetch(MANIFEST).read_text(encoding="utf-8", errors="replace")
        sums |= {k: v for k, v in parse_manifest(text).items() if k in sums}
        sums |= {name: file_sha256(fetch(name)) for name in UNLISTED if name in sums}
    return sums


@contextlib.contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Convert exceptions of the Hub's client to an `InputError` that names the repository."""
    try:
        yield
    except InputError:
        raise
    except RAISED as error:
        raise InputError(explain(error, what)) from error


def explain(error: BaseException, what: str) -> str:
    """Return the cause of an error and how to fix it."""
    # The client wraps errors of an upload in its own "Error while uploading …".
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, OfflineModeIsEnabled):
        return f"{what}: HF_HUB_OFFLINE is set, so nothing goes to the Hub. Unset it."
    if isinstance(error, HfHubHTTPError):
        return _explain_answer(error, what)
    name = type(error).__name__
    if isinstance(error, httpx.HTTPError | ConnectionError | TimeoutError):
        return f"{what}: the Hub can't be reached ({name}: {first_line}). {AGAIN}"
    return f"{what}: {name}: {first_line}"


def _explain_answer(error: HfHubHTTPError, what: str) -> str:
    status = error.response.status_code
    said = error.server_message or error.response.headers.get("X-Error-Message") or ""
    quoted = f' The Hub says: "{" ".join(str(said).split())}"' if said else ""
    rejection = describe_rejection(error, writing=True)
    if status == UNAUTHORIZED and rejection:
        return rejection
    if status in (UNAUTHORIZED, FORBIDDEN):
        return f"{what}: you have no right to do this.{quoted} {WRITE_TOKEN}"
    fix = f" {AGAIN}" if status >= SERVER or status in (TIMEOUT, CHANGED, TOO_MANY) else ""
    return f"{what}: the Hub refuses (HTTP {status}).{quoted}{fix}"
