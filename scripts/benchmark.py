"""Measure how fast things are; the candidates take turns in one run.

    python scripts/benchmark.py data                      # drawn images
    python scripts/benchmark.py data --dataset data/ham10000 --json data.json
    python scripts/benchmark.py train --dataset data/ham10000 --model resnet18
    python scripts/benchmark.py explain                   # three networks, the models that ship
    python scripts/benchmark.py serve                     # the web demo with the models that ship

data: images per second on one core, from Parquet to batch, at 600x450 and 200x150 pixels: our
training and evaluation transforms against the PIL pipeline of transformers' own example.
train: images per second in training, same network, size, batch and data: ours against a bare loop
on tensors in memory (the limit), transformers' example and timm; then what memory format, fused
optimizer, workers and threads each add to ours.
explain: a prediction with Grad-CAM, of one class and of all seven, in forward passes: ours against
one forward pass (the limit) and pytorch-grad-cam as its README uses it.
serve: the web demo over HTTP: how soon it serves, many clients at once (each answer compared with
that of a quiet page), p50 and p95 against a bare forward pass, its memory, a queue that is full.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from hf_lesion.errors import InputError, one_line_errors

SIZES = ((600, 450), (200, 150))
ARCHITECTURES = ("resnet18", "resnet50", "densenet121")
SPACE = Path(__file__).resolve().parent.parent / "space"


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="WHAT")
    data = commands.add_parser("data", help="from Parquet to batch")
    data.add_argument(
        "--images", type=int, default=256, metavar="N", help="images in a run (default: 256)"
    )
    train = commands.add_parser("train", help="steps of training")
    train.add_argument(
        "--model",
        nargs="+",
        default=["tf_efficientnet_lite0"],
        metavar="NAME",
        help="cnn or timm architectures (default: tf_efficientnet_lite0)",
    )
    train.add_argument(
        "--image_size", type=int, default=128, metavar="S", help="pixels (default: 128)"
    )
    train.add_argument(
        "--batch_size", type=int, default=32, metavar="B", help="images a step (default: 32)"
    )
    train.add_argument(
        "--augmentation", default="standard", metavar="NAME", help="ours (default: standard)"
    )
    train.add_argument(
        "--images",
        type=int,
        default=512,
        metavar="N",
        help="images in a run, and two batches of warm-up (default: 512)",
    )
    explain = add_explain(commands)
    add_serve(commands)
    for command in (data, train):
        command.add_argument(
            "--dataset", type=Path, metavar="DIR", help="take its images (default: drawn ones)"
        )
    for command, rounds in ((data, 7), (train, 3), (explain, 9)):
        command.add_argument(
            "--rounds", type=int, default=rounds, metavar="N", help=f"of each (default: {rounds})"
        )
        command.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.images < 1:
        raise InputError("--rounds and --images are at least 1.")
    return arguments


def add_explain(commands: Any) -> argparse.ArgumentParser:
    """Add the command `explain` with its own options."""
    command: argparse.ArgumentParser = commands.add_parser("explain", help="Grad-CAM")
    command.add_argument(
        "--model",
        nargs="+",
        default=[*ARCHITECTURES, *map(os.path.relpath, shipped_models())],
        metavar="NAME",
        help=f"cnn, timm architectures or folders (default: {' '.join(ARCHITECTURES)} and the "
        "models of space/models)",
    )
    command.add_argument(
        "--image_size",
        type=int,
        default=224,
        metavar="S",
        help="pixels of an architecture; a folder has its own (default: 224)",
    )
    command.add_argument(
        "--images", type=int, default=5, metavar="N", help="requests in a run (default: 5)"
    )
    return command


def add_serve(commands: Any) -> argparse.ArgumentParser:
    """Add the command `serve` with its own options."""
    command: argparse.ArgumentParser = commands.add_parser("serve", help="the web demo under load")
    add = command.add_argument
    add(
        "--models",
        nargs="+",
        type=Path,
        default=None,
        metavar="DIR",
        help="model folders (default: those of space/models)",
    )
    add("--clients", type=int, default=50, metavar="N", help="at once (default: 50)")
    add("--images", type=int, default=500, metavar="N", help="requests in all (default: 500)")
    add(
        "--lasting",
        type=int,
        default=2000,
        metavar="N",
        help="more requests while memory is watched (default: 2000)",
    )
    add("--port", type=int, default=7869, help="to serve on (default: 7869)")
    add("--json", type=Path, metavar="FILE", help="also write the numbers")
    command.set_defaults(rounds=1)
    return command


def shipped_models() -> list[Path]:
    """Return the folders of the models that come with the web demo."""
    return sorted(file.parent for file in (SPACE / "models").glob("*/config.json"))


def measure_serve(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `hf_lesion.benchmark.serve.measure` finds."""
    import transformers

    from hf_lesion.benchmark import serve

    transformers.logging.disable_progress_bar()
    found = serve.measure(
        SPACE / "app.py",
        arguments.models or shipped_models(),
        port=arguments.port,
        clients=arguments.clients,
        count=arguments.images,
        lasting=arguments.lasting,
    )
    print(serve.format_measures(found, arguments.clients))
    return found


