"""What a visitor hands in: one image, read once and safely, or the reason why it can't be read."""

import base64
import binascii
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.pixels import load_image

MAX_FILE_BYTES = 10 * 2**20
BASE64_GROWTH = 4 / 3
UNNAMED = "The image"

Upload = Image.Image | InputError | None


def build_image_input(**options: Any) -> gr.Image:
    """Build an image component that reads every upload with `load_image`.

    The handler gets an upright RGB image, None, or the `InputError` itself: gr.Image alone would
    raise before the handler runs, and the visitor would see a bare "Error" beside an old result.

    Args:
        options: What `gr.Image` takes.
    """
    image = gr.Image(type="pil", **options)
    # Not a subclass: gradio writes a .pyi file beside the source of every subclass.
    image.preprocess = _read_payload
    return image


def _read_payload(payload: ImageData | None) -> Upload:
    if payload is None:
        return None
    try:
        return read_upload(payload)
    except InputError as error:
        return error


def read_upload(payload: ImageData) -> Image.Image:
    """Read what the browser or an API client sent.

    Args:
        payload: A file that gradio has put into its cache, or a `data:` URL.

    Raises:
        InputError: If it is no image that `load_image` can read. The message names the visitor's
            file, never a path of this machine.
    """
    name = Path(payload.orig_name).name if payload.orig_name else UNNAMED
    if payload.url and payload.url.startswith("data:"):
        return _read_data_url(payload.url, name)
    if not payload.path:
        raise InputError("Expected an image file, got none. Upload a JPEG or PNG.")
    return _read_file(Path(payload.path), name)


def _read_file(file: Path, name: str) -> Image.Image:
    try:
        return load_image(file)
    except FileNotFoundError as error:
        raise InputError(
            f"{name} is no longer here: images are deleted after an hour. Upload it again."
        ) from error
    except InputError as error:
        raise InputError(str(error).replace(str(file), name)) from error


def _read_data_url(url: str, name: str) -> Image.Image:
    encoded = url.partition(",")[2]
    if len(encoded) > MAX_FILE_BYTES * BASE64_GROWTH:
        raise InputError(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MB. Make it smaller.")
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name} is not valid base64. Send the image as a file.") from error
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "upload"
        file.write_bytes(content)
        return _read_file(file, name)
