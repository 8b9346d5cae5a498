"""HTML shared by the views: pictures, downloads and tables."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image

QUALITY = 90


def data_url(content: bytes, kind: str) -> str:
    """Return a file of a media type as a `data:` URL, so that nothing is written to disk."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def picture_url(picture: Image.Image, pixels: int | None = None) -> str:
    """Return a picture as the `data:` URL of a JPEG, with at most this many pixels per side."""
    if pixels is not None:
        picture = picture.copy()
        picture.thumbnail((pixels, pixels))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY)
    return data_url(stream.getvalue(), "image/jpeg")


def download_link(name: str, content: bytes, kind: str, text: str) -> str:
    """Return a link, in these words, that contains a file of a media type."""
    url = data_url(content, kind)
    return f'<a class="download" download="{escape(name)}" href="{url}">{escape(text)}</a>'


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, label: str, kind: str) -> str:
    """Return a table that scrolls horizontally on narrow screens, also by keyboard.

    The cells are HTML, the first of a row its title; `label` is for screen readers, `kind` the
    table's CSS class.
    """
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}, scrolls '
        f'sideways"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        "</table></div>"
    )
