"""Compare what a model makes of whole frames: centre crop, squashed to a square, or padded.

    python scripts/experiments/compare_crops.py --model space/models/* --frames data/frames \
        --squares data/ham10000_256 --split validation --output crops.json

Frames are files <image_id>.jpg, squares a dataset that scripts/prepare_data.py made of the centre
squares of the same images: their labels, lesions and split are taken from there. Prints, for each
crop mode, balanced accuracy and how often the answer is that to the square image, with 95%
intervals by bootstrap over lesions, and the paired difference from squashing; --output keeps it.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_lesion.errors import InputError, one_line_errors

if TYPE_CHECKING:
    from hf_lesion.evaluation.predictions import Predictions
    from hf_lesion.evaluation.scoring import EvaluationSet

SQUARES, BASE = "square images", "squash"
HEADER = (
    "model",
    "input",
    "balanced accuracy",
    "difference to squash",
    "same prediction as for the square image",
)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", nargs="+", required=True, metavar="MODEL", help="folders or Hub ids")
    add("--frames", type=Path, required=True, metavar="DIR", help="whole frames, <image_id>.jpg")
    add("--squares", type=Path, required=True, metavar="DIR", help="what prepare_data.py wrote")
    add("--split", default="validation", metavar="NAME", help="(default: %(default)s)")
    add("--batch_size", type=int, default=32, metavar="N", help="images at once (default: 32)")
    add("--output", type=Path, metavar="FILE", help="a JSON file to write")
    return parser.parse_args()


def read_pairs(frames: Path, squares: Path, split: str) -> tuple["EvaluationSet", "EvaluationSet"]:
    """Return the whole frames of a split and their square images, in the same order."""
    from dataclasses import replace

    from hf_lesion.evaluation.scoring import read_split, take_images
    from hf_lesion.io.decoding import load_image

    whole = read_split(squares, split)
    files = {file.stem: file for file in sorted(frames.iterdir())} if frames.is_dir() else {}
    rows = [row for row, image_id in enumerate(whole.image_ids) if image_id in files]
    if not rows:
        raise InputError(
            f"{frames} has no image <image_id>.jpg of the split {split} of {squares}. Pass the "
            "folder of the whole frames."
        )
    paired = take_images(whole, rows)
    return replace(paired, load=lambda row: load_image(files[paired.image_ids[row]])), paired


def measure_model(
    name: str, frames: "EvaluationSet", squares: "EvaluationSet", *, batch_size: int
) -> dict[str, Any]:
    """Return what one model makes of frames in every crop mode, and of square images."""
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation.scoring import predict
    from hf_lesion.models.preprocessing import CROP_MODES, change_processor

    classifier = LesionClassifier.from_pretrained(name)
    of_squares = predict(classifier, squares, batch_size=batch_size)
    answers = {}
    for mode in CROP_MODES:
        config = classifier.model.config
        classifier.processor = change_processor(config, classifier.processor, crop_mode=mode)
        answers[mode] = predict(classifier, frames, batch_size=batch_size)
    found = {mode: _describe(own, of_squares, answers[BASE]) for mode, own in answers.items()}
    return {
        "model": classifier.name,
        "images": len(of_squares.image_ids),
        "lesions": len(set(of_squares.lesion_ids or of_squares.image_ids)),
        SQUARES: _describe(of_squares, of_squares, answers[BASE]),
        **found,
    }


def _describe(
    own: "Predictions", of_squares: "Predictions", base: "Predictions"
) -> dict[str, list[float]]:
    from hf_lesion.evaluation.bootstrap import bootstrap_intervals, estimate, paired_differences
    from hf_lesion.evaluation.metrics import LesionMetrics

    truth, lesions = own.references, own.lesion_ids
    metrics = LesionMetrics().compute(predictions=own.probabilities, references=truth)
    name = "balanced_accuracy"
    bounds = bootstrap_intervals(own.probabilities, truth, lesions)[name]
    change = paired_differences(base.probabilities, own.probabilities, truth, lesions)[name]
    same = own.probabilities.argmax(axis=1) == of_squares.probabilities.argmax(axis=1)
    return {
        name: [metrics[name], *bounds],
        "minus_squash": list(change),
        "same_answer": estimate(same[:, None], lesions)[0].rounded(),
    }


def render(records: list[dict[str, Any]]) -> str:
    """Return what was measured as a Markdown table."""
    from hf_lesion.io.markdown import table_lines
    from hf_lesion.io.numbers import format_difference, format_estimate
    from hf_lesion.models.preprocessing import CROP_MODES

    rows = [
        (
            f"`{record['model']}`",
            kind,
            format_estimate(record[kind]["balanced_accuracy"]),
            "–" if kind == BASE else format_difference(record[kind]["minus_squash"]),
            "–" if kind == SQUARES else format_estimate(record[kind]["same_answer"]),
        )
        for record in records
        for kind in (SQUARES, *CROP_MODES)
    ]
    return "\n".join(table_lines(HEADER, rows))


@one_line_errors
def main() -> None:
    """Measure, print, keep."""
    arguments = parse_arguments()
    from hf_lesion.io.files import write_json
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    frames, squares = read_pairs(arguments.frames, arguments.squares, arguments.split)
    records = [
        measure_model(name, frames, squares, batch_size=arguments.batch_size)
        for name in arguments.model
    ]
    print(render(records))
    print(f"\n{records[0]['images']} images of {records[0]['lesions']} lesions, {arguments.split}.")
    if arguments.output is not None:
        write_json(arguments.output, {"split": arguments.split, "models": records})
        print(f"Written: {arguments.output}")


if __name__ == "__main__":
    main()
