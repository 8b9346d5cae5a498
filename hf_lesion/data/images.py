"""Finding the image and mask files below a folder, and proving that each one decodes."""

import filecmp
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from PIL import ExifTags, Image

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.decoding import IMAGE_SUFFIXES, decode
from hf_lesion.io.files import walk

QUARTER_TURNS = (5, 6, 7, 8)  # values of EXIF's orientation that swap width and height
MASK_ENDING = "_segmentation"  # ISIC_0024306_segmentation.png, as the Dataverse archive names them


class PictureFile(Protocol):
    """A file that can be read: a path, or a member of an archive."""

    @property
    def name(self) -> str:
        """Its name without folders."""

    def read_bytes(self) -> bytes:
        """Return its content."""


File = TypeVar("File", bound=PictureFile)


def find_pictures(folder: Path, stems: Collection[str]) -> dict[str, Path]:
    """Find the picture file of each stem anywhere below `folder`.

    A file that is there twice with the same content counts once (the copy on Kaggle holds each
    image folder twice). What is looked through is said at `walk`.

    Args:
        folder: Where to look.
        stems: File names without suffix, as "ISIC_0024306" or "ISIC_0024306_segmentation".

    Returns:
        Path by stem, for the stems that have a file.

    Raises:
        InputError: If `folder` is not a folder, or two files of one stem differ.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Pass the folder that holds the images.")
    return choose_pictures(group_pictures(walk(folder)), stems, where=folder)


def group_pictures(paths: Iterable[File]) -> dict[str, list[File]]:
    """Return the picture files among `paths` by their stem."""
    groups: dict[str, list[File]] = {}
    for path in paths:
        stem, suffix = os.path.splitext(path.name)
        if suffix.lower() in IMAGE_SUFFIXES:
            groups.setdefault(stem, []).append(path)
    return groups


def choose_pictures(
    groups: Mapping[str, list[File]], stems: Collection[str], *, where: Path
) -> dict[str, File]:
    """Choose the file of each stem, the first where several have the same content.

    Args:
        groups: Files by stem.
        stems: The stems that are wanted.
        where: What to call the place in errors.

    Returns:
        File by stem, for the stems that have one.

    Raises:
        InputError: If two files of one stem differ.
    """
    found: dict[str, File] = {}
    differing: list[str] = []
    for stem in groups.keys() & frozenset(stems):
        found[stem], *others = groups[stem]
        differing += [
            f"{found[stem]} and {other}" for other in others if not _is_same(found[stem], other)
        ]
    if differing:
        raise InputError(
            f"{len(differing)} names below {where} stand for two different files: "
            f"{list_offenders(sorted(differing))}. Remove one of the two."
        )
    return found


def decode_picture(data: bytes, *, draft: tuple[int, int] | None = None) -> Image.Image:
    """Decode every pixel of a picture file, and so prove that `load_image` shows it.

    Args:
        data: Content of a file of one of the `IMAGE_SUFFIXES`.
        draft: As for `load_image`.

    Returns:
        The picture in its own mode, as it is stored.

    Raises:
        InputError: If `data` is empty, is not a picture, or is damaged; the text is a short reason.
    """
    if not data:
        raise InputError("empty file")
    try:
        return decode(data, draft=draft)
    except InputError:
        raise
    except Image.UnidentifiedImageError as error:
        raise InputError("not a picture") from error
    except Exception as error:
        raise InputError(f"broken picture: {error or type(error).__name__}") from error


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height in pixels of an image once it is turned as its EXIF data says."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - EXIF data that cannot be read turns nothing
        orientation = None
    turned = orientation in QUARTER_TURNS
    return (image.height, image.width) if turned else (image.width, image.height)


def read_size(file: Path) -> tuple[int, int]:
    """Return width and height in pixels of a picture file once upright, from its header alone.

    Raises:
        InputError: If it is not a picture.
    """
    try:
        with Image.open(file) as image:
            return upright_size(image)
    except Exception as error:
        raise InputError(f"{file} can't be read as an image. Pass a JPEG or PNG.") from error


def _is_same(first: PictureFile, second: PictureFile) -> bool:
    if isinstance(first, Path) and isinstance(second, Path):
        return filecmp.cmp(first, second, shallow=False)
    return first.read_bytes() == second.read_bytes()
