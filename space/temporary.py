"""The page's own temporary folder: gone when the page ends, swept up later if it was killed."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "hf_lesion_page_"
LOCK = "lock"
# Gradio reads this with every upload.
GRADIO_FOLDER = "GRADIO_TEMP_DIR"


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Yield an empty folder into which everything temporary goes, and delete it at the end.

    No other user can look into it. What killed pages left behind is deleted first: a page holds the
    lock in its folder as long as it lives, so that neither a process number used twice nor a second
    page on the same machine can be mistaken for one that is gone.
    """
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = FileLock(folder / LOCK)
    lock.acquire()
    before, told = tempfile.tempdir, os.environ.get(GRADIO_FOLDER)
    tempfile.tempdir = os.environ[GRADIO_FOLDER] = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        # Another page in this process would look for its uploads in a folder that is gone.
        if told is None:
            del os.environ[GRADIO_FOLDER]
        else:
            os.environ[GRADIO_FOLDER] = told
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> list[Path]:
    """Delete the folders of pages that were killed; return them."""
    gone = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Never follow a link that someone else laid in a folder that everyone can write.
        if folder.is_symlink() or not folder.is_dir() or not _is_ours(folder):
            continue
        try:
            with FileLock(folder / LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
                gone.append(folder)
        except (Timeout, OSError):
            continue
    return gone


def _is_ours(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
