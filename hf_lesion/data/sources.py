"""Sources of HAM10000: folders and zip archives with metadata, images and masks.

Supported layouts: zip archives and tables as downloaded from Dataverse, the same unzipped, the copy
on Kaggle, and the ISIC 2018 challenge (Task 3). Files are identified by name, not by folder.
"""

import io
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

import pandas as pd

from hf_lesion.data.metadata import (
    METADATA_FILE,
    UNSCORED,
    drop_unscored,
    parse_ground_truth,
    parse_metadata,
    parse_training,
)
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.decoding import IMAGE_SUFFIXES, ImageFile
from hf_lesion.io.files import walk

MASK_ENDING = "_segmentation"  # as in ISIC_0024306_segmentation.png

# As uploaded, as converted by Dataverse, and as listed on its page; the first one found is read.
METADATA_NAMES = (METADATA_FILE, "HAM10000_metadata.tab", "HAM10000_metadata")
TRAINING_TRUTH = "ISIC2018_Task3_Training_GroundTruth.csv"
TRAINING_GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings.csv"
OFFICIAL_TRUTH_NAMES = (
    "ISIC2018_Task3_Test_GroundTruth.csv",
    "ISIC2018_Task3_Test_GroundTruth.tab",
)
# Folders of challenge images that are not training images.
OTHER_IMAGES = re.compile(r"ISIC2018_Task3_(Test|Validation)")
IMAGE_STEM = re.compile(r"ISIC_\d+")
ZIP_SUFFIX = ".zip"
HIDDEN = re.compile(r"(^|/)(\.[^/]|__MACOSX/)")  # macOS stores file attributes in the latter


@dataclass(frozen=True)
class Member:
    """A file in an open zip archive."""

    archive: zipfile.ZipFile
    path: str

    @property
    def name(self) -> str:
        """File name without folders."""
        return PurePosixPath(self.path).name

    def read_bytes(self) -> bytes:
        """Return the content. Safe to call from several threads.

        Raises:
            InputError: If the member is damaged; the message is a short reason.
        """
        try:
            return self.archive.read(self.path)
        except Exception as error:  # decompressors raise various errors on damaged data
            raise InputError(f"damaged in {self.archive.filename}: {error}") from error

    def __str__(self) -> str:
        return f"{self.archive.filename}/{self.path}"


