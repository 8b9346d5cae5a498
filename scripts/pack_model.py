"""Pack a finished run into a small folder to ship: weights in half precision, and its record.

    python scripts/pack_model.py --run runs/resnet18 --output space/models/resnet
    python scripts/score.py --model space/models/resnet --dataset data/ham10000 --split validation
    python scripts/score.py --model space/models/resnet --dataset data/ham10000 --split test

The folder loads by pipeline("image-classification") and computes in full precision. It has no
scores yet: score the packed weights, which differ from the run's in the fourth digit.
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
    add("--run", type=Path, required=True, metavar="DIR", help="--output_dir of scripts/train.py")
    add("--output", type=Path, required=True, metavar="DIR", help="the folder to make")
    add("--overwrite", action="store_true", help="replace the folder if it is there already")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Pack, and say how large it is."""
    arguments = parse_arguments()
    from hf_lesion.evaluation.scoring import quiet_libraries
    from hf_lesion.hub.folder import pack_model

    quiet_libraries()
    size = pack_model(arguments.run, arguments.output, overwrite=arguments.overwrite)
    print(f"Packed: {arguments.output}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
