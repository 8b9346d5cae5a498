r"""Predict the diagnoses of many images, on one or several processes and machines.

    accelerate launch scripts/predict.py --model runs/cnn --input FOLDER --output out.parquet
    python scripts/predict.py --model runs/cnn --input data/ham10000 \
        --output out.parquet --split test --submission submission.csv

Writes one row per image: image_id, the predicted diagnosis, seven probabilities (if all diagnoses
were equally common), reliability (share of correct predictions at this top score; empty if not
measured), and an error instead if the file cannot be read. Reads JPEG, PNG, WebP, AVIF, TIFF, BMP
and GIF files; other files are skipped and counted. Run the same command to resume a stopped job.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hf_lesion import cli
from hf_lesion.errors import InputError, one_line_errors

if TYPE_CHECKING:
    from hf_lesion.evaluation.bulk import Images

RECORD = "prepared.json"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.build_parser(__doc__)
    add = parser.add_argument
    cli.add_shared(parser, "model", type=str, required=True, metavar="DIR|HUB_ID")
    input_help = "folder of images, including subfolders, or a prepared dataset"
    add("--input", type=Path, required=True, metavar="DIR", help=input_help)
    cli.add_shared(parser, "output", required=True, metavar="FILE", help="Parquet file to write")
    add("--submission", type=Path, metavar="FILE", help="also write an ISIC 2018 Task 3 CSV")
    cli.add_shared(parser, "split", "batch_size", "overwrite")
    arguments = parser.parse_args()
    if not arguments.input.is_dir():
        raise InputError(f"Folder {arguments.input} not found. Pass images or a dataset.")
    if arguments.output.exists() and not arguments.overwrite:
        raise InputError(f"{arguments.output} already exists. Pass --overwrite to replace it.")
    return arguments


def list_images(arguments: argparse.Namespace) -> "Images":
    """Return the images of the dataset or folder."""
    from hf_lesion.evaluation import bulk

    if (arguments.input / RECORD).is_file():
        images = bulk.read_dataset(arguments.input, arguments.split)
    else:
        images = bulk.list_folder(arguments.input)
    if arguments.submission is not None:
        bulk.check_submission(images.names)
    return images


@one_line_errors
def main() -> None:
    """Predict this process's part of the images; the main process then merges all parts."""
    arguments = parse_arguments()
    import torch
    from accelerate import PartialState

    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.evaluation import bulk
    from hf_lesion.io.decoding import describe_left_out
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    # Without cpu=True, processes on a machine without GPU are not connected, and each would predict
    # all images.
    state = PartialState(cpu=not torch.accelerator.is_available())
    images = list_images(arguments)
    if state.is_main_process and images.left_out:
        print(describe_left_out(images.left_out), flush=True)
    classifier = LesionClassifier.from_pretrained(arguments.model, device=state.device)
    parts = arguments.output.with_name(arguments.output.name + bulk.PARTS_SUFFIX)
    with state.main_process_first():
        bulk.open_job(parts, images, weights=classifier.weights_sha256)
    bulk.predict_parts(
        classifier,
        images,
        parts,
        batch_size=arguments.batch_size,
        process=state.process_index,
        processes=state.num_processes,
    )
    state.wait_for_everyone()
    if state.is_main_process:
        found = bulk.merge_parts(parts, arguments.output, count=bulk.count_parts(images))
        print(f"{found['images']:,} images, {found['unreadable']:,} unreadable: {arguments.output}")
        if arguments.submission is not None:
            bulk.write_submission(arguments.output, arguments.submission)
            print(f"ISIC 2018 Task 3 format: {arguments.submission}")


if __name__ == "__main__":
    main()
