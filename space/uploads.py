"""Uploads: images, files and zips, read once and safely, or the reason why one can't be read.

A zip is never unpacked to disk: one entry at a time is read into memory, at most as large as a
single upload may be, and its name is a label, never a path.
"""

import base64
import binascii
import contextlib
import hashlib
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

import gradio as gr
from gradio.data_classes import FileData, ImageData, ListFiles
from PIL import Image

from hf_lesion.errors import InputError, find_repeated
from hf_lesion.io.checksums import file_sha256
from hf_lesion.io.decoding import load_image
from hf_lesion.io.files import storable_name

# Of an image and of a zip; nothing larger is taken from the network at all.
MAX_FILE_BYTES = 10 * 2**20
LARGEST = f"{MAX_FILE_BYTES // 2**20} MB"
MOST_IMAGES = 200
# The end of a zip: its sign, 8 bytes, then entries in all (2 bytes) and the length of the list of
# entries (4 bytes); a comment of up to 65,535 bytes may follow.
END_SIGN, END_BYTES, LONGEST_COMMENT = b"PK\x05\x06", 22, 65_535
MOST_ENTRIES = 2_000
LONGEST_LIST = MOST_ENTRIES * 512
ENCRYPTED = 0x1
BASE64_GROWTH = 4 / 3
UNNAMED = "The image"
LONGEST_NAME = 80
NO_ADDRESS = "This page fetches nothing from an address. Upload the image itself."
CONTROL = dict.fromkeys([*range(32), 127])

# What a file begins with. Only these are handed to the image library: it also knows formats that
# are programs (EPS) or are hardly ever tested.
SIGNS = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*"),
}
ZIP_SIGN = b"PK\x03\x04"
EMPTY_ZIP_SIGN = b"PK\x05\x06"
SIGN_BYTES = 64
# At byte 4 of the formats that are built of boxes; AVIF is among them, and can be read.
BOX, BOX_AT = b"ftyp", slice(4, 8)
BRAND_AT = slice(8, 12)
AVIF = (b"avif", b"avis")
WORDS = {
    b"%PDF": "a PDF",
    b"%!PS": "a PostScript file",
    b"\x1f\x8b": "a compressed file",
}


@dataclass(frozen=True)
class Handed:
    """One file that was handed in: the name that its owner gave it, and where it lies."""

    name: str
    path: Path


class ImageError(InputError):
    """An image that can't be read."""


class Picture:
    """One image that was handed in: decoded when it is needed, and only once.

    Args:
        sha256: Of its bytes.
        read: Decodes it; raises InputError.
    """

    def __init__(self, sha256: str, read: Callable[[], Image.Image]):
        self.sha256 = sha256
        self._read = read

    @classmethod
    def of(cls, image: "Picture | Image.Image") -> "Picture":
        """Return an image as it was handed in, also one that is decoded already."""
        if isinstance(image, Picture):
            return image
        said = f"{image.mode} {image.size} ".encode()
        return cls(hashlib.sha256(said + image.tobytes()).hexdigest(), lambda: image)

    @cached_property
    def image(self) -> Image.Image:
        """Upright RGB.

        Raises:
            ImageError: If it can't be read.
        """
        try:
            return self._read()
        except InputError as error:
            raise ImageError(str(error)) from error


Choice = TypeVar("Choice", gr.Radio, gr.Dropdown, gr.Slider)
Upload = Picture | Image.Image | InputError | None
Uploads = list[Handed] | InputError | None


def build_image_input(**options: Any) -> gr.Image:
    """Build an image component that hands every upload over as a `Picture`, not decoded yet.

    The handler gets that, None, or the `InputError` itself: gr.Image alone would raise before the
    handler runs, and the visitor would see a bare "Error" beside an old result.

    Args:
        options: What `gr.Image` takes.
    """
    image = gr.Image(type="pil", **options)
    # Not a subclass: gradio writes a .pyi file beside the source of every subclass.
    image.preprocess = _read_payload
    _take_no_addresses(image)
    return image


def build_files_input(**options: Any) -> gr.File:
    """Build a component for several files; the handler gets names and places, or None.

    Args:
        options: What `gr.File` takes.
    """
    files = gr.File(file_count="multiple", **options)
    files.preprocess = _list_files
    _take_no_addresses(files)
    return files


def take_as_sent(component: Choice) -> Choice:
    """Have a handler check what was chosen: gradio's own words would show a client's value."""
    component.preprocess = _as_sent
    return component


def _as_sent(payload: Any) -> Any:
    return payload


def _take_no_addresses(component: gr.Image | gr.File) -> None:
    """Have a component refuse web addresses: gradio would fetch any public one, of any size."""
    take = component.async_move_resource_to_block_cache

    async def take_file(source: str | Path | None) -> str | None:
        if str(source).strip().lower().startswith(("http://", "https://")):
            raise gr.Error(NO_ADDRESS)
        return await take(source)

    component.async_move_resource_to_block_cache = take_file


