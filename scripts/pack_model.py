"""Pack a finished run into a small folder: calibrated half-precision weights and records.

    python scripts/pack_model.py --run runs/resnet18 --dataset data/ham10000 --output models/resnet
    python scripts/score.py --model models/resnet --dataset data/ham10000 --split validation
    python scripts/score.py --model models/resnet --dataset data/ham10000 --split test

With --dataset, logit adjustment and temperature are fitted on its validation split and folded into
the last layer, so that pipeline("image-classification") returns the probability of a diagnosis if
all seven were equally common. Also written are calibration.json (the corrections and their effect),
operating_points.json (thresholds for --malignant_sensitivity and --melanoma_sensitivity) and
reliability.json (share of correct predictions by top score, checked on --check_split).

    python scripts/pack_model.py --model models/resnet --dataset data/ham10000

recalibrates a packed folder without its run. This changes the weights, so score them and fit the
gate again.

--image_size N sets the input size of the packed model. The best size is often above that of the
training crops; choose it on validation. Weights are stored in half precision and computed in
float32. The packed folder has no scores until scripts/score.py is run on it.
"""

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors
from hf_lesion.labels import LABEL_GROUPS, TARGET_SENSITIVITY

CROP_MODES = ("centre", "squash", "pad")  # those of hf_lesion, which imports slowly

if TYPE_CHECKING:
    from collections.abc import Callable

    from hf_lesion.calibration.fit import Fits


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    add = parser.add_argument
    add("--run", type=Path, metavar="DIR", help="--output_dir of scripts/train.py")
    cli.add_shared(parser, "model", help="instead of --run: packed folder to recalibrate")
    cli.add_shared(parser, "output", help="folder to write (default: --model)")
    cli.add_shared(parser, "overwrite")
    help_text = "side of the input in pixels (default: as in training)"
    add("--image_size", type=int, metavar="N", help=help_text)
    help_text = "how a frame is made square; only for runs on square images (default: as trained)"
    add("--crop_mode", choices=CROP_MODES, help=help_text)
    cli.add_shared(parser, "dataset", help="folder written by prepare_data.py to calibrate on")
    help_text = "split to calibrate on; do not use the test split (default: validation)"
    cli.add_shared(parser, "split", default="validation", help=help_text)
    help_text = "split to check reliability on (default: test)"
    add("--check_split", default="test", metavar="NAME", help=help_text)
    help_text = "weight of the training class prior to remove from the logits (default: fitted)"
    add("--logit_adjustment", type=float, metavar="TAU", help=help_text)
    share: dict[str, Any] = {"type": float, "default": TARGET_SENSITIVITY, "metavar": "SHARE"}
    for name, codes in LABEL_GROUPS.items():
        help_text = f"sensitivity for {', '.join(codes)} at its threshold (default: %(default)s)"
        add(f"--{name}_sensitivity", **share, help=help_text)
    arguments = parser.parse_args()
    check_arguments(arguments)
    return arguments


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise InputError if arguments are incompatible; fill in the default of --output."""
    run, model, tau = arguments.run, arguments.model, arguments.logit_adjustment
    needs_run = arguments.image_size is not None or arguments.crop_mode is not None
    for is_wrong, message in (
        ((run is None) == (model is None), "Pass either --run or --model."),
        (run and not arguments.output, "--run needs --output, the folder to make."),
        (model and not arguments.dataset, "--model needs --dataset to calibrate on."),
        (model and needs_run, "--image_size and --crop_mode need --run."),
        (tau is not None and tau < 0, f"--logit_adjustment is {tau}; pass 0 or more."),
        (
            tau is not None and not arguments.dataset,
            "--logit_adjustment needs --dataset, whose train split gives the class prior.",
        ),
    ):
        if is_wrong:
            raise InputError(message)
    for name in LABEL_GROUPS:
        value = getattr(arguments, f"{name}_sensitivity")
        if not 0 < value <= 1:
            raise InputError(f"--{name}_sensitivity is {value}; pass a share, such as 0.9.")
    arguments.output = arguments.output or model


def build_calibration(arguments: argparse.Namespace) -> "Callable[[Path], None] | None":
    """Return a function that calibrates a packed folder; None without --dataset.

    The dataset is read here, so that a wrong one is an error before a folder is written.
    """
    if arguments.dataset is None:
        return None
    from hf_lesion.data.record import read_counts
    from hf_lesion.evaluation.fitting import fit_folder
    from hf_lesion.evaluation.scoring import read_split

    images = read_split(arguments.dataset, arguments.split)
    check_on = read_split(arguments.dataset, arguments.check_split)
    counts = read_counts(arguments.dataset, "train")
    sensitivities = {name: getattr(arguments, f"{name}_sensitivity") for name in LABEL_GROUPS}

    def calibrate(folder: Path) -> None:
        fits = fit_folder(
            folder,
            images,
            counts,
            sensitivities=sensitivities,
            tau=arguments.logit_adjustment,
            check_on=check_on,
        )
        print(describe_fits(fits))

    return calibrate


def describe_fits(fits: "Fits") -> str:
    """Return the fitted parameters and their effect on held-out images, as text."""
    found, reliability = fits.calibration, fits.reliability
    assert found is not None
    assert reliability is not None
    lines = [
        f"Logit adjustment {found.logit_adjustment:.3f}, temperature {found.temperature:.3f}; "
        f"cross-validated on {found.fitted_on['split']}:"
    ]
    for name, values in found.cross_validated.items():
        lines.append(
            f"  {name:<11} class-balanced ECE {values['class_balanced_ece']:.4f} "
            f"(perfectly calibrated: {values['chance_class_balanced_ece']:.4f}), "
            f"balanced accuracy {values['balanced_accuracy']:.3f}"
        )
    if (check := reliability.checked_on) is not None:
        lines.append(
            f"Reliability on {check.split}: ECE {check.ece:.4f} "
            f"(perfectly calibrated: {check.chance_ece:.4f})"
        )
    return "\n".join(lines)


@one_line_errors
def main() -> None:
    """Pack or recalibrate, and print the size of the folder."""
    arguments = parse_arguments()
    from hf_lesion.hub.packing import folder_bytes, pack_model
    from hf_lesion.io.files import whole_folder
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    calibrate = build_calibration(arguments)
    if arguments.run is None and calibrate is not None:
        overwrite = arguments.overwrite or arguments.output == arguments.model
        with whole_folder(arguments.output, overwrite=overwrite) as partial_folder:
            shutil.copytree(arguments.model, partial_folder, dirs_exist_ok=True)
            calibrate(partial_folder)
    else:
        pack_model(
            arguments.run,
            arguments.output,
            overwrite=arguments.overwrite,
            crop_mode=arguments.crop_mode,
            image_size=arguments.image_size,
            finish=calibrate,
        )
    print(f"Packed: {arguments.output}, {folder_bytes(arguments.output) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
