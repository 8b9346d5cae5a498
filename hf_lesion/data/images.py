"""Finding the image and mask files below a folder, and proving that each one decodes."""

import filecmp
import os
import struct
from collections.abc import Collection
from io import BytesIO
from pathlib import Path

from PIL import Image

from hf_lesion.errors import InputError, list_offenders

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MASK_ENDING = "_segmentation"  # ISIC_0024306_segmentation.png, as the Dataverse archive names them
# What Pillow raises over broken files: OSError when truncated or unknown, SyntaxError for PNG
# chunks, the others from deep within its readers.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def find_pictures(folder: Path, stems: Collection[str]) -> dict[str, Path]:
    """Find the picture file of each stem anywhere below `folder`.

    Links to folders are followed; hidden files and folders are passed over. A file that is there
    twice with the same content counts once (the copy on Kaggle holds each image folder twice).

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
    wanted = frozenset(stems)
    found: dict[str, Path] = {}
    differing: list[str] = []
    for path in _walk(folder):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.stem not in wanted:
            continue
        first = found.setdefault(path.stem, path)
        if first is not path and not filecmp.cmp(first, path, shallow=False):
            differing.append(f"{first} and {path}")
    if differing:
        raise InputError(
            f"{len(differing)} names below {folder} stand for two different files: "
            f"{list_offenders(differing)}. Remove one of the two."
        )
    return found


def decode_picture(data: bytes) -> Image.Image:
    """Decode every pixel of a picture file.

    Args:
        data: Content of a JPEG or PNG file.

    Returns:
        The picture in its own mode.

    Raises:
        InputError: If `data` is empty, is no picture, or ends early; the text is a short reason.
    """
    if not data:
        raise InputError("empty file")
    try:
        image = Image.open(BytesIO(data))
        image.load()
    except Image.UnidentifiedImageError as error:
        raise InputError("not a picture") from error
    except BROKEN as error:
        raise InputError(f"broken picture: {error}") from error
    return image


def _walk(folder: Path) -> list[Path]:
    paths = []
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [Path(root, name) for name in sorted(names) if not name.startswith(".")]
    return paths
