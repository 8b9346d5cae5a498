"""Average the weights of several checkpoints of one architecture.

    python scripts/average_checkpoints.py --checkpoints runs/cnn/checkpoint-* --output runs/cnn_mean

The output is a model folder like that of a finished run: score it, pack it, or train it further
with scripts/train.py --model. Its record lists the checkpoints. The average is often better than
each checkpoint; compare them on validation.
"""

import argparse
from pathlib import Path

from hf_lesion import cli
from hf_lesion.errors import one_line_errors


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    add = parser.add_argument
    add("--checkpoints", type=Path, nargs="+", required=True, metavar="DIR", help="at least two")
    cli.add_shared(parser, "output", required=True, help="folder of the new model")
    cli.add_shared(parser, "overwrite")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Average the weights and print the output folder."""
    arguments = parse_arguments()
    from hf_lesion.training.checkpoints import average_checkpoints

    folders = arguments.checkpoints
    average_checkpoints(folders, arguments.output, overwrite=arguments.overwrite)
    print(f"Written: {arguments.output}, the mean of {', '.join(map(str, folders))}")


if __name__ == "__main__":
    main()
