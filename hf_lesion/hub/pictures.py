"""Pictures in what is published: charts and drawn examples only, as HAM10000's licence asks."""

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from hf_lesion.data.checksums import read_checksums
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.checksums import file_sha256
from hf_lesion.synthetic.examples import read_examples

DATASET_NAME = re.compile(r"ISIC_\d{7}")
EMBEDDED = re.compile(r"data:image/[\w.+-]+;base64,([A-Za-z0-9+/=]{64,})")
TEXTS = (".css", ".csv", ".html", ".json", ".md", ".py", ".txt")


def check_pictures(folder: Path, names: Sequence[str]) -> None:
    """Check that a folder shows charts, drawn examples and nothing else.

    Args:
        folder: A model or a Space.
        names: Of its files.

    Raises:
        InputError: If a picture has a name or the bytes of the dataset's, is neither a chart that
            Matplotlib drew nor one of our drawn examples, or is embedded in a text and none of the
            folder's own.
    """
    published = set(read_checksums().values())
    drawn = {one["sha256"] for one in read_examples().values()}
    pictures = {name: file_sha256(folder / name) for name in names if _is_picture(folder / name)}
    taken = [
        name
        for name, sha256 in pictures.items()
        if DATASET_NAME.search(Path(name).name)
        or sha256 in published
        or not (sha256 in drawn or _is_chart(folder / name))
    ]
    taken += _list_embedded(folder, names, allowed=set(pictures.values()))
    if taken:
        raise InputError(
            f"{len(taken)} pictures are, or may be, images of HAM10000: {list_offenders(taken)}. "
            "Its licence lets nobody pass them on with a model or a Space. Remove them."
        )


def _is_chart(file: Path) -> bool:
    """Tell whether a picture is a PNG that Matplotlib drew: it signs them, what copies does not."""
    if file.suffix != ".png":
        return False
    try:
        with Image.open(file) as image:
            return str(image.info.get("Software", "")).startswith("Matplotlib")
    except OSError:
        return False


def _list_embedded(folder: Path, names: Sequence[str], *, allowed: set[str]) -> list[str]:
    """Return the texts that hold a picture which is none of the folder's own, by SHA-256."""
    found = []
    for name in names:
        if Path(name).suffix in TEXTS:
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
            embedded = (_sha256_of(data) for data in EMBEDDED.findall(text))
            if not allowed.issuperset(embedded):
                found.append(f"one inside {name}")
    return found


def _sha256_of(data: str) -> str:
    try:
        return hashlib.sha256(base64.b64decode(data)).hexdigest()
    except ValueError:
        return "none"


def _is_picture(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.read(12)
    kinds = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    return start.startswith(kinds) or start[8:12] == b"WEBP"
