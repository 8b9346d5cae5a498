"""Image files of a source: finding images and masks by name, and checking that they decode."""

import filecmp
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from PIL import ExifTags, Image

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.decoding import IMAGE_SUFFIXES, decode
from hf_lesion.io.files import walk

QUARTER_TURNS = (5, 6, 7, 8)  # values of the EXIF orientation that swap width and height
MASK_ENDING = "_segmentation"  # as in ISIC_0024306_segmentation.png


class ImageFile(Protocol):
    """A readable file: a path or a member of a zip archive."""

    @property
    def name(self) -> str:
        """File name without folders."""

    def read_bytes(self) -> bytes:
        """Return the content."""


File = TypeVar("File", bound=ImageFile)


def find_image_files(folder: Path, stems: Collection[str]) -> dict[str, Path]:
    """Find the image file of each stem at any depth below `folder`.

    Duplicate files with the same content count once (the copy on Kaggle contains each image folder
    twice). Hidden files are skipped; see `hf_lesion.io.files.walk`.

    Args:
        folder: The folder to search.
        stems: File names without suffix, as "ISIC_0024306" or "ISIC_0024306_segmentation".

    Returns:
        Path by stem, for the stems that have a file.

    Raises:
        InputError: If `folder` is not a folder, or two files of one stem differ.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Pass the folder that contains the images.")
    return choose_files(group_by_stem(walk(folder)), stems, where=folder)


def group_by_stem(paths: Iterable[File]) -> dict[str, list[File]]:
    """Return the image files among `paths` by their stem."""
    groups: dict[str, list[File]] = {}
    for path in paths:
        stem, suffix = os.path.splitext(path.name)
        if suffix.lower() in IMAGE_SUFFIXES:
            groups.setdefault(stem, []).append(path)
    return groups


def choose_files(
    groups: Mapping[str, list[File]], stems: Collection[str], *, where: Path
) -> dict[str, File]:
    """Choose the file of each stem, the first of several with the same content.

    Args:
        groups: Files by stem.
        stems: The stems to look up.
        where: Name of the source in error messages.

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
            f"{len(differing)} names below {where} have two different files: "
            f"{list_offenders(sorted(differing))}. Remove one of the two."
        )
    return found


def decode_image(data: bytes, *, draft: tuple[int, int] | None = None) -> Image.Image:
    """Decode every pixel of an image file, which also checks that `load_image` accepts it.

    Args:
        data: Content of a file of one of the `IMAGE_SUFFIXES`.
        draft: As for `load_image`.

    Returns:
        The image in its stored mode.

    Raises:
        InputError: If `data` is empty, not an image, or damaged; the message is a short reason.
    """
    if not data:
        raise InputError("empty file")
    try:
        return decode(data, draft=draft)
    except InputError:
        raise
    except Image.UnidentifiedImageError as error:
        raise InputError("not an image") from error
    except Exception as error:
        raise InputError(f"damaged image: {error or type(error).__name__}") from error


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height in pixels after applying the EXIF orientation."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - unreadable EXIF data is ignored
        orientation = None
    turned = orientation in QUARTER_TURNS
    return (image.height, image.width) if turned else (image.width, image.height)


def read_size(file: Path) -> tuple[int, int]:
    """Return the upright width and height in pixels of an image file, reading only its header.

    Raises:
        InputError: If the file is not an image.
    """
    try:
        with Image.open(file) as image:
            return upright_size(image)
    except Exception as error:
        raise InputError(f"{file} can't be read as an image. Pass a JPEG or PNG.") from error


def _is_same(first: ImageFile, second: ImageFile) -> bool:
    if isinstance(first, Path) and isinstance(second, Path):
        return filecmp.cmp(first, second, shallow=False)
    return first.read_bytes() == second.read_bytes()
