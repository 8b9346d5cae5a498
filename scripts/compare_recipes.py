"""Measure what leaks and balancing are worth: small trainings, three hours in all, resumable.

    python scripts/compare_recipes.py --dataset data/ham10000 --output runs/recipes

Three questions, each answered over several seeds at 64 px:
    leak        the same recipe and test images, with and without the tested lesions' other images
    protocols   the student project's protocol (rows copied, then split by row) and the honest one
    balance     the student project's experiment: original or balanced data for three networks

The third trains small networks from random weights; --network efficientnet --init_weights FILE
answers the first two with our EfficientNet-Lite0 from ImageNet weights (timm's, as safetensors).
What is finished is kept: the same line goes on where it was stopped, and --only and --seeds choose
what is trained. --render alone writes the results so far into --json, --figure and --readme.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_lesion.errors import InputError, one_line_errors

if TYPE_CHECKING:
    from hf_lesion.data.protocols import Protocol
    from hf_lesion.evaluation.predictions import Predictions

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "scripts" / "configs"
NETWORKS = {
    "cnn": "sample_cnn.yaml",
    "resnet": "sample_resnet.yaml",
    "densenet": "sample_densenet.yaml",
}
PRETRAINED = "efficientnet"
CONFIGS_BY_NETWORK = {**NETWORKS, PRETRAINED: "tf_efficientnet_lite0.yaml"}
IMAGE_SIZE = 64
EPOCHS = 8.0
SEEDS = 3
QUESTIONS = ("leak", "protocols", "balance")
DATA = {"original": "none", "balanced": "oversample"}
# Every image once an epoch, in the student project's augmentation.
COMMON = {
    "augmentation": "student",
    "imbalance": "none",
    "label_smoothing": 0.0,
    "ema_decay": 0.0,
}


class Cell(NamedTuple):
    """One training: the question it belongs to, its place there, the network, options and seed."""

    question: str
    arm: str
    network: str
    seed: int
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """The stem of the cell's files."""
        return f"{self.question}-{self.network}-{self.arm}-{self.seed}"


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--dataset", type=Path, metavar="DIR", help="what prepare_data.py wrote")
    add("--output", type=Path, default=Path("runs/recipes"), help="finished cells lie here")
    add("--only", nargs="+", choices=QUESTIONS, default=QUESTIONS, help="default: all")
    add("--network", choices=sorted(CONFIGS_BY_NETWORK), default="resnet", help="of the first two")
    add("--init_weights", type=Path, metavar="FILE", help=f"of --network {PRETRAINED}")
    add("--seeds", type=int, default=SEEDS, metavar="N", help="default: %(default)s")
    add("--epochs", type=float, default=EPOCHS, metavar="N", help="default: %(default)g")
    add("--image_size", type=int, default=IMAGE_SIZE, metavar="PX", help="default: %(default)s")
    add("--max_steps", type=int, default=-1, help="stop each training early, for a quick check")
    add("--render", action="store_true", help="train nothing; write what is finished")
    add("--json", type=Path, default=ROOT / "reports" / "recipes.json", help="the results")
    add("--figure", type=Path, help="default: recipes.png beside the finished cells")
    add("--readme", type=Path, metavar="FILE", help="Markdown with the two markers, to render into")
    arguments = parser.parse_args()
    if arguments.dataset is None and not arguments.render:
        raise InputError("Pass --dataset DIR, or --render to write what is finished.")
    if arguments.seeds < 1:
        raise InputError(f"Expected --seeds of at least 1, got {arguments.seeds}.")
    if arguments.init_weights and arguments.network != PRETRAINED:
        raise InputError(f"--init_weights is of --network {PRETRAINED}, got {arguments.network}.")
    return arguments


def plan_cells(arguments: argparse.Namespace) -> Iterator[Cell]:
    """Return the trainings, a whole seed of every question first."""
    for seed in range(arguments.seeds):
        for question in arguments.only:
            networks = NETWORKS if question == "balance" else (arguments.network,)
            arms = {"leak": ("without", "with"), "protocols": ("honest", "copied")}
            for network in networks:
                for arm in arms.get(question, tuple(DATA)):
                    options = {
                        "config": CONFIGS / CONFIGS_BY_NETWORK[network],
                        **COMMON,
                        "image_size": arguments.image_size,
                        "num_train_epochs": arguments.epochs,
                        "max_steps": arguments.max_steps,
                        "seed": seed,
                    }
                    if question == "balance":
                        options["imbalance"] = DATA[arm]
                    elif arguments.init_weights:
                        options["init_weights"] = arguments.init_weights
                    if question == "protocols":
                        # Each row is there three times.
                        options["num_train_epochs"] = arguments.epochs / 2
                    yield Cell(question, arm, network, seed, options)