@dataclass(frozen=True)
class Source:
    """An open source, a folder or zip archive."""

    path: Path
    frame: pd.DataFrame  # metadata, as from `parse_metadata`
    tables: Mapping[str, ImageFile]  # files by name
    groups: Mapping[str, list[ImageFile]]  # image files by stem

    def read_official_test(self) -> pd.DataFrame:
        """Return the metadata of the official test set, without unscored images."""
        for name in OFFICIAL_TRUTH_NAMES:
            if name in self.tables:
                file = self.tables[name]
                return drop_unscored(parse_ground_truth(_open(file), name=str(file)))[0]
        raise InputError(
            f"{self.path} has no {OFFICIAL_TRUTH_NAMES[0]}: the official test set cannot be "
            "prepared. Download it with --download --with_official_test, or omit the option."
        )

    def choose_files(self, image_ids: Iterable[str]) -> dict[str, ImageFile]:
        """Return the existing image and mask files by stem; two that differ are an InputError."""
        stems = [image_id + ending for image_id in image_ids for ending in ("", MASK_ENDING)]
        return choose_files(self.groups, stems, where=self.path)

    def find_images_without_row(self, known: Collection[str]) -> list[str]:
        """Return the sorted image_ids of training images that are not in `known`."""
        return sorted(
            stem
            for stem, files in self.groups.items()
            if IMAGE_STEM.fullmatch(stem)
            and stem not in known
            and stem not in UNSCORED
            and not any(OTHER_IMAGES.search(str(file)) for file in files)
        )


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open the source in the folder or zip archive `path` as a context manager.

    Raises:
        InputError: If `path` is neither, an archive is damaged, or the metadata is invalid.
    """
    with ExitStack() as stack:
        files = list_files(path, stack)
        # Of several tables of one name, read the one with the shortest path.
        ordered = sorted(files, key=lambda file: len(PurePath(str(file)).parts))
        tables = {file.name: file for file in reversed(ordered)}
        yield Source(path, _read_frame(path, tables), tables, group_by_stem(files))


def _read_frame(path: Path, tables: Mapping[str, ImageFile]) -> pd.DataFrame:
    for name in METADATA_NAMES:
        if name in tables:
            return parse_metadata(_open(tables[name]), name=str(tables[name]))
    if TRAINING_TRUTH in tables and TRAINING_GROUPINGS in tables:
        truth, groupings = tables[TRAINING_TRUTH], tables[TRAINING_GROUPINGS]
        return parse_training(_open(truth), _open(groupings), names=(str(truth), str(groupings)))
    if TRAINING_TRUTH in tables:
        raise InputError(
            f"{path} has {TRAINING_TRUTH} but no {TRAINING_GROUPINGS}, which is needed to split by "
            "lesion. Download it from https://challenge.isic-archive.com/data/#2018."
        )
    raise InputError(
        f"{path} has neither {METADATA_FILE} nor {TRAINING_TRUTH}. Pass the folder that contains "
        "the metadata and the images, or fetch them with --download."
    )


def _open(file: ImageFile) -> io.BytesIO:
    return io.BytesIO(file.read_bytes())


def list_files(source: Path, stack: ExitStack) -> list[ImageFile]:
    """Return all files of a folder or zip archive, including those in archives of the folder.

    `stack` keeps the archives open until it exits.
    """
    if source.is_file() and source.suffix.lower() == ZIP_SUFFIX:
        return list(_list_members(source, stack))
    if not source.is_dir():
        raise InputError(
            f"{source} is neither a folder nor a zip archive. Pass the folder that contains the "
            "metadata and the images, or fetch them with --download."
        )
    files: list[ImageFile] = []
    for path in walk(source):
        files += _list_members(path, stack) if path.suffix.lower() == ZIP_SUFFIX else [path]
    return files


def _list_members(path: Path, stack: ExitStack) -> list[Member]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        members = [
            Member(archive, info.filename)
            for info in archive.infolist()
            if not info.is_dir() and not HIDDEN.search(info.filename)
        ]
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # various errors on damaged data
        raise InputError(
            f"{path} is not a valid zip archive ({error}). Download it again."
        ) from error
    nested = [each.path for each in members if each.name.lower().endswith(ZIP_SUFFIX)]
    if nested:
        raise InputError(
            f"{path} contains {len(nested)} archives: {list_offenders(nested)}. Unzip it and pass "
            "the folder."
        )
    return sorted(members, key=lambda member: member.path)


def group_by_stem(files: Iterable[ImageFile]) -> dict[str, list[ImageFile]]:
    """Return the image files by their stem."""
    groups: dict[str, list[ImageFile]] = {}
    for file in files:
        path = PurePosixPath(file.name)
        if path.suffix.lower() in IMAGE_SUFFIXES:
            groups.setdefault(path.stem, []).append(file)
    return groups


def choose_files(
    groups: Mapping[str, list[ImageFile]], stems: Collection[str], *, where: Path
) -> dict[str, ImageFile]:
    """Return the file of each stem that has one, the first of several with the same content.

    `groups` are files by stem, `where` is the name of the source in error messages.

    Raises:
        InputError: If two files of one stem differ.
    """
    found = {stem: groups[stem][0] for stem in stems if stem in groups}
    differing = [
        f"{file} and {other}"
        for stem, file in found.items()
        for other in groups[stem][1:]
        if file.read_bytes() != other.read_bytes()
    ]
    if differing:
        raise InputError(
            f"{len(differing)} names below {where} have two different files: "
            f"{list_offenders(sorted(differing))}. Remove one of the two."
        )
    return found
