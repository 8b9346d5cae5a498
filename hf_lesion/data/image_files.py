"""Image files of a source: finding images and masks by name, and checking that they decode."""

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from PIL import Image

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.decoding import IMAGE_SUFFIXES, Named, decode

MASK_ENDING = "_segmentation"  # as in ISIC_0024306_segmentation.png


class ImageFile(Named, Protocol):
    """A readable file: a path or a member of a zip archive."""

    def read_bytes(self) -> bytes:
        """Return the content."""


File = TypeVar("File", bound=ImageFile)


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
    """Return the file of each stem that has one, the first of several with the same content.

    `groups` are files by stem; without an exact match, a single match in other letter case is
    taken. `where` is the name of the source in error messages.

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
            f"{found[stem]} and {other}"
            for other in others
            if found[stem].read_bytes() != other.read_bytes()
        ]
    if differing:
        raise InputError(
            f"{len(differing)} names below {where} have two different files: "
            f"{list_offenders(sorted(differing))}. Remove one of the two."
        )
    return found


def decode_image(data: bytes, *, draft: tuple[int, int] | None = None) -> Image.Image:
    """Decode every pixel of the content of an image file, in its stored mode.

    `draft` is as for `load_image`, which accepts every file that this function does.

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


def _spell_alike(stems: Iterable[str]) -> dict[str, str]:
    """Return stems by their case-folded form, without those that differ in case only."""
    spelt: dict[str, list[str]] = {}
    for stem in stems:
        spelt.setdefault(stem.casefold(), []).append(stem)
    return {folded: same[0] for folded, same in spelt.items() if len(same) == 1}
