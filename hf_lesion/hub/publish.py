"""A built folder to the Hub in one commit: what changes, and the upload of that.

Large files go ahead of the commit and lie unseen until it, so a repository holds all of the folder
or none of it, and the same line run again sends only what is missing.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from hf_lesion.errors import InputError
from hf_lesion.hub.repository import GITATTRIBUTES, Kind, Target, check_target, find_target
from hf_lesion.hub.trouble import AGAIN, hub_errors
from hf_lesion.io.checksums import file_sha256, list_files

NOTHING_SENT = "Nothing was sent: this is a dry run."
NEW, CHANGED, SAME, REMOVED = "new", "changed", "same", "removed"


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
        _say(NOTHING_SENT)
        return None
    commit = upload(folder, target, changes, private=is_private)
    said = "Nothing has changed" if commit == target.head else "Published"
    _say(f"{said}: {target.page}, commit {commit}")
    return commit


def show_files(folder: Path) -> None:
    """Say what a folder holds, where no repository can be compared with it."""
    _say("\n".join(describe(folder, dict.fromkeys(list_files(folder), NEW))))
    _say(NOTHING_SENT)


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


def describe(folder: Path, changes: Mapping[str, str]) -> list[str]:
    """Return one line for each file: what becomes of it, its bytes, its name."""
    lines = []
    for name, what in changes.items():
        size = 0 if what == REMOVED else (folder / name).stat().st_size
        lines.append(f"  {what:8}{size:>13,}  {name}")
    return lines


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
