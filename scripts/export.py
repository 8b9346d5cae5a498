"""Export a model as ONNX, for browsers, phones and servers without Python.

    python scripts/export.py --model runs/resnet18 --format onnx
    python scripts/export.py --model me/ham10000-resnet18 --format onnx --output resnet18.onnx
    python scripts/export.py --model models/cnn --format onnx --int8 --dataset data/ham10000

Writes onnx/model.onnx beside the model, for onnxruntime in any language: any batch size, labels and
preprocessing in its metadata, checked against PyTorch to 1e-4 on 200 images. What
scripts/publish.py publishes of the model then holds it. Needs pip install -e '.[export]'. The
pipelines of transformers.js do not load it: they know neither of our model types.

With --int8 also onnx/model_quantized.onnx, a quarter of the size, and quantisation.json, which says
what the eight bits cost on a split of the dataset: no such file without its measured loss.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors

if TYPE_CHECKING:
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation.scoring import EvaluationSet


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = cli.build_parser(__doc__)
    add = parser.add_argument
    cli.add_shared(parser, "model", type=str, required=True, metavar="DIR|HUB_ID")
    add("--format", choices=["onnx"], default="onnx", help="the only one so far")
    file_help = "(default: onnx/model.onnx in the model's folder)"
    cli.add_shared(parser, "output", metavar="FILE", help=file_help)
    cli.add_shared(parser, "overwrite")
    add(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of images to compare on (default: 200 drawn ones)",
    )
    add("--int8", action="store_true", help="also in eight bits, with the measured loss")
    cli.add_shared(parser, "dataset", help="for --int8: folder that prepare_data.py wrote")
    cli.add_shared(parser, "split", help="for --int8: where the loss is measured (default: test)")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Export, compare, say how far the two are apart."""
    arguments = parse_arguments()
    output = choose_output(arguments)
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.hub.onnx import check_packages, export_onnx
    from hf_lesion.verbosity import quiet_libraries

    check_packages()
    quiet_libraries()
    sets = read_sets(arguments) if arguments.int8 else None
    classifier = LesionClassifier.from_pretrained(arguments.model, device="cpu")
    found = export_onnx(classifier, output, images=read_images(arguments.images))
    print(
        f"On {found.images} images, the largest difference from PyTorch: {found.logits:.1e} of a "
        f"logit, {found.probabilities:.1e} of a probability."
    )
    print(f"Written: {output}, {output.stat().st_size / 1e6:.1f} MB")
    if sets is not None:
        write_int8(classifier, output, *sets)


def read_sets(arguments: argparse.Namespace) -> "tuple[EvaluationSet, EvaluationSet]":
    """Return what ranges are read from, some training images, and what the loss is measured on."""
    from hf_lesion.evaluation.scoring import draw_rows, read_split, take_images
    from hf_lesion.hub.quantisation import CALIBRATION_IMAGES

    source = arguments.dataset
    train = read_split(source, "train")
    shown = take_images(train, draw_rows(len(train.image_ids), CALIBRATION_IMAGES))
    return shown, read_split(source, arguments.split)


def write_int8(
    classifier: "LesionClassifier", file: Path, shown: "EvaluationSet", images: "EvaluationSet"
) -> None:
    """Write the network in eight bits, measure what that costs, and say it."""
    from hf_lesion.hub import quantisation
    from hf_lesion.io.numbers import format_difference

    folder = file.parent.parent
    target = folder / quantisation.QUANTISED_FILE
    quantisation.quantise(classifier, file, target, shown)
    found = quantisation.measure_loss(classifier, file, target, images)
    calibrated_on = {"split": shown.name, "images": len(shown.references)}
    data = {**images.origin, "calibrated_on": calibrated_on}
    quantisation.write_record(folder, found, data=data)
    loss = format_difference(found["differences"]["balanced_accuracy"])
    print(
        f"In eight bits: balanced accuracy {loss} on "
        f"{found['images']:,} images of {images.name}, {found['same_answer']:.1%} answered alike."
    )
    print(f"Written: {target}, {target.stat().st_size / 1e6:.1f} MB, and {quantisation.RECORD}")


def choose_output(arguments: argparse.Namespace) -> Path:
    """Return the file to write.

    Raises:
        InputError: If it already exists, a Hub id is given and no file, or --int8 lacks what
            it needs.
    """
    folder = Path(arguments.model)
    if arguments.output is None and not folder.is_dir():
        raise InputError(f"{folder} is no folder here: pass --output FILE.")
    if arguments.int8 and (arguments.output or not arguments.dataset):
        raise InputError(
            "--int8 writes beside the model and measures what it costs: pass a folder as --model, "
            "--dataset DIR, and no --output."
        )
    output = arguments.output or folder / "onnx" / "model.onnx"
    if output.exists() and not arguments.overwrite:
        raise InputError(f"{output} already exists. Pass --overwrite to replace it.")
    return output


def read_images(folder: Path | None) -> list | None:
    """Return the images of a folder, at most 200; None for none."""
    from hf_lesion.evaluation import bulk
    from hf_lesion.hub.onnx import CHECKED_IMAGES

    if folder is None:
        return None
    images = bulk.list_folder(folder)
    return [images.load(index) for index in range(min(len(images.names), CHECKED_IMAGES))]


if __name__ == "__main__":
    main()
