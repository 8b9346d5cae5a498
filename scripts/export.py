"""Export a model as ONNX, for browsers, phones and servers without Python.

    python scripts/export.py --model runs/resnet18 --format onnx
    python scripts/export.py --model me/ham10000-resnet18 --format onnx --output resnet18.onnx

Writes onnx/model.onnx beside the model, where Optimum and transformers.js look for it: any batch
size, labels and preprocessing in its metadata, checked against PyTorch to 1e-4 on 200 images. What
scripts/publish.py publishes of the model then holds it. Needs pip install -e '.[export]'.
"""

import argparse
from pathlib import Path

from hf_lesion.errors import InputError, one_line_errors


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", required=True, metavar="DIR|HUB_ID", help="a trained model")
    add("--format", choices=["onnx"], default="onnx", help="the only one so far")
    add("--output", type=Path, metavar="FILE", help="default: onnx/model.onnx beside the model")
    add(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of images to compare on (default: 200 drawn ones)",
    )
    add("--overwrite", action="store_true", help="replace the file if it is there already")
    return parser.parse_args()


@one_line_errors
def main() -> None:
    """Export, compare, say how far the two are apart."""
    arguments = parse_arguments()
    output = choose_output(arguments)
    from hf_lesion.hub.export import check_packages, export_onnx
    from hf_lesion.inference import LesionClassifier
    from hf_lesion.verbosity import quiet_libraries

    check_packages()
    quiet_libraries()
    classifier = LesionClassifier.from_pretrained(arguments.model, device="cpu")
    found = export_onnx(classifier, output, images=read_images(arguments.images))
    print(
        f"On {found.images} images, the largest difference from PyTorch: {found.logits:.1e} of a "
        f"logit, {found.probabilities:.1e} of a probability."
    )
    print(f"Written: {output}, {output.stat().st_size / 1e6:.1f} MB")


def choose_output(arguments: argparse.Namespace) -> Path:
    """Return the file to write.

    Raises:
        InputError: If it is there already, or a Hub id is given and no file.
    """
    folder = Path(arguments.model)
    if arguments.output is None and not folder.is_dir():
        raise InputError(f"{folder} is no folder here: pass --output FILE.")
    output = arguments.output or folder / "onnx" / "model.onnx"
    if output.exists() and not arguments.overwrite:
        raise InputError(f"{output} is there already. Pass --overwrite to replace it.")
    return output


def read_images(folder: Path | None) -> list | None:
    """Return the images of a folder, at most 200; None for none."""
    from hf_lesion.evaluation import bulk
    from hf_lesion.hub.export import CHECKED_IMAGES

    if folder is None:
        return None
    images = bulk.list_folder(folder)
    return [images.load(index) for index in range(min(len(images.names), CHECKED_IMAGES))]


if __name__ == "__main__":
    main()