def train_missing(arguments: argparse.Namespace) -> None:
    """Train every cell whose record is not there yet, with a bar over the cells."""
    from tqdm import tqdm

    from hf_lesion.data import protocols
    from hf_lesion.data.record import read_record
    from hf_lesion.verbosity import quiet_libraries

    quiet_libraries()
    prepared = read_record(arguments.dataset)
    rows, frame = protocols.pool_splits(arguments.dataset)
    clean, leaky = protocols.paired_leak(frame)
    copied, honest = protocols.copied_rows(frame)
    single = protocols.honest_single(frame)
    by_arm = {"without": clean, "with": leaky, "copied": copied, "honest": honest}
    for cell in tqdm(list(plan_cells(arguments)), desc="Cells", unit="cell", disable=None):
        protocol = by_arm.get(cell.arm, single)
        what = {
            "dataset": prepared["fingerprint"],
            "description": prepared.get("description"),
            "options": {
                key: value.name if isinstance(value, Path) else value
                for key, value in cell.options.items()
            },
            "share_seen": protocols.share_seen(frame, protocol),
            "train_images": len(protocol.train),
        }
        if not is_finished(arguments.output, cell, what):
            run_cell(arguments.output, cell, what, protocol, (rows, frame))


def is_finished(output: Path, cell: Cell, what: dict[str, Any]) -> bool:
    """Tell whether a cell was trained; raise InputError if it was, but otherwise."""
    file = output / f"{cell.name}.json"
    if not file.is_file():
        return False
    before = json.loads(file.read_text(encoding="utf-8"))
    # Records of earlier versions have no description.
    if any(before.get(key, what[key]) != what[key] for key in what):
        raise InputError(
            f"{file} is of other data or settings. Pass another --output, or remove that folder."
        )
    return True


def run_cell(
    output: Path, cell: Cell, what: dict[str, Any], protocol: "Protocol", table: tuple[Any, Any]
) -> None:
    """Train one cell; write its answers and, last, the record that says it is finished."""
    from hf_lesion.evaluation.predictions import Predictions, write_predictions
    from hf_lesion.files import write_json
    from hf_lesion.provenance import provenance
    from hf_lesion.training.cells import train_cell

    rows, frame = table
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cell-") as scratch:
        answers = train_cell(rows, protocol, cell.options, scratch=Path(scratch))
    tested = frame.iloc[protocol.test]
    predictions = Predictions(
        image_ids=tuple(tested["image_id"]),
        references=tested["label"].to_numpy(),
        probabilities=answers.probabilities,
        lesion_ids=tuple(tested["lesion_id"]),
    )
    write_predictions(output / f"{cell.name}.csv", predictions)
    hours = (time.monotonic() - start) / 3600
    record = {**what, "steps": answers.steps, "hours": hours, "provenance": provenance()}
    write_json(output / f"{cell.name}.json", record)


def read_finished(output: Path) -> dict[str, tuple["Predictions", dict[str, Any]]]:
    """Return the answers and the record of each finished cell, by its name."""
    from hf_lesion.evaluation.predictions import parse_predictions

    found = {}
    for file in sorted(output.glob("*-*-*-*.json")):
        with file.with_suffix(".csv").open(encoding="utf-8") as stream:
            found[file.stem] = parse_predictions(stream), json.loads(file.read_text("utf-8"))
    if not found:
        raise InputError(f"No cell in {output} is finished. Pass --dataset and leave out --render.")
    return found


@one_line_errors
def main() -> None:
    """Train what is missing, put the results together, write them down."""
    arguments = parse_arguments()
    from hf_lesion.canvas import write_figure
    from hf_lesion.evaluation import recipes
    from hf_lesion.evaluation.recipes_figures import draw_results
    from hf_lesion.files import write_json, write_text

    if arguments.readme:
        # Before hours of training, not after.
        text = arguments.readme.read_text(encoding="utf-8")
        recipes.put_between_markers(text, "", source=str(arguments.readme))
    if not arguments.render:
        train_missing(arguments)
    results = recipes.build_results(read_finished(arguments.output), seeds_wanted=arguments.seeds)
    write_json(arguments.json, results)
    results = json.loads(arguments.json.read_text(encoding="utf-8"))
    figure = arguments.figure or arguments.output / "recipes.png"
    write_figure(draw_results(results), figure)
    block = recipes.render_section(results)
    if arguments.readme:
        text = arguments.readme.read_text(encoding="utf-8")
        new = recipes.put_between_markers(text, block, source=str(arguments.readme))
        write_text(arguments.readme, new)
    print(f"{block}\n\nWritten: {arguments.json}, {figure}")


if __name__ == "__main__":
    main()
