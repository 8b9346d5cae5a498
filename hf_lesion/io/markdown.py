"""Markdown tables, and the rendered blocks of a Markdown file."""

import re
from collections.abc import Iterable, Mapping, Sequence

from hf_lesion.errors import InputError


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table: its header, the rule below it, its rows."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def fill_blocks(text: str, blocks: Mapping[str, str], *, source: str) -> str:
    """Return a text with its rendered blocks replaced.

    A block lies between the lines `<!-- name: how it is rendered -->` and `<!-- /name -->`.
    `blocks` maps names to new content; those that are not in the text are ignored. `source` is the
    name of the text in messages.

    Raises:
        InputError: If the text has none of the blocks, or one of them twice or without its end.
    """
    found = [name for name in blocks if re.search(f"<!-- /?{name}\\b", text)]
    if not found:
        names = " or ".join(blocks)
        raise InputError(
            f"{source} has no block to fill: expected a line <!-- NAME: … --> and below it "
            f"<!-- /NAME -->, where NAME is {names}."
        )
    for name in found:
        pattern = re.compile(f"(?<=<!-- {name}: )([^\n]*-->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        if len(pattern.findall(text)) != 1 or text.count(f"<!-- /{name} -->") != 1:
            raise InputError(
                f"{source} needs one line <!-- {name}: … --> and below it one <!-- /{name} -->."
            )
        content = blocks[name].replace("\\", r"\\")
        text = pattern.sub(rf"\g<1>{content}\n", text)
    return text
