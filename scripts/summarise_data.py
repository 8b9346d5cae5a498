"""Reduce a prepared dataset and its leakage audits to the counts that the web demo shows.

python scripts/summarise_data.py --dataset data/ham10000 --audits reports/leakage*.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors

OUTPUT = Path("space/dataset.json")


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = cli.build_parser(__doc__)
    cli.add_shared(parser, "dataset", required=True)
    add = parser.add_argument
    add("--audits", type=Path, nargs="*", default=[], help="what scripts/audit_splits.py wrote")
    add("--recipes", type=Path, help="what scripts/experiments/compare_protocols.py wrote")
    cli.add_shared(parser, "output", default=OUTPUT, metavar="FILE", help="(default: %(default)s)")
    return parser.parse_args()


def read_record(file: Path) -> dict[str, Any]:
    """Read one record.

    Raises:
        InputError: If it is not there or no JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} can't be read as JSON ({type(error).__name__}).") from error


@one_line_errors
def main() -> None:
    """Read, count, write."""
    arguments = parse_arguments()
    from hf_lesion.data import exploration
    from hf_lesion.data.record import read_fingerprint
    from hf_lesion.data.summary import summarise
    from hf_lesion.files import write_json

    fingerprint = read_fingerprint(arguments.dataset)
    audits = [read_record(file) for file in arguments.audits]
    recipes = read_record(arguments.recipes) if arguments.recipes else None
    found = summarise(exploration.read_frame(arguments.dataset), audits, recipes)
    write_json(arguments.output, {"fingerprint": fingerprint, **found})
    print(f"Written: {arguments.output}")


if __name__ == "__main__":
    main()
