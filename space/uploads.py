"""Uploads: images, files and zips, read safely and within limits.

A zip is never unpacked to disk: its entries are read into memory one at a time, each no larger than
a single upload may be, and their names are used as labels, never as paths.
"""

import base64
import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

import gradio as gr
from gradio.data_classes import FileData, ImageData, ListFiles
from PIL import Image

from hf_lesion.errors import InputError, find_repeated
from hf_lesion.io.decoding import load_image
from hf_lesion.io.files import storable_name

# Of an image and of a zip; the server accepts no larger request body.
MAX_FILE_BYTES = 10 * 2**20
MAX_FILE_TEXT = f"{MAX_FILE_BYTES // 2**20} MB"
MAX_IMAGES = 200
MAX_ENTRIES = 2_000
ENCRYPTED = 0x1
UNNAMED = "The image"
MAX_NAME = 80
NO_ADDRESS = "Web addresses are not supported. Upload the image itself."
CONTROL = dict.fromkeys([*range(32), 127])

# Only files that begin with one of these are passed to Pillow, which also reads formats that are
# programs (EPS) or hardly ever tested.
IMAGE_SIGNATURES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\0",  # TIFF
    b"MM\0*",
)
ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")  # the second of an empty zip
OTHER_SIGNATURES = {
    b"%PDF": "a PDF",
    b"%!PS": "a PostScript file",
    b"\x1f\x8b": "a compressed file",
}
SIGNATURE_BYTES = 64
# ISO base media files: AVIF, which can be read, HEIC and videos.
BOX, BOX_AT = b"ftyp", slice(4, 8)
BRAND_AT = slice(8, 12)
AVIF = (b"avif", b"avis")


@dataclass(frozen=True)
class UploadedFile:
    """An uploaded file: the visitor's name for it, and its path on this machine."""

    name: str
    path: Path


class ImageError(InputError):
    """An upload that can't be used."""


class UploadedImage:
    """An uploaded image file, decoded only when it is needed.

    It has the visitor's name for the file; size and signature are checked at once.
    """

    def __init__(self, name: str, content: bytes):
        check_size(name, len(content))
        check_signature(name, content)
        self._name, self._content = name, content

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self._content).hexdigest()

    @cached_property
    def decoded(self) -> Image.Image:
        """The upright RGB image; an ImageError if it is damaged or has too many pixels."""
        try:
            return load_image(self._content)
        except InputError as error:
            # Content has no name of its own.
            raise ImageError(str(error).replace(UNNAMED, self._name, 1)) from error


Choice = TypeVar("Choice", gr.Radio, gr.Dropdown, gr.Slider)
Upload = UploadedImage | ImageError | None
Uploads = list[UploadedFile] | ImageError | None


def require(image: Upload) -> UploadedImage:
    """Return the image that an event received, or raise an ImageError."""
    if image is None:
        raise ImageError("Expected an image, got none.")
    if isinstance(image, ImageError):
        raise image
    return image


def build_image_input(**options: Any) -> gr.Image:
    """Build an image component whose events receive an `UploadedImage`, None, or an `ImageError`.

    gr.Image itself would raise before the event's function is called, and the visitor would see
    only "Error" next to an old result.
    """
    image = gr.Image(type="pil", **options)
    # Not a subclass: gradio writes a .pyi file next to the source of every subclass.
    image.preprocess = _preprocess_image
    _reject_addresses(image)
    return image


def build_files_input(**options: Any) -> gr.File:
    """Build a component for several files; its events receive `Uploads`."""
    files = gr.File(file_count="multiple", **options)
    files.preprocess = _preprocess_files
    _reject_addresses(files)
    return files


def pass_unchecked(component: Choice) -> Choice:
    """Disable gradio's own check of a choice, whose error message quotes the client's value."""
    component.preprocess = lambda payload: payload
    return component


def _reject_addresses(component: gr.Image | gr.File) -> None:
    """Reject web addresses, since gradio would fetch any public one, of any size."""
    move_to_cache = component.async_move_resource_to_block_cache

    async def move_file(source: str | Path | None) -> str | None:
        if str(source).strip().lower().startswith(("http://", "https://")):
            raise gr.Error(NO_ADDRESS)
        return await move_to_cache(source)

    component.async_move_resource_to_block_cache = move_file


def _preprocess_image(payload: ImageData | None) -> Upload:
    """Return the image in gradio's cache or in a `data:` URL."""
    if payload is None:
        return None
    name = clean_name(payload.orig_name) if payload.orig_name else UNNAMED
    try:
        if payload.url and payload.url.startswith("data:"):
            return UploadedImage(name, _decode_data_url(payload.url, name))
        if payload.path:
            return UploadedImage(name, read_file(UploadedFile(name, Path(payload.path))))
    except ImageError as error:
        return error
    return ImageError("Expected an image file, got none. Upload a JPEG or PNG.")


def _preprocess_files(payload: ListFiles | FileData | None) -> Uploads:
    if payload is None:
        return None
    files = payload.root if isinstance(payload, ListFiles) else [payload]
    if not all(file.path for file in files):
        return ImageError("Expected image files or a zip of them. Upload them as files.")
    return [
        UploadedFile(clean_name(file.orig_name or file.path), Path(file.path)) for file in files
    ]


def read_file(file: UploadedFile) -> bytes:
    """Return the content of a file, which is read only if it is not too large.

    Errors have the visitor's file name, never a path of this machine.
    """
    try:
        check_size(file.name, file.path.stat().st_size)
        return file.path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"{file.name} is no longer here: images are deleted after an hour. Upload it again."
        ) from error


def check_size(name: str, size: int) -> None:
    """Raise ImageError if a file is empty or too large."""
    if not size:
        raise ImageError(f"{name} is empty. Choose another file.")
    if size > MAX_FILE_BYTES:
        raise too_large(name)


