"""Write the table of results into README.md and model_card.md, from the reports beside the models.

python scripts/render_results.py            # rewrite the tables
python scripts/render_results.py --check    # exit 1 if they are not what the reports say
"""

import argparse
import sys
from pathlib import Path

from hf_lesion.errors import InputError, one_line_errors

ROOT = Path(__file__).resolve().parent.parent


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--models",
        type=Path,
        default=ROOT / "space" / "models",
        metavar="DIR",
        help="folder of model folders (default: space/models)",
    )
    add(
        "--files",
        type=Path,
        nargs="+",
        default=[ROOT / "README.md", ROOT / "model_card.md"],
        metavar="FILE",
        help="Markdown with the two markers (default: README.md model_card.md)",
    )
    add("--check", action="store_true", help="change nothing; exit 1 if a table is out of date")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Render, compare, write."""
    arguments = parse_arguments()
    from hf_lesion.files import write_text
    from hf_lesion.hub import results

    shipped = results.read_shipped(arguments.models)
    block = results.render_block(shipped)
    stale = []
    for file in arguments.files:
        if not file.is_file():
            raise InputError(f"There is no {file}. Pass Markdown files as --files.")
        text = file.read_text(encoding="utf-8")
        new = results.put_between_markers(text, block, source=str(file))
        if new != text:
            stale.append(file)
        if not arguments.check:
            write_text(file, new)
    if arguments.check and stale:
        print(f"Out of date: {', '.join(map(str, stale))}. Run scripts/render_results.py.")
        sys.exit(1)
    print(block)


if __name__ == "__main__":
    main()
