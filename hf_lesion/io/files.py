"""Atomic file writes, JSON records, and lists of files."""

import contextlib
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_lesion.errors import InputError

# Prefixes of folders being written (followed by the process id) and of folders being replaced.
PARTIAL = ".partial-"
REPLACED = ".replaced-"


@contextlib.contextmanager
def whole_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder that is renamed to `target` on success and deleted on failure.

    A `target` that exists and is not empty is only replaced with `overwrite`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    if not overwrite and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(
            f"{target} already exists. Pass --overwrite to replace it, or another --output."
        )
    partial = target.with_name(f"{PARTIAL}{target.name}-{os.getpid()}-{_unique()}")
    partial.mkdir()
    try:
        yield partial
        _replace_folder(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path that is renamed to `target` on success.

    The temporary name keeps the suffix of `target`, since many writers choose a format by it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{PARTIAL}{_unique()}-{target.name}")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target` as UTF-8, atomically; file names in it as by `storable_name`."""
    with whole_file(target) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def storable_name(name: str | Path) -> str:
    r"""Return a file name as text that can be stored as UTF-8.

    Bytes that are not UTF-8, which Python reads as surrogates, are escaped: `caf\udce9.jpg`.
    """
    return str(name).encode("utf-8", "backslashreplace").decode()


def check_model_path(path: str | Path) -> None:
    """Raise InputError unless a path is UTF-8: safetensors opens no other names."""
    if storable_name(path) != str(path):
        raise InputError(
            f"{storable_name(path)} is not UTF-8, and safetensors opens no other names. Rename it, "
            "or pass another folder for the model."
        )


def walk(folder: Path) -> list[Path]:
    """Return the files at any depth below `folder`, sorted.

    Links to folders are followed, but each folder is visited once. Hidden files and folders are
    skipped, as are pipes and devices.
    """
    files: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(n for n in folders if not n.startswith("."))
        if real not in seen:
            files += [Path(place, name) for name in names if not name.startswith(".")]
        seen.add(real)
    # Reading the target of a broken link is an error that names it.
    return sorted(file for file in files if file.is_file() or not file.exists())


def _raise(error: OSError) -> None:
    raise error


def write_json(target: Path, value: Any) -> None:
    """Write `value` to `target` as indented JSON, atomically; NaN becomes null."""
    text = json.dumps(without_nan(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(target, text + "\n")


def read_json(file: Path, *, fix: str) -> dict[str, Any]:
    """Return the object in a JSON file; see `parse_json`."""
    return parse_json(file.read_bytes(), source=str(file), fix=fix)


def parse_json(data: bytes, *, source: str, fix: str) -> dict[str, Any]:
    """Return the object in UTF-8 JSON; raise InputError if there is none.

    `source` is its name in messages, `fix` a sentence on what to do about a damaged one.
    """
    try:
        found = json.loads(data.decode())
    except ValueError as error:
        raise InputError(f"{source} is not JSON: {error}. {fix}") from error
    if not isinstance(found, dict):
        raise InputError(f"{source} holds a {type(found).__name__} instead of a record. {fix}")
    return found


def read_json_if_there(file: Path, *, fix: str) -> dict[str, Any]:
    """Return the object in a JSON file as `read_json` does; empty if the file does not exist."""
    return read_json(file, fix=fix) if file.is_file() else {}


def without_nan(value: Any) -> Any:
    """Return a copy with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {name: without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def remove_leftovers(target: Path) -> None:
    """Delete leftovers of killed runs of `whole_folder`, but not of runs in progress.

    If a run was killed while replacing `target`, the previous folder is restored.
    """
    name = re.escape(target.name)
    for entry in list(target.parent.iterdir()):
        if found := re.fullmatch(rf"{re.escape(PARTIAL)}{name}-(\d+)-[0-9a-f]+", entry.name):
            if not _is_running(int(found[1])):
                shutil.rmtree(entry, ignore_errors=True)
        elif re.fullmatch(rf"{re.escape(REPLACED)}{name}-[0-9a-f]+", entry.name):
            if target.exists():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                os.replace(entry, target)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _unique() -> str:
    return uuid.uuid4().hex[:8]


def _replace_folder(partial: Path, target: Path) -> None:
    if not target.exists():
        os.replace(partial, target)
        return
    old = target.with_name(f"{REPLACED}{target.name}-{_unique()}")
    os.replace(target, old)
    os.replace(partial, target)
    shutil.rmtree(old, ignore_errors=True)
