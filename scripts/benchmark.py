"""Measure how fast things are; the candidates take turns in one run.

    python scripts/benchmark.py data                      # drawn images
    python scripts/benchmark.py data --dataset data/ham10000 --json data.json

data: images per second on one core, from Parquet to batch, at 600x450 and 200x150 pixels: our
training and evaluation transforms against the PIL pipeline of transformers' own example.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from hf_lesion.errors import InputError, one_line_errors

SIZES = ((600, 450), (200, 150))


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="WHAT")
    data = commands.add_parser("data", help="from Parquet to batch")
    data.add_argument(
        "--dataset", type=Path, metavar="DIR", help="take its images (default: drawn ones)"
    )
    data.add_argument(
        "--images", type=int, default=256, metavar="N", help="images in a run (default: 256)"
    )
    for command in (data,):
        command.add_argument(
            "--rounds", type=int, default=7, metavar="N", help="runs of each (default: 7)"
        )
        command.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.images < 1:
        raise InputError("--rounds and --images are at least 1.")
    return arguments


def measure_data(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a summary for each size and kind of transform."""
    import datasets
    import torch

    from hf_lesion.benchmark import data, timing
    from hf_lesion.data.dataset import read_fingerprint

    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    if arguments.dataset is not None:
        read_fingerprint(arguments.dataset)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            rows = data.write_images(
                Path(folder), size, count=arguments.images, source=arguments.dataset
            )
            for kind, build in (("train", data.train_candidates), ("eval", data.eval_candidates)):
                title = f"{kind}, {size[0]}x{size[1]} to {data.SIDE}"
                seconds = timing.take_turns(build(rows), rounds=arguments.rounds, title=title)
                found[title] = timing.summarise(seconds, items=len(rows))
                print(timing.format_table(title, found[title], unit="images"), end="\n\n")
    return found


@one_line_errors
def main() -> None:
    """Measure, print, record."""
    arguments = parse_arguments()
    from hf_lesion.files import write_json
    from hf_lesion.provenance import provenance

    found = measure_data(arguments)
    if arguments.json is not None:
        write_json(arguments.json, {arguments.command: found, "provenance": provenance()})
        print(f"Written: {arguments.json}")


if __name__ == "__main__":
    main()
