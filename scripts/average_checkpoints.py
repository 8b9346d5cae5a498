"""Average the weights of checkpoints of one network: often better than each of them.

    python scripts/average_checkpoints.py --checkpoints runs/cnn/checkpoint-* --output runs/cnn_mean

The output is a folder like that of a finished run, to be scored, packed, or trained further by
scripts/train.py --model. Its record names the checkpoints. Choose on validation whether it pays.
"""

import argparse
from pathlib import Path

from hf_lesion import cli
from hf_lesion.errors import one_line_errors


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = cli.build_parser(__doc__)
    add = parser.add_argument
    add("--checkpoints", type=Path, nargs="+", required=True, metavar="DIR", help="two or more")
    cli.add_shared(parser, "output", required=True, help="folder of the new model")
    cli.add_shared(parser, "overwrite")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Average, and say what of."""
    arguments = parse_arguments()
    from hf_lesion.training.averaging import average_checkpoints

    folders = arguments.checkpoints
    average_checkpoints(folders, arguments.output, overwrite=arguments.overwrite)
    print(f"The mean of {', '.join(map(str, folders))}: {arguments.output}")


if __name__ == "__main__":
    main()
