"""Write a small drawn dataset in the layout of HAM10000, to test the software without it.

python scripts/write_sample.py --output data/sample/raw --images 700 --seed 0
"""

import argparse
from pathlib import Path

from hf_lesion import cli
from hf_lesion.errors import one_line_errors


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    output_help = "folder to write to (default: %(default)s)"
    cli.add_shared(parser, "output", default=Path("data/sample/raw"), help=output_help)
    add = parser.add_argument
    add("--images", type=int, default=700, help="number of images, at least 84 (default: 700)")
    add("--seed", type=int, default=0, help="random seed (default: 0)")
    cli.add_shared(parser, "overwrite")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Write the images, masks and metadata."""
    arguments = parse_arguments()
    from hf_lesion.synthetic.dataset import write_sample

    write_sample(
        arguments.output, arguments.images, seed=arguments.seed, overwrite=arguments.overwrite
    )
    print(
        f"Written: {arguments.images} drawn images with masks and metadata in "
        f"{arguments.output}, for testing the software only."
    )


if __name__ == "__main__":
    main()
