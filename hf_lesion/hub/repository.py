"""A repository on the Hub before anything is sent: may we write there, and what is there now?"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi, get_session, get_token, hf_hub_download
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.hub.trouble import LOGIN, WRITE_TOKEN, hub_errors
from hf_lesion.io.checksums import MANIFEST, UNLISTED, file_sha256, parse_manifest

Kind = Literal["model", "dataset", "space"]
CARD = "README.md"
SECONDS = 60.0  # without an answer or a byte: the client itself would wait for ever
NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,94}[A-Za-z0-9_]|[A-Za-z0-9_]")
COMMIT = re.compile(r"[0-9a-f]{40}")
GITATTRIBUTES = ".gitattributes"
# A repository with no more than what the Hub's own pages put into a new one.
FRESH = {GITATTRIBUTES, CARD}


@dataclass(frozen=True)
class Target:
    """A repository as it is found before anything is sent.

    Attributes:
        repo_id: Owner and name.
        kind: What it holds.
        revision: The branch; None is the main one.
        head: The branch's commit; None where there is no such branch yet.
        exists: Whether the repository is there.
        private: Whether it is private; None where it is not there.
        files: SHA-256 of the files on the branch, by name; "" where that is not known.
        ours: Whether this module wrote what is there, or nothing is there.
    """

    repo_id: str
    kind: Kind
    revision: str | None = None
    head: str | None = None
    exists: bool = False
    private: bool | None = None
    files: Mapping[str, str] | None = None
    ours: bool = True

    @property
    def page(self) -> str:
        """Its address on the Hub."""
        prefix = "" if self.kind == "model" else f"{self.kind}s/"
        return f"{HfApi().endpoint}/{prefix}{self.repo_id}"


def check_account(repo_id: str, *, timeout: float = SECONDS) -> str:
    """Return the repository's full name, once it is known that the token may write there.

    Args:
        repo_id: "owner/name", or a name alone for the token's own account.
        timeout: Seconds without an answer or a byte after which this process gives up on the Hub.

    Raises:
        InputError: If the name is none, nobody is logged in, or the token may not write there.
    """
    owner, _, name = repo_id.rpartition("/")
    if not NAME.fullmatch(name) or (owner and not NAME.fullmatch(owner)):
        raise InputError(
            f"{repo_id!r} is no name for a repository: expected owner/name of letters, digits, "
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
    """Return what is known of a repository and its branch.

    Raises:
        InputError: If the Hub can't be asked, or `revision` is a commit.
    """
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
    """Return whether the repository is, or is to be made, private.

    Args:
        target: What is there.
        private: As asked for; None is private for a dataset and public for the others.
        overwrite: Replace what this program did not write.

    Raises:
        InputError: If that would show what was to be private, or lose somebody's files.
    """
    wanted = target.kind == "dataset" if private is None else private
    if wanted and target.private is False:
        raise InputError(
            f"{target.repo_id} exists and is public, and a private one is asked for"
            f"{'' if private else ' (datasets are, unless --public is passed)'}. Make it private "
            "in its settings on the Hub, or pass --public."
        )
    if not target.ours and not overwrite:
        others = sorted(set(target.files or {}) - FRESH)
        raise InputError(
            f"{target.repo_id} exists and holds what scripts/publish.py did not write: "
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