def too_large(name: str) -> ImageError:
    """Return the error for a file of more than `MAX_FILE_BYTES`."""
    return ImageError(f"{name} is larger than {MAX_FILE_TEXT}. Make it smaller.")


def check_signature(name: str, content: bytes) -> None:
    """Raise ImageError unless a file begins like a supported image."""
    if content.startswith(IMAGE_SIGNATURES):
        return
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return
    if content[BOX_AT] == BOX:
        if content[BRAND_AT] in AVIF:
            return
        raise ImageError(f"{name} is a HEIC photo or a video. Save it as JPEG or PNG.")
    if content.startswith(ZIP_SIGNATURES):
        raise ImageError(f"{name} is a zip file. Use the Batch tab for zips.")
    kind = next((kind for start, kind in OTHER_SIGNATURES.items() if content.startswith(start)), "")
    if content[:SIGNATURE_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        kind = "an SVG drawing or a web page"
    if kind:
        raise ImageError(f"{name} is {kind}. Use JPEG or PNG.")
    raise ImageError(f"{name} isn't an image, or is damaged. Use JPEG or PNG.")


def clean_name(name: str) -> str:
    """Return the last part of a file's name, shortened and without control characters.

    It is shown and written to tables, never used as a path.
    """
    last = storable_name(PureWindowsPath(name).name.translate(CONTROL).strip())
    if len(last) > MAX_NAME:
        last = f"{last[: MAX_NAME // 2]}…{last[-MAX_NAME // 2 :]}"
    return last or UNNAMED


def clean_path(name: str) -> str:
    """Return a file's name with its folders, each as by `clean_name`: a label, never a path."""
    path = PureWindowsPath(name)
    parts = path.relative_to(path.anchor).parts
    return "/".join(clean_name(part) for part in parts if part != "..") or UNNAMED


def _decode_data_url(url: str, name: str) -> bytes:
    encoded = url.partition(",")[2]
    check_size(name, len(encoded) // 4 * 3 - 2)  # at least: up to 2 bytes are padding
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise ImageError(f"{name} is not valid base64. Send the image as a file.") from error


@dataclass(frozen=True)
class BatchItem:
    """One image of a batch."""

    name: str  # shown; unique within the batch
    read: Callable[[], bytes]  # raises an ImageError if it can't be read
    path: str = ""  # the name with the folders of its zip; empty for a file outside a zip

    def decode(self) -> Image.Image:
        """Return the image, or raise an ImageError."""
        return UploadedImage(self.name, self.read()).decoded


def list_items(files: list[UploadedFile] | ImageError) -> list[BatchItem]:
    """List the images among files and inside zips, without decoding them.

    Names are unique without their suffixes, as they are written to the CSV file: repeated names of
    images in zips get their folders, and those that still repeat are numbered.
    """
    if isinstance(files, ImageError):
        raise files
    items: list[BatchItem] = []
    for file in files:
        items += _list_file(file)
        if len(items) > MAX_IMAGES:
            raise ImageError(
                f"More than {MAX_IMAGES} images at once. Upload them in parts, or use "
                "scripts/predict.py, which accepts any number."
            )
    if not items:
        raise ImageError("There is no image in the uploaded files. Upload JPEG or PNG files.")
    return _make_unique(items)


def _make_unique(items: list[BatchItem]) -> list[BatchItem]:
    repeated = set(find_repeated(_image_id(item.name) for item in items))
    taken: set[str] = set()
    found = []
    for item in items:
        name = (_image_id(item.name) in repeated and item.path) or item.name
        stem, suffix = os.path.splitext(name)
        count = 1
        while _image_id(name) in taken:
            count += 1
            name = f"{stem} ({count}){suffix}"
        taken.add(_image_id(name))
        found.append(replace(item, name=name))
    return found


def _image_id(name: str) -> str:
    return os.path.splitext(name)[0]


def _list_file(file: UploadedFile) -> list[BatchItem]:
    """Return the images of a zip, or the file itself if it is not a zip."""
    try:
        with file.path.open("rb") as stream:
            is_zip = stream.read(4) in ZIP_SIGNATURES
    except OSError:
        is_zip = False  # reading it will report the error
    if not is_zip:
        return [BatchItem(file.name, partial(read_file, file))]
    try:
        with zipfile.ZipFile(file.path) as archive:
            entries = archive.infolist()
    except Exception:  # noqa: BLE001 - damaged bytes may raise anything
        problem = f"{file.name} is a damaged zip file. Zip the images again."
    else:
        if len(entries) <= MAX_ENTRIES:
            return [
                BatchItem(
                    clean_name(info.filename),
                    partial(_read_entry, file, info),
                    clean_path(info.filename),
                )
                for info in entries
                if _is_listed(info)
            ]
        problem = (
            f"{file.name} has more than {MAX_ENTRIES:,} entries. Zip at most {MAX_IMAGES} images."
        )

    def fail() -> bytes:
        raise ImageError(problem)

    return [BatchItem(file.name, fail)]


def _is_listed(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return not (info.is_dir() or path.name.startswith(".") or "__MACOSX" in path.parts)


def _read_entry(file: UploadedFile, info: zipfile.ZipInfo) -> bytes:
    name = clean_name(info.filename)
    if info.flag_bits & ENCRYPTED:
        raise ImageError(f"{name} is protected by a password. Zip it without one.")
    check_size(name, info.file_size)
    try:
        with zipfile.ZipFile(file.path) as archive, archive.open(info) as stream:
            # The stated size may be wrong.
            return stream.read(MAX_FILE_BYTES + 1)
    except Exception as error:
        raise ImageError(
            f"{name} can't be unpacked from {file.name} ({type(error).__name__}). Zip it again."
        ) from error
