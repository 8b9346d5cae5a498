"""Pack a finished run into a small folder to ship: half-precision weights, calibrated, its record.

    python scripts/pack_model.py --run runs/resnet18 --dataset data/ham10000 --output models/resnet
    python scripts/score.py --model models/resnet --dataset data/ham10000 --split validation
    python scripts/score.py --model models/resnet --dataset data/ham10000 --split test

With --dataset, a temperature is fitted on its validation split and folded into the last layer, so
that pipeline("image-classification") is calibrated; calibration.json says what that did, and
operating_points.json holds the thresholds for --malignant_sensitivity and --melanoma_sensitivity.
--logit_adjustment TAU first takes TAU times the logarithm of each class's share of the training
split from the logits, so that rare classes are named more often; choose it on validation.
--image_size N shows the packed model N pixels, often best above the size of training crops; choose
it on validation as well.
The folder computes in full precision. It has no scores yet: score the packed weights.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hf_lesion.errors import InputError, one_line_errors
from hf_lesion.questions import POINTS, TARGET_SENSITIVITY

CROP_MODES = ("centre", "squash", "pad")  # those of hf_lesion, which imports slowly

if TYPE_CHECKING:
    from collections.abc import Callable

    from hf_lesion.models.calibration import Calibration


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--run", type=Path, required=True, metavar="DIR", help="--output_dir of scripts/train.py")
    add("--output", type=Path, required=True, metavar="DIR", help="the folder to make")
    add("--overwrite", action="store_true", help="replace the folder if it already exists")
    add(
        "--image_size",
        type=int,
        metavar="N",
        help="side of the input in pixels (default: as in training); weights stay as they are",
    )
    add(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="dataset from scripts/prepare_data.py: calibrate on one of its splits",
    )
    add(
        "--split",
        default="validation",
        metavar="NAME",
        help="the split to calibrate on, never the one to be judged by (default: validation)",
    )
    add(
        "--logit_adjustment",
        type=float,
        default=0.0,
        metavar="TAU",
        help="how far to adjust logits to rare classes, such as 0.3; needs --dataset (default: 0)",
    )
    add(
        "--crop_mode",
        choices=CROP_MODES,
        help="how a frame becomes a square; only of a run on square images (default: the run's)",
    )
    for name, codes in POINTS.items():
        add(
            f"--{name}_sensitivity",
            type=float,
            default=TARGET_SENSITIVITY,
            metavar="SHARE",
            help=f"share of {', '.join(codes)} that the {name} threshold should find (default: "
            f"{TARGET_SENSITIVITY})",
        )
    arguments = parser.parse_args()
    for name in POINTS:
        value = getattr(arguments, f"{name}_sensitivity")
        if not 0 < value <= 1:
            raise InputError(f"--{name}_sensitivity is {value}; pass a share, such as 0.9.")
    if arguments.logit_adjustment < 0:
        raise InputError(f"--logit_adjustment is {arguments.logit_adjustment}; pass 0 or more.")
    if arguments.logit_adjustment and arguments.dataset is None:
        raise InputError("--logit_adjustment needs --dataset: the shares are its train split's.")
    return arguments


def calibrate(arguments: argparse.Namespace) -> "Callable[[Path], None] | None":
    """Return what calibrates a packed folder; None without --dataset."""
    if arguments.dataset is None:
        return None
    from hf_lesion.data.record import read_counts
    from hf_lesion.evaluation.fitting import Adjustment, calibrate_folder
    from hf_lesion.evaluation.scoring import read_split

    images = read_split(arguments.dataset, arguments.split)
    sensitivities = {name: getattr(arguments, f"{name}_sensitivity") for name in POINTS}
    tau = arguments.logit_adjustment
    adjustment = Adjustment(tau, read_counts(arguments.dataset, "train")) if tau else None
    return lambda folder: print(
        describe_calibration(
            calibrate_folder(folder, images, sensitivities=sensitivities, adjustment=adjustment)
        )
    )


def describe_calibration(found: "Calibration") -> str:
    """Return what calibration did, on images that each fit did not see."""
    lines = [f"Temperature {found.temperature:.3f}; cross-validated on {found.fitted_on['split']}:"]
    for name, values in found.cross_validated.items():
        lines.append(
            f"  {name:<13} ECE {values['ece']:.4f} (by chance {values['chance_ece']:.4f}), "
            f"class-wise {values['classwise_ece']:.4f} ({values['chance_classwise_ece']:.4f})"
        )
    return "\n".join(lines)


@one_line_errors
def main() -> None:
    """Pack, and say how large it is."""
    arguments = parse_arguments()
    from hf_lesion.hub.packing import pack_model
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    size = pack_model(
        arguments.run,
        arguments.output,
        overwrite=arguments.overwrite,
        crop_mode=arguments.crop_mode,
        image_size=arguments.image_size,
        finish=calibrate(arguments),
    )
    print(f"Packed: {arguments.output}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
