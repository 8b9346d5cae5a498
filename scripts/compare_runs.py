"""Compare training runs on validation: changed settings and differences with intervals.

    python scripts/compare_runs.py --reference runs/standard --runs runs/strong runs/mixup

Score the runs first: scripts/score.py --model RUN --split validation. --json FILE adds the
comparison to the file, replacing that with the same reference; --markdown FILE writes all
comparisons of --json between the two markers in a Markdown file.
"""

import argparse
import json
from pathlib import Path

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    add = parser.add_argument
    add("--reference", type=Path, metavar="DIR", help="run to compare the others with")
    add("--runs", type=Path, nargs="+", default=[], metavar="DIR", help="other runs")
    add("--json", type=Path, metavar="FILE", help="file of comparisons to update")
    help_text = "Markdown file to write the tables of --json to"
    add("--markdown", type=Path, metavar="FILE", help=help_text)
    arguments = parser.parse_args()
    if arguments.reference is None and not (arguments.json and arguments.markdown):
        raise InputError("Pass --reference DIR and --runs DIR …, or --json and --markdown.")
    if arguments.markdown and not arguments.json:
        raise InputError("--markdown needs --json.")
    return arguments


@one_line_errors
def main() -> None:
    """Compare runs, print the table, and update the files."""
    arguments = parse_arguments()
    from hf_lesion.evaluation import comparison
    from hf_lesion.io.files import write_json, write_text
    from hf_lesion.io.markdown import fill_blocks

    kept = []
    if arguments.json is not None and arguments.json.is_file():
        kept = json.loads(arguments.json.read_text(encoding="utf-8"))
    if arguments.reference is not None:
        found = comparison.compare_runs(arguments.reference, arguments.runs)
        print(comparison.render_comparisons([found]))
        kept = [old for old in kept if old["reference"] != found["reference"]] + [found]
        if arguments.json is not None:
            write_json(arguments.json, kept)
    if arguments.markdown is not None:
        text = arguments.markdown.read_text(encoding="utf-8")
        blocks = {comparison.BLOCK: comparison.render_comparisons(kept)}
        new = fill_blocks(text, blocks, source=str(arguments.markdown))
        write_text(arguments.markdown, new)
        print(f"Written: {arguments.markdown}")


if __name__ == "__main__":
    main()
