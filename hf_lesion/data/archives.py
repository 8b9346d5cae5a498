"""Reading the files of a source from folders and from zip archives as they were downloaded."""

import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hf_lesion.data.images import PictureFile
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.files import walk

ZIP_SUFFIX = ".zip"
MAC_FOLDER = "__MACOSX"  # where macOS keeps its own notes on each file of a zip


@dataclass(frozen=True)
class Member:
    """One file of an open zip archive."""

    archive: zipfile.ZipFile
    path: str

    @property
    def name(self) -> str:
        """Its name without folders."""
        return PurePosixPath(self.path).name

    def read_bytes(self) -> bytes:
        """Return its content; safe to be called by several threads.

        Raises:
            InputError: If it is damaged; the text is a short reason.
        """
        try:
            return self.archive.read(self.path)
        except Exception as error:  # whatever the unpackers raise over damaged bytes
            raise InputError(f"damaged in {self.archive.filename}: {error}") from error

    def __str__(self) -> str:
        return f"{self.archive.filename}/{self.path}"


def list_files(source: Path, stack: ExitStack) -> list[PictureFile]:
    """Return all files of a folder or zip archive, those in the folder's archives included.

    Args:
        source: A folder or a zip archive.
        stack: Closes the archives when it ends.

    Raises:
        InputError: If `source` is neither, an archive is broken, or holds archives itself.
    """
    if source.is_file() and source.suffix.lower() == ZIP_SUFFIX:
        return list(_list_members(source, stack))
    if not source.is_dir():
        raise InputError(
            f"{source} is no folder and no zip archive. Pass the folder that holds the metadata "
            "and the images, or fetch them with --download."
        )
    files: list[PictureFile] = []
    for path in walk(source):
        files += _list_members(path, stack) if path.suffix.lower() == ZIP_SUFFIX else [path]
    return files


def _list_members(path: Path, stack: ExitStack) -> list[Member]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        members = [
            Member(archive, info.filename)
            for info in archive.infolist()
            if not info.is_dir() and not _is_hidden(info.filename)
        ]
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # whatever is raised over damaged bytes
        raise InputError(f"{path} is no whole zip archive ({error}). Fetch it again.") from error
    nested = [each.path for each in members if each.name.lower().endswith(ZIP_SUFFIX)]
    if nested:
        raise InputError(
            f"{path} holds {len(nested)} archives itself: {list_offenders(nested)}. Unzip it and "
            "pass the folder."
        )
    return sorted(members, key=lambda member: member.path)


def _is_hidden(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return any(part.startswith(".") or part == MAC_FOLDER for part in parts)
