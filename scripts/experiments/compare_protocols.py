"""Compare evaluation protocols: effect of lesion leakage and class balancing on the scores.

    python scripts/experiments/compare_protocols.py --dataset data/ham10000 --output runs/protocols

leak       the same test images, without and with other images of their lesions in train
protocols  lesions with a single image, three copies of each row: split by lesion before copying,
           or split by row after copying, as in the student project
balance    the student project's experiment: original or balanced data for three networks

Small networks are trained from random weights. `--network efficientnet --init_weights FILE` starts
those of `leak` and `protocols` from timm's ImageNet weights (safetensors). Finished runs are kept
in --output; run the same command to resume. Without --dataset, only the record is rendered:

    python scripts/experiments/compare_protocols.py --json reports/recipes.json \
        --markdown docs/evaluation.md
"""

import argparse
import itertools
import math
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict, concatenate_datasets
from tqdm import tqdm

from hf_lesion import cli
from hf_lesion.classifier import LesionClassifier
from hf_lesion.data import leakage, record
from hf_lesion.data.reader import open_splits
from hf_lesion.data.splits import SPLITS, choose_subset
from hf_lesion.errors import InputError, StoppedError, one_line_errors
from hf_lesion.evaluation import bootstrap, metrics
from hf_lesion.evaluation.predictions import Predictions, parse_predictions, write_predictions
from hf_lesion.io.files import read_json, write_json, write_text
from hf_lesion.io.markdown import fill_blocks
from hf_lesion.training.arguments import parse_settings
from hf_lesion.training.run import train

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = {"cnn": "sample_cnn", "resnet": "sample_resnet", "densenet": "sample_densenet"}
CONFIGS = {**NETWORKS, "efficientnet": "tf_efficientnet_lite0"}
ARMS = {
    "leak": ("without", "with"),
    "protocols": ("honest", "copied"),
    "balance": ("original", "balanced"),
}
MEASURES = ("accuracy", "balanced_accuracy")
COLUMNS = ["image_id", "lesion_id", "label"]
BLOCK = "protocols"
read_record = partial(read_json, fix="Remove it and run the same line again.")
# The tested images are not evaluated before the end, and nothing is saved on the way.
UNSAVED = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
SETTINGS = {"augmentation": "student", "label_smoothing": 0.0, "ema_decay": 0.0, **UNSAVED}


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    count, parser = cli.at_least(1), cli.build_parser(__doc__)
    cli.add_shared(parser, "dataset")
    cli.add_shared(parser, "output", default=Path("runs/protocols"), help="folder of finished runs")
    add = parser.add_argument
    add("--only", nargs="+", choices=ARMS, default=[*ARMS], help="experiments (default: all)")
    help_text = "network of leak and protocols (default: resnet)"
    add("--network", choices=CONFIGS, default="resnet", help=help_text)
    add("--init_weights", type=Path, metavar="FILE", help="ImageNet weights for --network")
    add("--seeds", type=count, default=3, help="runs with different seeds (default: %(default)s)")
    add("--epochs", type=float, default=8.0, help="training epochs (default: %(default)g)")
    add("--image_size", type=count, default=64, help="input size in pixels (default: %(default)s)")
    add("--max_steps", type=int, default=-1, help="training steps per run, for a quick check")
    add("--json", type=Path, metavar="FILE", help="record (default: recipes.json in --output)")
    add("--markdown", type=Path, metavar="FILE", help="file with a block `protocols` to fill")
    return parser.parse_args()


