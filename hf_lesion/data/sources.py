"""Opening a source in any of the layouts that HAM10000 comes in: metadata and pictures by name.

The layouts: zip archives and tables as downloaded from Dataverse, the same unzipped, the copy on
Kaggle, and the ISIC 2018 challenge's (Task 3). Only file names count, not the folders.
"""

import io
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

import pandas as pd

from hf_lesion.data.archives import list_files
from hf_lesion.data.images import MASK_ENDING, PictureFile, choose_pictures, group_pictures
from hf_lesion.data.metadata import (
    METADATA_FILE,
    UNSCORED,
    drop_unscored,
    parse_ground_truth,
    parse_metadata,
    parse_training,
)
from hf_lesion.errors import InputError

# As uploaded, as Dataverse converts it, and as its page names it; the first that is there counts.
METADATA_NAMES = (METADATA_FILE, "HAM10000_metadata.tab", "HAM10000_metadata")
TRAINING_TRUTH = "ISIC2018_Task3_Training_GroundTruth.csv"
TRAINING_GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings.csv"
OFFICIAL_TRUTH_NAMES = (
    "ISIC2018_Task3_Test_GroundTruth.csv",
    "ISIC2018_Task3_Test_GroundTruth.tab",
)
# The challenge's images that are no training images lie in folders of these names.
OTHER_IMAGES = re.compile(r"ISIC2018_Task3_(Test|Validation)")
IMAGE_STEM = re.compile(r"ISIC_\d+")


@dataclass(frozen=True)
class Source:
    """What a source holds: `frame` as by `parse_metadata`, and its files by name and by stem."""

    path: Path
    frame: pd.DataFrame
    tables: Mapping[str, PictureFile]
    groups: Mapping[str, list[PictureFile]]

    def read_official_test(self) -> pd.DataFrame:
        """Return the metadata of the official test set, but for what the challenge does not score.

        Raises:
            InputError: If the source has none, or it is wrong.
        """
        for name in OFFICIAL_TRUTH_NAMES:
            if name in self.tables:
                file = self.tables[name]
                return drop_unscored(parse_ground_truth(_open(file), name=str(file)))[0]
        raise InputError(
            f"{self.path} has no {OFFICIAL_TRUTH_NAMES[0]}: the official test set cannot be "
            "prepared. Fetch it with --download --with_official_test, or leave the option out."
        )

    def choose_pictures(self, image_ids: Collection[str]) -> dict[str, PictureFile]:
        """Return the files of images and masks by stem, of those that have one.

        Raises:
            InputError: If two files of one name differ.
        """
        masks = [image_id + MASK_ENDING for image_id in image_ids]
        return choose_pictures(self.groups, {*image_ids, *masks}, where=self.path)

    def find_images_without_row(self, known: Collection[str]) -> list[str]:
        """Return the training images, in order, whose image_id is not `known`."""
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
    """Yield the source in the folder or zip archive `path`; its archives stay open meanwhile.

    Raises:
        InputError: If `path` is neither, an archive is broken, or the metadata is absent or wrong.
    """
    with ExitStack() as stack:
        files = list_files(path, stack)
        # The file with the shortest path is the one to read: copies lie deeper.
        ordered = sorted(files, key=lambda file: (len(PurePath(str(file)).parts), str(file)))
        tables = {file.name: file for file in reversed(ordered)}
        yield Source(path, _read_frame(path, tables), tables, group_pictures(files))


def _read_frame(path: Path, tables: Mapping[str, PictureFile]) -> pd.DataFrame:
    for name in METADATA_NAMES:
        if name in tables:
            return parse_metadata(_open(tables[name]), name=str(tables[name]))
    if TRAINING_TRUTH in tables and TRAINING_GROUPINGS in tables:
        truth, groupings = tables[TRAINING_TRUTH], tables[TRAINING_GROUPINGS]
        return parse_training(_open(truth), _open(groupings), names=(str(truth), str(groupings)))
    if TRAINING_TRUTH in tables:
        raise InputError(
            f"{path} has {TRAINING_TRUTH} but no {TRAINING_GROUPINGS}, without which images of one "
            "lesion cannot be kept together. Fetch it from "
            "https://challenge.isic-archive.com/data/#2018."
        )
    raise InputError(
        f"{path} has no {METADATA_FILE}, and no {TRAINING_TRUTH} either. Pass the folder that "
        "holds the metadata and the images, or fetch them with --download."
    )


def _open(file: PictureFile) -> io.BytesIO:
    return io.BytesIO(file.read_bytes())
