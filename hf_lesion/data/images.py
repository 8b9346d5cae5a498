"""Finding the image and mask files below a folder, and proving that each one decodes."""

import filecmp
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from PIL import Image

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.decoding import IMAGE_SUFFIXES, Named, decode

MASK_ENDING = "_segmentation"  # ISIC_0024306_segmentation.png, as the Dataverse archive names them


class PictureFile(Named, Protocol):
    """A file that can be read: a path, or a member of an archive."""

    def read_bytes(self) -> bytes:
        """Return its content."""


File = TypeVar("File", bound=PictureFile)


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
        File by stem, for the stems that have one; in other upper and lower case where there is
        none in its own, and one only in another.

    Raises:
        InputError: If two files of one stem differ.
    """
    found: dict[str, File] = {}
    differing: list[str] = []
    spelt = _spell_alike(groups)
    for stem in stems:
        files = groups.get(stem) or groups.get(spelt.get(stem.casefold(), ""))
        if not files:
            continue
        found[stem], *others = files
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


def _spell_alike(stems: Iterable[str]) -> dict[str, str]:
    """Return each stem by what it is in lower case, but for those that differ in case only."""
    spelt: dict[str, list[str]] = {}
    for stem in stems:
        spelt.setdefault(stem.casefold(), []).append(stem)
    return {folded: same[0] for folded, same in spelt.items() if len(same) == 1}


def _is_same(first: PictureFile, second: PictureFile) -> bool:
    if isinstance(first, Path) and isinstance(second, Path):
        return filecmp.cmp(first, second, shallow=False)
    return first.read_bytes() == second.read_bytes()