def build_protocols(frame: pd.DataFrame, *, seed: int = 0) -> dict[str, tuple[Any, Any]]:
    """Return the row numbers of train and test for each arm.

    The test images of `leak` are one image from each of half of the lesions with several images. In
    the arm `with`, the other images of these lesions replace as many training images of the same
    class.

    Args:
        frame: `image_id`, `lesion_id`, `label` and `split` of all images, numbered from 0.
        seed: Seed of all random choices.
    """
    single = choose_subset(frame, "single-image")
    is_test = single["split"] == leakage.TEST
    prepared = single.index[~is_test], single.index[is_test]
    found: dict[str, tuple[Any, Any]] = dict.fromkeys(ARMS["balance"], prepared)
    rng = np.random.default_rng(seed)
    lesions = frame[frame["lesion_id"].duplicated(keep=False)].drop_duplicates("lesion_id")
    tested = lesions.groupby("label")["lesion_id"].sample(frac=0.5, random_state=rng)
    of_tested = frame[frame["lesion_id"].isin(tested)]
    test = of_tested.groupby("lesion_id").sample(1, random_state=rng).index
    siblings, others = of_tested.drop(test), frame.drop(of_tested.index)
    leaving, entering = [], []
    for label, part in others.groupby("label"):
        own = siblings[siblings["label"] == label]
        leaving.append(part.sample(min(len(part), len(own)), random_state=rng))
        entering.append(own.head(len(part)))
    kept = others.drop(pd.concat(leaving).index)
    found["without"] = others.index, test
    found["with"] = pd.concat([kept, *entering]).index.sort_values(), test
    copied = leakage.split_copied_rows(frame.assign(row=frame.index), seed=seed)
    split = leakage.split_by_image(single.assign(row=single.index), seed=seed)
    for arm, part, copies in (("copied", copied, 1), ("honest", split, leakage.COPIES)):
        is_test = part["split"] == leakage.TEST
        found[arm] = np.tile(part.loc[~is_test, "row"], copies), part.loc[is_test, "row"]
    return {arm: (np.asarray(rows), np.asarray(test)) for arm, (rows, test) in found.items()}


def train_missing(arguments: argparse.Namespace) -> None:
    """Train all cells that are not finished, one seed after another."""
    splits = open_splits(arguments.dataset)
    images = concatenate_datasets([splits[n].select_columns(["image", *COLUMNS]) for n in SPLITS])
    frame = images.select_columns(COLUMNS).to_pandas()
    frame["split"] = [name for name in SPLITS for _ in range(len(splits[name]))]
    protocols = build_protocols(frame)
    cells = [
        (question, network, arm, seed)
        for seed, question in itertools.product(range(arguments.seeds), arguments.only)
        for network in (NETWORKS if question == "balance" else [arguments.network])
        for arm in ARMS[question]
    ]
    for question, network, arm, seed in tqdm(cells, desc="Trainings", disable=None):
        rows, test = protocols[arm]
        options = {
            "config": ROOT / "scripts" / "configs" / f"{CONFIGS[network]}.yaml",
            "dataset": arguments.dataset,
            "init_weights": None if question == "balance" else arguments.init_weights,
            "imbalance": "oversample" if arm == "balanced" else "none",
            "image_size": arguments.image_size,
            # Half as many epochs where rows are copied three times.
            "num_train_epochs": arguments.epochs / (2 if question == "protocols" else 1),
            "max_steps": arguments.max_steps,
            "seed": seed,
        }
        seen = frame["lesion_id"][test].isin(set(frame["lesion_id"][rows])).mean()
        file = arguments.output / f"{question}-{network}-{arm}-{seed}.json"
        named = {key: v.name if isinstance(v, Path) else v for key, v in options.items()}
        prepared = record.read_record(arguments.dataset)
        data = {"dataset": prepared["fingerprint"], "train_images": len(rows)}
        data["description"] = prepared.get("description")
        about = {"options": named, "share_seen": float(seen), **data}
        if not file.is_file():
            train_cell(file, options, about, images.select(rows), images.select(test))
        elif not about.items() <= read_record(file).items():
            raise InputError(f"{file} has other data or settings. Pass another --output.")


def train_cell(
    file: Path, options: dict[str, Any], about: dict[str, Any], rows: Dataset, test: Dataset
) -> None:
    """Train, then write the predictions and the record, which marks the cell as finished."""
    with tempfile.TemporaryDirectory() as scratch:
        own = {"output_dir": scratch, "checkpoint_minutes": math.inf}
        settings = parse_settings({**options, **SETTINGS, **own})
        try:
            run = train(*settings, splits=DatasetDict(train=rows, validation=test)).record
        except StoppedError as stop:
            raise StoppedError("Stopped. To resume, run the same command.", stop.code) from stop
        classifier = LesionClassifier.from_pretrained(scratch)
        answers = [classifier.predict(batch["image"]) for batch in test.iter(64)]
    names, lesions, labels = (test[column] for column in COLUMNS)
    probabilities = np.concatenate(answers).astype(np.float64)
    found = Predictions(tuple(names), np.asarray(labels), probabilities, tuple(lesions))
    write_predictions(file.with_suffix(".csv"), found)
    more = {"hours": run["hours_of_last_leg"], "steps": run["steps"]}
    write_json(file, {**about, **more, "provenance": run["provenance"]})


