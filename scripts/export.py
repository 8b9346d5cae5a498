"""Export a model as ONNX, for browsers, phones and servers without Python.

    python scripts/export.py --model runs/resnet18 --format onnx
    python scripts/export.py --model me/ham10000-resnet18 --format onnx --output resnet18.onnx
    python scripts/export.py --model models/cnn --format onnx --int8 --dataset data/ham10000

Writes onnx/model.onnx to the model folder for onnxruntime in any language, with a dynamic batch
size, and labels and preprocessing in its metadata. The output is compared with PyTorch on 200
images (tolerance 1e-4). scripts/publish.py includes the file. Needs pip install -e '.[export]'. The
pipelines of transformers.js cannot load it, since they do not support the model types.

--int8 also writes onnx/model_quantized.onnx, a quarter of the size, and quantisation.json with the
loss of balanced accuracy measured on a split of the dataset.
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
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    add = parser.add_argument
    cli.add_shared(parser, "model", type=str, required=True, metavar="DIR|HUB_ID")
    add("--format", choices=["onnx"], default="onnx", help="file format (default: onnx)")
    help_text = "(default: onnx/model.onnx in the model folder)"
    cli.add_shared(parser, "output", metavar="FILE", help=help_text)
    cli.add_shared(parser, "overwrite")
    help_text = "folder of images for the comparison (default: 200 drawn images)"
    add("--images", type=Path, metavar="DIR", help=help_text)
    add("--int8", action="store_true", help="also write an 8-bit model and its measured loss")
    cli.add_shared(parser, "dataset", help="for --int8: folder written by prepare_data.py")
    cli.add_shared(parser, "split", help="for --int8: split to measure the loss on (default: test)")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Export the model and print the difference from PyTorch."""
    arguments = parse_arguments()
    output = choose_output(arguments)
    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation.bulk import list_folder
    from hf_lesion.evaluation.scoring import read_split
    from hf_lesion.hub.onnx import CHECKED_IMAGES, check_packages, export_onnx
    from hf_lesion.verbosity import quiet_libraries

    check_packages()
    quiet_libraries()
    # Before the export, since the dataset may not be there.
    names = ("train", arguments.split) if arguments.int8 else ()
    splits = [read_split(arguments.dataset, name) for name in names]
    images = None
    if arguments.images is not None:
        listed = list_folder(arguments.images)
        images = [listed.load(index) for index in range(min(len(listed.names), CHECKED_IMAGES))]
    classifier = LesionClassifier.from_pretrained(arguments.model, device="cpu")
    found = export_onnx(classifier, output, images=images)
    print(
        f"Largest difference from PyTorch on {found.images} images: {found.logits:.1e} in logits, "
        f"{found.probabilities:.1e} in probabilities."
    )
    print(f"Written: {output}, {output.stat().st_size / 1e6:.1f} MB")
    if splits:
        write_int8(classifier, output, *splits)


def write_int8(
    classifier: "LesionClassifier", file: Path, train: "EvaluationSet", images: "EvaluationSet"
) -> None:
    """Write the 8-bit model, measure its loss and print it."""
    from hf_lesion.evaluation.scoring import draw_rows, take_images
    from hf_lesion.hub import quantisation
    from hf_lesion.io.numbers import format_difference

    folder = file.parent.parent
    target = folder / quantisation.QUANTISED_FILE
    rows = draw_rows(len(train.image_ids), quantisation.CALIBRATION_IMAGES)
    quantisation.quantise(classifier, file, target, take_images(train, rows))
    found = quantisation.measure_loss(classifier, file, target, images)
    calibrated_on = {"split": train.name, "images": len(rows)}
    data = {**images.origin, "calibrated_on": calibrated_on}
    quantisation.write_record(folder, found, data=data)
    loss = format_difference(found["differences"]["balanced_accuracy"])
    print(
        f"8-bit model: balanced accuracy {loss} on {found['images']:,} images of {images.name}, "
        f"{found['same_answer']:.1%} with the same prediction."
    )
    print(f"Written: {target}, {target.stat().st_size / 1e6:.1f} MB, and {quantisation.RECORD}")


def choose_output(arguments: argparse.Namespace) -> Path:
    """Return the file to write.

    Raises:
        InputError: If the file already exists, --output is missing for a Hub id, or --int8 lacks a
            folder or dataset.
    """
    folder = Path(arguments.model)
    if arguments.output is None and not folder.is_dir():
        raise InputError(f"{folder} is not a local folder. Pass --output FILE.")
    if arguments.int8 and (arguments.output or not arguments.dataset):
        raise InputError(
            "--int8 writes to the model folder and measures the loss: pass a folder as --model, "
            "--dataset DIR, and no --output."
        )
    output = arguments.output or folder / "onnx" / "model.onnx"
    if output.exists() and not arguments.overwrite:
        raise InputError(f"{output} already exists. Pass --overwrite to replace it.")
    return output


if __name__ == "__main__":
    main()