def measure_data(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a summary for each size and kind of transform."""
    import datasets
    import torch

    from hf_lesion.benchmark import data, timing

    torch.set_num_threads(1)
    datasets.disable_progress_bars()
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


def measure_train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return two summaries for each model: against the others, and with settings changed."""
    import datasets
    import transformers

    from hf_lesion.benchmark import data, steps, timing, training
    from hf_lesion.data.reader import open_split

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.dataset is None:
            rows = data.write_images(Path(folder), SIZES[0], count=arguments.images)
        else:
            rows = open_split(arguments.dataset, "train")
            rows = rows.select(range(min(len(rows), arguments.images)))
        for model in arguments.model:
            setting = steps.Setting(
                model,
                arguments.image_size,
                arguments.batch_size,
                max(1, arguments.images // arguments.batch_size),
                arguments.augmentation,
            )
            for what, build in (
                ("compared", training.candidates),
                ("settings of ours", training.option_candidates),
            ):
                title = f"{model}, {arguments.image_size} px, {what}"
                seconds = timing.take_turns(
                    build(rows, setting), rounds=arguments.rounds, title=title
                )
                found[title] = timing.summarise(seconds, items=setting.images)
                print(timing.format_table(title, found[title], unit="images"), end="\n\n")
    return found


def measure_explain(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a summary for each model, and how far its maps are from the library's."""
    import transformers

    from hf_lesion.benchmark import explain, timing

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found = {}
    for name in arguments.model:
        model, pixel_values = explain.load(name, arguments.image_size)
        title = f"{name}, {pixel_values.shape[-1]} px"
        ways = explain.candidates(model, pixel_values, calls=arguments.images)
        seconds = timing.take_turns(ways, rounds=arguments.rounds, title=title)
        summary = timing.summarise(seconds, items=arguments.images)
        difference = explain.greatest_difference(model, pixel_values)
        print(explain.format_times(title, summary, difference), end="\n\n")
        found[title] = {"ways": summary, "greatest_difference": difference}
    return found


MEASURES = {
    "data": measure_data,
    "train": measure_train,
    "explain": measure_explain,
    "serve": measure_serve,
}


@one_line_errors
def main() -> None:
    """Measure, print, record."""
    arguments = parse_arguments()
    from hf_lesion.files import write_json
    from hf_lesion.provenance import provenance

    found = MEASURES[arguments.command](arguments)
    if arguments.json is not None:
        write_json(arguments.json, {arguments.command: found, "provenance": provenance()})
        print(f"Written: {arguments.json}")


if __name__ == "__main__":
    main()
