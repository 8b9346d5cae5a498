"""Draw a small synthetic HAM10000, to try everything without the real images.

python scripts/write_sample.py --output data/sample/raw --images 700 --seed 0
"""

import argparse
from pathlib import Path

from hf_lesion.errors import one_line_errors


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=Path("data/sample/raw"), help="folder to write (%(default)s)"
    )
    parser.add_argument(
        "--images", type=int, default=700, help="how many images, at least 84 (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (%(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder already there")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Parse, draw, say where."""
    arguments = parse_arguments()
    from hf_lesion.synthetic.dataset import write_sample

    write_sample(
        arguments.output, arguments.images, seed=arguments.seed, overwrite=arguments.overwrite
    )
    print(
        f"{arguments.images} drawn images with masks and metadata in {arguments.output}. "
        "They are synthetic: good for trying the programs, worthless for medicine."
    )


if __name__ == "__main__":
    main()
