"""Writing so that nothing is ever half there: to a temporary name first, then renamed."""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_lesion.errors import InputError

TEMPORARY = ".partial-"


@contextlib.contextmanager
def whole_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends well, and vanishes if not.

    Args:
        target: The folder to make. Its parent is created.
        overwrite: Replace a folder that is there already.

    Raises:
        InputError: If `target` is there already and not empty and `overwrite` is false.
    """
    if not overwrite and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(
            f"{target} is there already. Pass --overwrite to replace it, or another --output."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    partial = target.with_name(f"{TEMPORARY}{target.name}-{uuid.uuid4().hex[:8]}")
    partial.mkdir()
    try:
        yield partial
        _replace_folder(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path that is renamed to `target` when the block ends well.

    The temporary name keeps the suffix of `target`, since many writers choose a format by it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8 to `target`, whole or not at all."""
    with whole_file(target) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON to `target`, whole or not at all; NaN is refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(target, text + "\n")


def remove_leftovers(target: Path) -> None:
    """Remove what interrupted runs of `whole_folder` left beside `target`."""
    for leftover in target.parent.glob(f"{TEMPORARY}{target.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _replace_folder(partial: Path, target: Path) -> None:
    if not target.exists():
        os.replace(partial, target)
        return
    old = target.with_name(f"{TEMPORARY}{target.name}-{uuid.uuid4().hex[:8]}")
    os.replace(target, old)
    os.replace(partial, target)
    shutil.rmtree(old, ignore_errors=True)
