"""HTML shared by the views: data URLs and scrolling tables."""

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image

QUALITY = 90
THUMBNAIL = 240  # pixels


def data_url(content: bytes, kind: str) -> str:
    """Return a file as a `data:` URL, so that nothing is written to disk.

    Args:
        content: The file's bytes.
        kind: Its media type, such as "text/csv".
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def picture_url(picture: Image.Image) -> str:
    """Return a picture as the `data:` URL of a JPEG."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY)
    return data_url(stream.getvalue(), "image/jpeg")


def scrolling(table: str, label: str) -> str:
    """Return a table that scrolls horizontally on narrow screens, also by keyboard.

    Args:
        table: HTML.
        label: Its description for screen readers.
    """
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}, scrolls '
        f'sideways">{table}</div>'
    )


def thumbnail_url(file: Path) -> str:
    """Return a thumbnail of an image file as a `data:` URL."""
    with Image.open(file) as image:
        small = image.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return picture_url(small)
