"""Upload of a built folder to the Hub in one commit that contains only what changed.

Large files are uploaded before the commit and are invisible until then, so a repository contains
the whole folder or none of it. Running the same command again uploads only missing files.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from hf_lesion.hub.checks import read_front_matter
from hf_lesion.hub.client import (
    GITATTRIBUTES,
    Kind,
    Target,
    check_target,
    find_target,
    hub_errors,
)
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
    """Print the changes, upload them in one commit, and print the repository's address.

    `revision` is a branch, made if need be. A dry run shows the changes, sends nothing and returns
    None instead of the commit. See `check_target` for `private` and `overwrite`.
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
    """Print the files of a folder when there is no repository to compare with."""
    _say("\n".join(describe(folder, dict.fromkeys(list_files(folder), NEW))))
    _say(NOTHING_SENT)


def plan(folder: Path, target: Target) -> dict[str, str]:
    """Return the change of each file by name: "new", "changed", "same" or "removed"."""
    there = dict(target.files or {})
    own = {name: file_sha256(folder / name) for name in list_files(folder)}
    changes = {
        name: NEW if name not in there else SAME if there[name] == sha256 else CHANGED
        for name, sha256 in own.items()
    }
    gone = set(there) - set(own) - {GITATTRIBUTES}
    return changes | dict.fromkeys(sorted(gone), REMOVED)


def upload(folder: Path, target: Target, changes: Mapping[str, str], *, private: bool) -> str:
    """Upload the changes of `plan` in one commit, and return it; create a missing repository."""
    if target.head is not None and set(changes.values()) <= {SAME}:
        return target.head
    api = HfApi()
    address = {"repo_id": target.repo_id, "repo_type": target.kind}
    with hub_errors(target.repo_id):
        if not target.exists:
            sdk = {}
            if target.kind == "space":
                sdk = {"space_sdk": read_front_matter(folder).get("sdk", "gradio")}
            api.create_repo(**address, private=private, **sdk)
        if target.revision and target.head is None:
            api.create_branch(**address, branch=target.revision, exist_ok=True)
        removed = [name for name, what in changes.items() if what == REMOVED]
        sent = [name for name, what in changes.items() if what in (NEW, CHANGED)]
        return api.create_commit(
            **address,
            operations=[
                *(CommitOperationDelete(name) for name in removed),
                *(CommitOperationAdd(name, folder / name) for name in sent),
            ],
            commit_message=f"Publish the {target.kind}",
            revision=target.revision,
            parent_commit=target.head,
        ).oid


def describe(folder: Path, changes: Mapping[str, str]) -> list[str]:
    """Return one line for each file: its change, size in bytes and name."""
    lines = []
    for name, what in changes.items():
        size = 0 if what == REMOVED else (folder / name).stat().st_size
        lines.append(f"  {what:8}{size:>13,}  {name}")
    return lines


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
