"""Checksums of a published folder (SHA256SUMS), to detect damaged or partial copies.

The format is that of sha256sum, so `sha256sum -c SHA256SUMS` checks a folder without this package.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.files import write_text

MANIFEST = "SHA256SUMS"
# Files of every model folder: network, weights, and training record.
CONFIG, WEIGHTS, TRAINING = "config.json", "model.safetensors", "training.json"
# The card may be edited on the Hub, which also writes its own settings; neither changes a result.
UNLISTED = ("README.md", ".gitattributes", MANIFEST)
# Written by the client of the Hub.
CACHE = ".cache"
LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class DamageError(InputError):
    """Files that do not match SHA256SUMS; `files` are their names within the folder."""

    def __init__(self, text: str, files: Sequence[str]):
        super().__init__(text)
        self.files = tuple(files)


def write_manifest(folder: Path) -> None:
    """Write SHA256SUMS over all files of a folder and its subfolders, in the order of names."""
    names = sorted(set(list_files(folder)) - set(UNLISTED))
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in names]
    write_text(folder / MANIFEST, "".join(lines))


def read_manifest(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that SHA256SUMS lists, by its name within the folder."""
    file = folder / MANIFEST
    if not file.is_file():
        raise InputError(f"{file} not found. scripts/publish.py writes it.")
    return parse_manifest(file.read_text(encoding="utf-8", errors="replace"), source=str(file))


def parse_manifest(text: str, *, source: str = MANIFEST) -> dict[str, str]:
    """Parse the lines of sha256sum; a file outside the folder is an InputError."""
    sums = {}
    for number, line in enumerate(text.splitlines(), 1):
        found = LINE.fullmatch(line)
        if not found or found[2].startswith("/") or ".." in Path(found[2]).parts:
            raise InputError(
                f"{source}, line {number}: expected a SHA-256 and a file of this folder, got "
                f"{line[:80]!r}. Fetch the folder again."
            )
        sums[found[2]] = found[1]
    return sums


def check_manifest(folder: Path, *, suffixes: Sequence[str] | None = None) -> None:
    """Check a folder against its SHA256SUMS; a folder without one passes.

    Only files with one of the `suffixes` (None: all) are required; others are checked if present.

    Raises:
        DamageError: If a file differs, is missing, or is not listed.
    """
    if not (folder / MANIFEST).is_file():
        return
    listed = read_manifest(folder)
    present = set(list_files(folder)) - set(UNLISTED)

    def is_required(name: str) -> bool:
        return suffixes is None or Path(name).suffix in suffixes

    absent = set(filter(is_required, listed.keys() - present))
    unlisted = set(filter(is_required, present - listed.keys()))
    differing = {
        name for name in present & listed.keys() if file_sha256(folder / name) != listed[name]
    }
    found = (("missing", absent), ("different", differing), ("not listed", unlisted))
    problems = [f"{name} is {what}" for what, names in found for name in sorted(names)]
    if problems:
        raise DamageError(
            f"{folder} is not what its {MANIFEST} says: {list_offenders(problems)}. Fetch it "
            f"again; if you changed it yourself, delete {MANIFEST}.",
            sorted(absent | differing | unlisted),
        )


def list_files(folder: Path) -> list[str]:
    """Return the names of all files of a folder and its subfolders, in order, with slashes."""
    files = (file for file in folder.rglob("*") if file.is_file())
    names = (file.relative_to(folder) for file in files)
    return sorted(name.as_posix() for name in names if CACHE not in name.parts)


def list_models(folder: Path) -> list[Path]:
    """Return the model folders directly inside a folder, sorted by name, without hidden ones."""
    found = (file.parent for file in folder.glob(f"*/{CONFIG}"))
    return sorted(model for model in found if not model.name.startswith("."))


def file_sha256(file: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
