"""Markdown tables, and blocks between two markers of a file."""

import re
from collections.abc import Iterable, Sequence

from hf_lesion.errors import InputError


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table: its header, the rule below it, its rows."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def put_between(text: str, block: str, *, start: str, end: str, source: str) -> str:
    """Return a text with the lines between two markers replaced.

    Args:
        text: Holds both markers, once, in this order.
        block: What to put there.
        start: The marker above.
        end: The marker below.
        source: The text's name, for messages.

    Raises:
        InputError: If the markers are not there like that.
    """
    pattern = re.compile(f"{re.escape(start)}\n.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise InputError(f"{source} needs one line {start} and below it one {end}.")
    return pattern.sub(lambda _: f"{start}\n{block}\n{end}", text)
