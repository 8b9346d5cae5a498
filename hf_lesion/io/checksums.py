"""Checksums of a published folder (SHA256SUMS), by which damaged or partial copies are rejected.

The format is that of sha256sum, so `sha256sum -c SHA256SUMS` checks a folder without this package.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.files import write_text

MANIFEST = "SHA256SUMS"
# What every saved model's folder has: the network, its weights, and how they were trained.
CONFIG, WEIGHTS, TRAINING = "config.json", "model.safetensors", "training.json"
# People edit the card on the Hub's pages, and the Hub writes its own settings: neither makes an
# answer wrong.
UNLISTED = ("README.md", ".gitattributes", MANIFEST)
# The Hub's client keeps its notes there.
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
        raise InputError(f"There is no {file}. scripts/publish.py writes one.")
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

    Args:
        folder: What was copied or fetched.
        suffixes: Of the files that have to be there and listed; None: all. Others may be absent,
            and are checked where they are there.

    Raises:
        DamageError: If a file differs, is absent, or is there and not listed.
    """
    if not (folder / MANIFEST).is_file():
        return
    listed = read_manifest(folder)
    present = set(list_files(folder)) - set(UNLISTED)
    needed = {name for name in listed if suffixes is None or Path(name).suffix in suffixes}
    unlisted = {
        name
        for name in present - listed.keys()
        if suffixes is None or Path(name).suffix in suffixes
    }
    absent = needed - present
    differing = {
        name for name in present & listed.keys() if file_sha256(folder / name) != listed[name]
    }
    found = (("not there", absent), ("different", differing), ("not listed", unlisted))
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
