"""Many images at once: files and zips in, a table out, and the reason for each that failed.

A zip is never unpacked to disk: one entry at a time is read into memory, at most as large as a
single upload may be, and its name is a label, never a path.
"""

import csv
import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from intake import (
    MAX_FILE_BYTES,
    Handed,
    check_size,
    clean_name,
    clean_path,
    read_bytes,
    read_file,
)
from opinions import Opinion, form_opinion
from PIL import Image

from hf_lesion.errors import InputError, find_repeated
from hf_lesion.labels import CODES

if TYPE_CHECKING:
    from hf_lesion.classifier import LesionClassifier

MOST_IMAGES = 200
ZIP_SIGN = b"PK\x03\x04"
EMPTY_ZIP_SIGN = b"PK\x05\x06"
# The end of a zip: its sign, 8 bytes, then entries in all (2 bytes) and the length of the list of
# entries (4 bytes); a comment of up to 65,535 bytes may follow.
END_SIGN, END_BYTES, LONGEST_COMMENT = b"PK\x05\x06", 22, 65_535
MOST_ENTRIES = 2_000
LONGEST_LIST = MOST_ENTRIES * 512
ENCRYPTED = 0x1
# The ISIC archive's order of columns.
ISIC_CODES = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")
FORMULA_STARTS = ("=", "+", "-", "@", "\t")


@dataclass(frozen=True)
class Item:
    """One thing to classify.

    Attributes:
        name: What it is called.
        read: Returns its image, or raises the InputError that says why it can't be read.
        path: Its name with the folders of the zip it lies in; empty if there are none.
    """

    name: str
    read: Callable[[], Image.Image]
    path: str = ""


@dataclass(frozen=True)
class Row:
    """One answer, or the reason why there is none.

    Attributes:
        name: Of the image's file.
        opinion: Of the model on the image; None if it failed.
        problem: Why it failed; empty if it did not.
    """

    name: str
    opinion: Opinion | None
    problem: str = ""

    @property
    def label(self) -> str:
        """The code of the model's answer; empty if it failed."""
        return "" if self.opinion is None else self.opinion.label


def list_items(handed: Sequence[Handed]) -> list[Item]:
    """List the images among files and inside zips, none of which is decoded yet.

    No two have one name without its ending, by which the CSV knows them: of a zip the folders are
    added, and what still repeats is numbered.

    Raises:
        InputError: If there are more than `MOST_IMAGES`, or none at all.
    """
    items: list[Item] = []
    for file in handed:
        items += _items_of(file)
        if len(items) > MOST_IMAGES:
            raise InputError(
                f"More than {MOST_IMAGES} images at once. Upload them in parts, or use "
                "scripts/predict.py, which takes any number."
            )
    if not items:
        raise InputError("There is no image in what was uploaded. Upload JPEG or PNG files.")
    return _tell_apart(items)


def _tell_apart(items: Sequence[Item]) -> list[Item]:
    repeated = set(find_repeated(_image_id(item.name) for item in items))
    taken: set[str] = set()
    found = []
    for item in items:
        name = (_image_id(item.name) in repeated and item.path) or item.name
        start, ending = os.path.splitext(name)
        count = 1
        while _image_id(name) in taken:
            count += 1
            name = f"{start} ({count}){ending}"
        taken.add(_image_id(name))
        found.append(replace(item, name=name))
    return found


def _image_id(name: str) -> str:
    return os.path.splitext(name)[0]


def classify_items(networks: "Sequence[LesionClassifier]", items: Sequence[Item]) -> Iterator[Row]:
    """Classify one item after the other; a bad one is a row with a reason, never an end.

    Args:
        networks: One, or several whose mean is the answer.
        items: What to classify.
    """
    for item in items:
        try:
            image = item.read()
            yield Row(item.name, form_opinion([network(image) for network in networks]))
        except InputError as error:
            yield Row(item.name, None, str(error))


def format_csv(rows: Sequence[Row]) -> str:
    """Return the answers as CSV: image, the scores as in the ISIC's challenges, and reliability.

    The columns are image, MEL, NV, BCC, AKIEC, BKL, DF, VASC and reliability, which is empty where
    it was not measured. Images that failed are left out. A name that a spreadsheet would take for
    a formula is quoted.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image", *(code.upper() for code in ISIC_CODES), "reliability"])
    for row in rows:
        if row.opinion is not None:
            values = [f"{row.opinion.scores[CODES.index(code)]:.8f}" for code in ISIC_CODES]
            known = row.opinion.reliability
            reliability = "" if known is None else f"{known:.4f}"
            writer.writerow([_as_cell(_image_id(row.name)), *values, reliability])
    return stream.getvalue()


def _as_cell(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _items_of(file: Handed) -> list[Item]:
    try:
        with file.path.open("rb") as stream:
            start = stream.read(len(ZIP_SIGN))
    except OSError:
        start = b""  # reading the image will say what is wrong
    if start not in (ZIP_SIGN, EMPTY_ZIP_SIGN):
        return [Item(file.name, lambda: read_file(file))]
    try:
        check_list(file)
        with zipfile.ZipFile(file.path) as archive:
            return [_entry_of(file, info) for info in archive.infolist() if _counts(info)]
    except InputError as error:
        return [Item(file.name, _failing(error))]
    except Exception:  # noqa: BLE001 - whatever is raised over damaged bytes
        problem = InputError(f"{file.name} is a damaged zip file. Zip the images again.")
        return [Item(file.name, _failing(problem))]


def check_list(file: Handed) -> None:
    """Raise InputError if a zip's list of entries is too long to be read at all."""
    size = file.path.stat().st_size
    with file.path.open("rb") as stream:
        stream.seek(max(0, size - END_BYTES - LONGEST_COMMENT))
        end = stream.read()
    place = end.rfind(END_SIGN)
    if place < 0 or len(end) < place + END_BYTES:
        raise InputError(f"{file.name} is a damaged zip file. Zip the images again.")
    entries, length = struct.unpack("<HL", end[place + 10 : place + 16])
    if entries > MOST_ENTRIES or length > LONGEST_LIST:
        raise InputError(
            f"{file.name} has more than {MOST_ENTRIES:,} entries. Zip at most {MOST_IMAGES} images."
        )


def _counts(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return not (info.is_dir() or path.name.startswith(".") or "__MACOSX" in path.parts)


def _entry_of(file: Handed, info: zipfile.ZipInfo) -> Item:
    name = clean_name(info.filename)

    def read() -> Image.Image:
        if info.flag_bits & ENCRYPTED:
            raise InputError(f"{name} is protected by a password. Zip it without one.")
        check_size(name, info.file_size)
        try:
            with zipfile.ZipFile(file.path) as archive, archive.open(info) as stream:
                # Never more than it said, whatever it unpacks to.
                content = stream.read(MAX_FILE_BYTES + 1)
        except Exception as error:
            raise InputError(
                f"{name} can't be unpacked from {file.name} ({type(error).__name__}). Zip it again."
            ) from error
        check_size(name, len(content))
        return read_bytes(name, content)

    return Item(name, read, clean_path(info.filename))


def _failing(error: InputError) -> Callable[[], Image.Image]:
    def read() -> Image.Image:
        raise error

    return read
