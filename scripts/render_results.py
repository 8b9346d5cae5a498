"""Render the results tables of the documentation and every model's card from their records.

    python scripts/render_results.py                    # README.md, docs/, model_card.md, cards
    python scripts/render_results.py --check            # exit 1 if a file is out of date
    python scripts/render_results.py --models models    # the cards of other models, and the tables

model_card.md is the card of the model with the best balanced accuracy on test. Tables are written
into the blocks `results`, `pairs`, `calibration` and `explanations` of a Markdown file.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "docs/evaluation.md", "docs/explanations.md")
SHIPPED = ROOT / "space" / "models"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    add = parser.add_argument
    help_text = "folder of model folders (default: space/models)"
    cli.add_shared(parser, "models", default=SHIPPED, help=help_text)
    files: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    help_text = "Markdown with blocks to fill (default: README.md and docs/, of other models none)"
    add("--files", **files, nargs="+", help=help_text)
    help_text = "also write the card of the best model here (default: model_card.md if shipped)"
    add("--card", **files, help=help_text)
    add("--check", action="store_true", help="exit 1 if a file is out of date; write nothing")
    arguments = parser.parse_args()
    ours = arguments.models.resolve() == SHIPPED
    if arguments.files is None:
        arguments.files = [ROOT / name for name in DOCUMENTS] if ours else []
    if arguments.card is None and ours:
        arguments.card = ROOT / "model_card.md"
    return arguments


@one_line_errors
def main() -> None:
    """Render the tables and write files that are out of date."""
    arguments = parse_arguments()
    from hf_lesion.evaluation.explanations import tables
    from hf_lesion.hub import card, client, results
    from hf_lesion.io.files import write_text
    from hf_lesion.io.markdown import fill_blocks

    shipped = results.read_shipped(arguments.models)
    blocks = results.render_blocks(shipped)
    blocks["explanations"] = tables.render_block([model.folder for model in shipped])
    wanted = {model.folder / client.CARD: card.render_card(model) for model in shipped}
    if arguments.card is not None:
        wanted[arguments.card] = wanted[shipped[0].folder / client.CARD]
    for file in arguments.files:
        if not file.is_file():
            raise InputError(f"{file} not found. Pass Markdown files as --files.")
        text = file.read_text(encoding="utf-8")
        wanted[file] = fill_blocks(text, blocks, source=str(file))
    stale = [
        file
        for file, text in wanted.items()
        if not file.is_file() or file.read_text(encoding="utf-8") != text
    ]
    if arguments.check and stale:
        print(f"Out of date: {', '.join(map(str, stale))}. Run scripts/render_results.py.")
        sys.exit(1)
    for file in stale:
        write_text(file, wanted[file])
    print("\n\n".join(blocks[name] for name in ("results", "pairs", "calibration") if blocks[name]))


if __name__ == "__main__":
    main()
