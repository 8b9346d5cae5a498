"""HTML shared by the views: data URLs and scrolling tables."""

import base64
import io
from html import escape

from PIL import Image

QUALITY = 90


def data_url(content: bytes, kind: str) -> str:
    """Return a file as a `data:` URL, so that nothing is written to disk.

    Args:
        content: The file's bytes.
        kind: Its media type, such as "text/csv".
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def picture_url(picture: Image.Image, pixels: int | None = None) -> str:
    """Return a picture as the `data:` URL of a JPEG, with at most this many pixels per side."""
    if pixels is not None:
        picture = picture.copy()
        picture.thumbnail((pixels, pixels))
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
