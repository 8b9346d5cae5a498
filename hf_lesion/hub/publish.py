"""A built folder to the Hub in one commit: account, repository, what changes, upload.

Large files go ahead of the commit and lie unseen until it, so a repository holds all of the folder
or none of it, and the same line run again sends only what is missing.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    get_session,
    get_token,
    hf_hub_download,
)
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.hub.checks import CARD, Kind
from hf_lesion.hub.trouble import AGAIN, LOGIN, WRITE_TOKEN, hub_errors
from hf_lesion.manifest import (
    MANIFEST,
    UNLISTED,
    file_sha256,
    list_files,
    parse_manifest,
)

SECONDS = 60.0  # without an answer or a byte: the client itself would wait for ever
NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,94}[A-Za-z0-9_]|[A-Za-z0-9_]")
COMMIT = re.compile(r"[0-9a-f]{40}")
GITATTRIBUTES = ".gitattributes"
# A repository with no more than what the Hub's own pages put into a new one.
FRESH = {GITATTRIBUTES, CARD}
NEW, CHANGED, SAME, REMOVED = "new", "changed", "same", "removed"


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


def publish_folder(
    folder: Path,
    repo_id: str,
    kind: Kind,
    *,
    revision: str | None = None,
    private: bool | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> str | None:
    """Show what of a folder is to be sent, send it in one commit, and say where it is.

    Args:
        folder: What was built and checked.
        repo_id: As `check_account` returned it.
        kind: What it holds.
        revision: Branch to write to, made if need be; None is the main one.
        private: Of a new repository; None is private for a dataset and public for the others.
        overwrite: Replace what this program did not write.
        dry_run: Show, and send nothing.

    Returns:
        The commit; None after a dry run.

    Raises:
        InputError: If the repository is not to be written, or the Hub can't be reached.
    """
    target = find_target(repo_id, kind, revision=revision)
    is_private = check_target(target, private=private, overwrite=overwrite)
    changes = plan(folder, target)
    branch = f", branch {revision}" if revision else ""
    _say(f"{kind} {repo_id}{branch}, {'private' if is_private else 'public'}:")
    _say("\n".join(describe(folder, changes)))
    if dry_run:
        _say("Nothing was sent: this is a dry run.")
        return None
    commit = upload(folder, target, changes, private=is_private)
    said = "Nothing has changed" if commit == target.head else "Published"
    _say(f"{said}: {target.page}, commit {commit}")
    return commit


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


def plan(folder: Path, target: Target) -> dict[str, str]:
    """Return what becomes of each file: "new", "changed", "same" or "removed", by name."""
    there = dict(target.files or {})
    own = {name: file_sha256(folder / name) for name in list_files(folder)}
    changes = {
        name: NEW if name not in there else SAME if there[name] == sha256 else CHANGED
        for name, sha256 in own.items()
    }
    gone = set(there) - set(own) - {GITATTRIBUTES}
    return changes | dict.fromkeys(sorted(gone), REMOVED)


def upload(folder: Path, target: Target, changes: Mapping[str, str], *, private: bool) -> str:
    """Send what changes in one commit, making the repository if need be; return the commit.

    Args:
        folder: What was built and checked.
        target: The repository, as `find_target` found it.
        changes: As `plan` gives them.
        private: Of a new repository.

    Raises:
        InputError: If the Hub refuses or can't be reached; says why, and how things stand.
    """
    if target.head is not None and set(changes.values()) <= {SAME}:
        return target.head
    api = HfApi()
    address = {"repo_id": target.repo_id, "repo_type": target.kind}
    made = False
    try:
        with hub_errors(target.repo_id):
            if not target.exists:
                sdk = {"space_sdk": "gradio"} if target.kind == "space" else {}
                api.create_repo(**address, private=private, **sdk)
                made = True
            if target.revision and target.head is None:
                api.create_branch(**address, branch=target.revision, exist_ok=True)
            return api.create_commit(
                **address,
                operations=_operations(folder, changes),
                commit_message=f"Publish the {target.kind}",
                revision=target.revision,
                parent_commit=target.head,
            ).oid
    except InputError as error:
        if not made:
            raise
        raise InputError(
            f"{str(error).replace(AGAIN, '').strip()} {target.repo_id} was made and is empty so "
            f"far. {AGAIN}"
        ) from error


def _operations(
    folder: Path, changes: Mapping[str, str]
) -> list[CommitOperationAdd | CommitOperationDelete]:
    removed = [CommitOperationDelete(name) for name, what in changes.items() if what == REMOVED]
    added = [
        CommitOperationAdd(name, folder / name)
        for name, what in changes.items()
        if what in (NEW, CHANGED)
    ]
    return [*removed, *added]


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


def describe(folder: Path, changes: Mapping[str, str]) -> list[str]:
    """Return one line for each file: what becomes of it, its bytes, its name."""
    sizes = {name: (folder / name).stat().st_size for name in changes if name in _names(folder)}
    return [f"  {what:8}{sizes.get(name, 0):>13,}  {name}" for name, what in changes.items()]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _names(folder: Path) -> set[str]:
    return set(list_files(folder))
