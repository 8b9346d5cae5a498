"""Temporary folder of the page: deleted when it stops, or by the next start if it was killed."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "hf_lesion_page_"
LOCK = "lock"
# Read by gradio for every upload.
GRADIO_FOLDER = "GRADIO_TEMP_DIR"


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty folder for all temporary files, and delete it at the end.

    Other users can't read it. Folders of killed pages are deleted first. A running page holds the
    lock in its folder, which, unlike a process id, can't be mistaken for that of another process.
    """
    delete_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = FileLock(folder / LOCK)
    lock.acquire()
    tempdir, gradio_folder = tempfile.tempdir, os.environ.get(GRADIO_FOLDER)
    tempfile.tempdir = os.environ[GRADIO_FOLDER] = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = tempdir
        # Another page in this process would look for its uploads in a deleted folder.
        if gradio_folder is None:
            del os.environ[GRADIO_FOLDER]
        else:
            os.environ[GRADIO_FOLDER] = gradio_folder
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def delete_leftovers() -> list[Path]:
    """Delete the folders of killed pages and return them."""
    deleted = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # The parent folder is writable by everyone: do not follow other users' links.
        if folder.is_symlink() or not folder.is_dir() or not _is_ours(folder):
            continue
        try:
            with FileLock(folder / LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
                deleted.append(folder)
        except (Timeout, OSError):
            continue
    return deleted


def _is_ours(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
