"""Input images: one or many PIL images, paths, bytes or arrays, read as 8-bit RGB."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import BinaryIO, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.io.decoding import load_image

Picture: TypeAlias = Image.Image | str | os.PathLike[str] | bytes | BinaryIO | NDArray[np.uint8]
Pictures: TypeAlias = Picture | Iterable[Picture]
EXPECTED = "Expected a PIL image, the path of a file, or a uint8 array of H×W or H×W×3 (RGB)"
CHANNELS = (1, 3, 4)
HINTS = {
    Mapping: " Of rows of a dataset, pass the column: dataset['image'].",
    torch.Tensor: " Pixels are array = tensor.permute(1, 2, 0).numpy(), in 8 bits.",
}
# Iterables that are a single image, or not an image.
SINGLE = (Image.Image, str, bytes, os.PathLike, Mapping, torch.Tensor)


def read_images(images: Pictures) -> Iterator[Image.Image]:
    """Yield images as upright 8-bit RGB, each read lazily.

    Args:
        images: One image, or many: a list, a generator, a column of a dataset, an array of
            N×H×W×3. An image is a PIL image, the path of a file, its content, an open binary file,
            or a uint8 array of H×W, H×W×3 (RGB) or H×W×4 (RGBA). Arrays of other types are rejected
            because their range is unknown, and tensors because they may be preprocessed.

    Raises:
        InputError: If something is not an image or cannot be read.
    """
    if _is_one(images):
        yield _read(images)
        return
    for number, image in enumerate(cast(Iterable[Picture], images)):
        try:
            yield _read(image)
        except InputError as error:
            raise InputError(f"images[{number}]: {error}") from error


def count_images(images: Pictures) -> int | None:
    """Return how many images were passed; None for a generator."""
    if _is_one(images):
        return 1
    return len(images) if isinstance(images, Sized) else None


def _is_one(images: object) -> bool:
    if isinstance(images, np.ndarray) and images.dtype != object:
        return images.ndim != 4
    return isinstance(images, SINGLE) or hasattr(images, "read") or not isinstance(images, Iterable)


def _read(image: object) -> Image.Image:
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if isinstance(image, Image.Image):
        return load_image(image)
    content = image.read() if hasattr(image, "read") else image
    if isinstance(content, bytes):
        return load_image(content)
    if not isinstance(image, str | os.PathLike):
        hint = next((HINTS[kind] for kind in HINTS if isinstance(image, kind)), "")
        raise InputError(f"{EXPECTED}, got {type(image).__name__}.{hint}")
    path = os.fspath(image)
    try:
        return load_image(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} not found.") from error
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error


def _from_array(array: NDArray[np.generic]) -> Image.Image:
    shape = "×".join(map(str, array.shape)) or "no dimension"
    found = f"{EXPECTED}, got {array.dtype} of {shape}."
    if array.dtype.kind in "fb":
        raise InputError(
            f"{found} Values from 0 to 1 become 8 bits by (255 * array).round().astype('uint8')."
        )
    if array.dtype != np.uint8:
        raise InputError(f"{found} Values from 0 to 255 become 8 bits by array.astype('uint8').")
    if array.ndim == 3 and array.shape[-1] not in CHANNELS:
        raise InputError(f"{found} Channels come last: array.transpose(1, 2, 0) moves them there.")
    if array.ndim not in (2, 3):
        raise InputError(found)
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)
