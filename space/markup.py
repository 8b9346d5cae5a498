"""HTML that several parts of the page are made of: tables that scroll, files within the page."""

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image

QUALITY = 90


def data_url(content: bytes, kind: str) -> str:
    """Return a file as a `data:` URL: nothing is written on this machine.

    Args:
        content: The file's bytes.
        kind: Its media type, such as "text/csv".
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def picture_url(picture: Image.Image) -> str:
    """Return a picture as a `data:` URL of a JPEG."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY)
    return data_url(stream.getvalue(), "image/jpeg")


def scrolling(table: str, label: str) -> str:
    """Return a table that scrolls sideways on a narrow screen, also by the keyboard.

    Args:
        table: HTML.
        label: What it holds, for who can't see it.
    """
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}, scrolls '
        f'sideways">{table}</div>'
    )


def more(title: str, content: str) -> str:
    """Return content that is shown when its title is pressed."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]], label: str) -> str:
    """Return a table of texts; the first column names the rows.

    Args:
        columns: Names, left to right.
        rows: As many texts each.
        label: What it holds, for who can't see it.
    """
    first, *others = columns
    head = f'<td class="corner">{escape(first)}</td>' + "".join(
        f'<th scope="col">{escape(name)}</th>' for name in others
    )
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        f"{''.join(f'<td>{escape(text)}</td>' for text in row[1:])}</tr>"
        for row in rows
    )
    return scrolling(
        f'<table class="figures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>', label
    )