def score(runs: Sequence[Predictions], minus: Sequence[Predictions] = ()) -> dict[str, Any]:
    """Return accuracy and balanced accuracy over the seeds, or their difference from `minus`.

    All runs have the same test images. Each score has its `mean` over the seeds, the values of the
    single `seeds`, and the `interval` of the mean by bootstrap over lesions.
    """
    every = (*runs, *minus)
    if any(run.image_ids != runs[0].image_ids for run in every):
        raise InputError("Runs of one protocol have different test images. Pass another --output.")
    scores = [metrics.check_scores(run.probabilities, run.references) for run in every]

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return the mean of each measure over the seeds, and the value of each seed."""
        found = [metrics.weighted_metrics(*one, weights, names=MEASURES) for one in scores]
        values = {
            name: np.stack([one[name] for one in found[: len(runs)]])
            - (np.stack([one[name] for one in found[len(runs) :]]) if minus else 0.0)
            for name in MEASURES
        }
        of_seeds = {
            f"{name} {seed}": own for name in MEASURES for seed, own in enumerate(values[name])
        }
        return {**{name: values[name].mean(axis=0) for name in MEASURES}, **of_seeds}

    found = bootstrap.bootstrap(measure, len(runs[0].references), runs[0].lesion_ids)
    return {
        name: {
            "mean": found[name].value,
            "seeds": [found[f"{name} {seed}"].value for seed in range(len(runs))],
            "interval": [found[name].low, found[name].high],
        }
        for name in MEASURES
    }


def read_answers(file: Path) -> Predictions:
    """Read the predictions of a cell."""
    with file.open(encoding="utf-8") as stream:
        return parse_predictions(stream)


def build_results(folder: Path) -> dict[str, Any]:
    """Build the record of all cells from the finished runs of a folder."""
    cells: dict[str, Any] = {}
    runs, hours, data, images = {}, 0.0, None, None
    for name in (f"{q}-{network}-{arm}" for q in ARMS for network in CONFIGS for arm in ARMS[q]):
        files = sorted(folder.glob(f"{name}-*.json"))
        if not files:
            continue
        records = [read_record(file) for file in files]
        hours, data = hours + sum(one["hours"] for one in records), records[0]["dataset"]
        images = records[0]["description"]
        runs[name] = [read_answers(file.with_suffix(".csv")) for file in files]
        about = {key: records[0][key] for key in ("options", "share_seen", "train_images")}
        cells[name] = {"images": len(runs[name][0].image_ids), **score(runs[name]), **about}
        if without := runs.get(f"{name}out"):  # of `with`
            pairs = zip(runs[name], without, strict=False)
            cells[name]["difference"] = score(*zip(*pairs, strict=True))
    method = {"level": bootstrap.LEVEL, "resamples": bootstrap.RESAMPLES, "hours": hours}
    about = {"dataset": data, "description": images}
    return {"schema_version": 2, "cells": cells, "method": method, **about}


def render(results: dict[str, Any]) -> str:
    """Return a record as Markdown, rendered with the template next to this script."""
    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=folder, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("protocols.md.jinja").render(results).strip()


@one_line_errors
def main() -> None:
    """Train missing runs, and write and render the record."""
    arguments = parse_arguments()
    text = arguments.markdown.read_text(encoding="utf-8") if arguments.markdown else ""
    if arguments.markdown:  # before hours of training, not after
        fill_blocks(text, {BLOCK: ""}, source=str(arguments.markdown))
    record = arguments.json or arguments.output / "recipes.json"
    if arguments.dataset is not None:
        train_missing(arguments)
        write_json(record, build_results(arguments.output))
    block = render(read_record(record))
    if arguments.markdown:
        filled = fill_blocks(text, {BLOCK: block}, source=str(arguments.markdown))
        write_text(arguments.markdown, filled)
    print(f"{block}\n\nRecord: {record}")


if __name__ == "__main__":
    main()
