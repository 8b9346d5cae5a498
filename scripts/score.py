"""Score a model on labelled images: report with intervals, figures and individual predictions.

    python scripts/score.py --model runs/resnet50 --dataset data/ham10000 --split test
    python scripts/score.py --model runs/resnet50 --images ISIC2018_test --ground_truth truth.csv

Writes to the model folder or --output: report.json (one entry per split; entries of other splits
are kept), report.md, report.html and figures/ (rendered from report.json), and
predictions_<split>.csv.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors
from hf_lesion.io.checksums import CONFIG, WEIGHTS
from hf_lesion.labels import PREVALENCES

MODEL_FILES = (CONFIG, WEIGHTS)
DEFAULT_SPLIT = "test"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line, with the checks that need no heavy import."""
    parser = cli.build_parser(__doc__)
    cli.add_shared(parser, "model", required=True)
    cli.add_shared(parser, "dataset")
    help_text = f"split of the dataset (default: {DEFAULT_SPLIT}), or a name for the --images"
    cli.add_shared(parser, "split", default=None, help=help_text)
    add = parser.add_argument
    help_text = "only the images of one source (column dataset), such as rosendahl"
    add("--only_source", metavar="NAME", help=help_text)
    help_text = "instead of --dataset: folder or zip archive of <image_id>.jpg or other images"
    add("--images", type=Path, metavar="DIR|ZIP", help=help_text)
    help_text = "CSV or TSV of their diagnoses: image and one-hot MEL, NV, …, or image_id and dx"
    add("--ground_truth", type=Path, metavar="FILE", help=help_text)
    cli.add_shared(parser, "batch_size")
    help_text = "average over N of the 8 orientations of an image (default: 1)"
    add("--views", type=int, default=1, choices=range(1, 9), metavar="N", help=help_text)
    for name, share in PREVALENCES.items():
        share_of: dict[str, Any] = {"type": float, "default": share, "metavar": "SHARE"}
        help_text = f"prevalence of {name} for PPV and misses per 1,000 (default: {share})"
        add(f"--{name}_prevalence", **share_of, help=help_text)
    help_text = "use predictions_<split>.csv from an earlier run instead of running the model"
    add("--predictions", type=Path, metavar="CSV", help=help_text)
    cli.add_shared(parser, "output")
    arguments = parser.parse_args()
    check_arguments(arguments)
    return arguments


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise InputError if arguments are incompatible; fill in defaults."""
    given = [name for name in ("dataset", "images", "ground_truth") if getattr(arguments, name)]
    if given not in (["dataset"], ["images", "ground_truth"]):
        raise InputError("Pass either --dataset, or both --images and --ground_truth.")
    for name in PREVALENCES:
        value = getattr(arguments, f"{name}_prevalence")
        if not 0 < value < 1:
            raise InputError(f"--{name}_prevalence is {value}; pass a share, such as 0.02.")
    if arguments.split is None:
        truth = arguments.ground_truth
        arguments.split = DEFAULT_SPLIT if truth is None else truth.stem
    if re.search(r"[/\\\0]", arguments.split) or not arguments.split.strip(". "):
        raise InputError(
            f"--split {arguments.split!r} can't be part of a file's name. Pass a plain name."
        )
    missing = [name for name in MODEL_FILES if not (arguments.model / name).is_file()]
    if missing:
        raise InputError(
            f"{arguments.model} is not a model folder: it lacks {' and '.join(missing)}. "
            "Pass the folder that scripts/train.py wrote."
        )
    arguments.output = arguments.output or arguments.model


def check_output(output: Path) -> None:
    """Raise, before the long computation, if --output is not writable or its report is damaged."""
    from hf_lesion.evaluation.report.record import REPORT, read_report

    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=output):
        pass
    if (output / REPORT).exists():
        read_report(output)


def compare_data(
    training: dict[str, Any], fingerprint: str | None, arguments: argparse.Namespace
) -> bool | None:
    """Return whether the model was trained with these splits of the data; None if unknown.

    In another preparation of the data, images of this split may have been training images.
    """
    from hf_lesion.data.record import read_split_sum

    trained_on = training.get("dataset", {})
    if arguments.dataset is None or trained_on.get("fingerprint") is None:
        return None
    splits = trained_on.get("splits_sha256")
    same_splits = splits is not None and splits == read_split_sum(arguments.dataset)
    if trained_on["fingerprint"] == fingerprint or same_splits:
        return True
    print(
        f"warning: {arguments.model} was trained on another preparation of the data than "
        f"{arguments.dataset}. Images of this split may have been trained on.",
        file=sys.stderr,
    )
    return False


@one_line_errors
def main() -> None:
    """Predict, score, write the report and print it."""
    arguments = parse_arguments()
    check_output(arguments.output)
    from hf_lesion.calibration.fit import read_fits
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation import predictions, scoring
    from hf_lesion.evaluation.report import build, pages, record, tables
    from hf_lesion.io.decoding import describe_left_out
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    fits = read_fits(arguments.model)
    if arguments.dataset is None:
        files = arguments.images, arguments.ground_truth
        evaluation_set = scoring.read_images(*files, name=arguments.split)
    else:
        evaluation_set = scoring.read_split(arguments.dataset, arguments.split)
    if arguments.only_source:
        evaluation_set = scoring.keep_source(evaluation_set, arguments.only_source)
    if evaluation_set.left_out:
        print(describe_left_out(evaluation_set.left_out), flush=True)
    classifier = LesionClassifier.from_pretrained(arguments.model)
    is_same = compare_data(classifier.record, evaluation_set.fingerprint, arguments)
    if arguments.predictions is not None:
        answers = predictions.read_predictions(arguments.predictions, evaluation_set)
    else:
        answers = scoring.predict(
            classifier, evaluation_set, batch_size=arguments.batch_size, views=arguments.views
        )
    found = build.build_record(
        answers,
        data={**evaluation_set.origin, "same_as_training": is_same},
        model={"name": classifier.name, "weights_sha256": build.weights_sha256(arguments.model)},
        size=classifier.image_size,
        crop_mode=classifier.preprocessing.crop_mode,
        views=arguments.views,
        groups=evaluation_set.groups,
        fits=fits,
        prevalences={name: getattr(arguments, f"{name}_prevalence") for name in PREVALENCES},
    )
    output, split = arguments.output, evaluation_set.name
    predictions.write_predictions(output / f"predictions_{split}.csv", answers)
    path = record.write_record(output, split, found)
    pages.write_pages(output, record.read_report(path), fresh={split})
    print(tables.format_table(found))
    print(
        f"\nWritten: {path}; next to it {pages.MARKDOWN}, {pages.PAGE}, {pages.FIGURES}/ and "
        f"predictions_{split}.csv"
    )


if __name__ == "__main__":
    main()