def _read_payload(payload: ImageData | None) -> Upload:
    if payload is None:
        return None
    try:
        return read_upload(payload)
    except InputError as error:
        return error


def _list_files(payload: ListFiles | FileData | None) -> Uploads:
    if payload is None:
        return None
    files = payload.root if isinstance(payload, ListFiles) else [payload]
    if not all(file.path for file in files):
        return InputError("Expected image files or a zip of them. Upload them as files.")
    return [Handed(clean_name(file.orig_name or file.path), Path(file.path)) for file in files]


def read_upload(payload: ImageData) -> Picture:
    """Take what the browser or an API client sent, whose bytes are counted before any is decoded.

    Args:
        payload: A file that gradio has put into its cache, or a `data:` URL.

    Raises:
        InputError: If it is of no kind that is taken. The message names the visitor's file, never
            a path of this machine.
    """
    name = clean_name(payload.orig_name) if payload.orig_name else UNNAMED
    if payload.url and payload.url.startswith("data:"):
        content = _decode_data_url(payload.url, name)
        return Picture(hashlib.sha256(content).hexdigest(), lambda: read_bytes(name, content))
    if not payload.path:
        raise InputError("Expected an image file, got none. Upload a JPEG or PNG.")
    handed = Handed(name, Path(payload.path))
    with _in_words(handed):
        check_file(handed)
        return Picture(file_sha256(handed.path), lambda: read_file(handed))


def read_file(handed: Handed) -> Image.Image:
    """Read one image file, whose bytes are counted before any of them is decoded.

    Raises:
        InputError: If it is too large, of no kind that is taken, or can't be read.
    """
    with _in_words(handed):
        check_file(handed)
        return load_image(handed.path)


@contextlib.contextmanager
def _in_words(handed: Handed) -> Iterator[None]:
    """Turn what reading a file raises into words that name the file as its owner does."""
    name = handed.name
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(
            f"{name} is no longer here: images are deleted after an hour. Upload it again."
        ) from error
    except InputError as error:
        raise InputError(str(error).replace(str(handed.path), name)) from error
    except OSError as error:
        raise InputError(
            f"{name} can't be read ({type(error).__name__}). Upload it again, or smaller."
        ) from error


def read_bytes(name: str, content: bytes) -> Image.Image:
    """Read an image from its bytes; errors as `read_file`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "upload"
        file.write_bytes(content)
        return read_file(Handed(name, file))


def check_file(handed: Handed) -> None:
    """Raise InputError unless a file has a size and a beginning that are taken here."""
    check_size(handed.name, handed.path.stat().st_size)
    with handed.path.open("rb") as stream:
        check_kind(handed.name, stream.read(SIGN_BYTES))


def check_size(name: str, size: int) -> None:
    """Raise InputError if a file is empty or larger than one image may be."""
    if not size:
        raise InputError(f"{name} is empty. Upload it again.")
    if size > MAX_FILE_BYTES:
        raise InputError(f"{name} is larger than {LARGEST}. Make it smaller.")


def check_kind(name: str, start: bytes) -> None:
    """Raise InputError unless a file begins as an image does that is taken here.

    Args:
        name: What its owner calls it.
        start: Its first `SIGN_BYTES` bytes.
    """
    if any(start.startswith(signs) for signs in SIGNS.values()):
        return
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return
    if start[BOX_AT] == BOX:
        if start[BRAND_AT] in AVIF:
            return
        raise InputError(f"{name} is a HEIC photo or a film. Save it as JPEG or PNG.")
    if start.startswith((ZIP_SIGN, EMPTY_ZIP_SIGN)):
        raise InputError(f"{name} is a zip file. Zips go to the Batch tab.")
    what = next((word for sign, word in WORDS.items() if start.startswith(sign)), "")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        what = "an SVG drawing or a web page"
    if what:
        raise InputError(f"{name} is {what}. Use JPEG or PNG.")
    raise InputError(f"{name} isn't an image, or is damaged. Use JPEG or PNG.")


def clean_name(name: str) -> str:
    """Return the last part of a file's name, without what no name should have, and not too long.

    It is shown and written to tables, never used as a path.
    """
    last = storable_name(PureWindowsPath(name).name.translate(CONTROL).strip())
    if len(last) > LONGEST_NAME:
        last = f"{last[: LONGEST_NAME // 2]}…{last[-LONGEST_NAME // 2 :]}"
    return last or UNNAMED


def clean_path(name: str) -> str:
    """Return a file's name with its folders, each as by `clean_name`: a label, never a path."""
    path = PureWindowsPath(name)
    parts = path.relative_to(path.anchor).parts
    return "/".join(clean_name(part) for part in parts if part != "..") or UNNAMED


def _decode_data_url(url: str, name: str) -> bytes:
    encoded = url.partition(",")[2]
    if len(encoded) > MAX_FILE_BYTES * BASE64_GROWTH:
        raise InputError(f"{name} is larger than {LARGEST}. Make it smaller.")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name} is not valid base64. Send the image as a file.") from error


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
