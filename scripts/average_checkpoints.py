"""Average the weights of checkpoints of one network: often better than each of them.

    python scripts/average_checkpoints.py --checkpoints runs/cnn/checkpoint-* --output runs/cnn_mean

The output is a folder like that of a finished run, to be scored, packed, or trained further by
scripts/train.py --model. Its record names the checkpoints. Choose on validation whether it pays.
"""

import argparse
from pathlib import Path

from hf_lesion.errors import one_line_errors


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--checkpoints", type=Path, nargs="+", required=True, metavar="DIR", help="two or more")
    add("--output", type=Path, required=True, metavar="DIR", help="the folder to make")
    add("--overwrite", action="store_true", help="replace the folder if it is there already")
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
