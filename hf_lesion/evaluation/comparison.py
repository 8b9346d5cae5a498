"""Paired comparison of models or training runs that were scored on the same images."""

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_lesion.errors import InputError
from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.bootstrap import paired_differences
from hf_lesion.evaluation.predictions import Predictions, parse_predictions, read_predictions
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.report.record import REPORT, format_metric, read_report
from hf_lesion.io import markdown
from hf_lesion.io.checksums import TRAINING, list_models
from hf_lesion.io.files import read_json, read_json_if_there, write_json
from hf_lesion.io.numbers import format_difference

if TYPE_CHECKING:
    from hf_lesion.evaluation.scoring import EvaluationSet

RECORD = "comparison.json"
PREDICTIONS = "predictions_{split}.csv"
SPLIT = "validation"
BLOCK = "tried"  # of scripts/configs/README.md
# Only settings that affect what is learned.
TRAINER_SETTINGS = (
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
)
# balance_copies is in records of earlier versions only.
NOT_A_SETTING = ("checkpoint_minutes", "init_weights", "balance_copies")
AGAIN = "Train the model again."
HEADER = (
    "run",
    "changed",
    "balanced accuracy",
    "difference",
    "macro AUROC",
    "difference",
    "seed",
    "hours",
)


def find_models(models: Path) -> list[Path]:
    """Return the model folders directly inside a folder; at least two, or it is an InputError."""
    found = list_models(models)
    if len(found) < 2:
        raise InputError(f"{models} holds {len(found)} models; a comparison needs two or more.")
    return found


def read_answers(
    folders: list[Path], images: "EvaluationSet | Predictions", split: str
) -> dict[str, Predictions]:
    """Return the predictions of each model for these images, by folder name.

    Raises:
        InputError: If a model was not scored on them, or its weights have changed since.
    """
    found = {}
    for folder in folders:
        scored = read_report(folder / REPORT) if (folder / REPORT).is_file() else {}
        if scored.get(split, {}).get("model", {}).get("weights_sha256") != weights_sha256(folder):
            raise InputError(
                f"{folder} was not scored on {split}, or has other weights now. Run "
                f"scripts/score.py --model {folder} --split {split}."
            )
        found[folder.name] = read_predictions(folder / PREDICTIONS.format(split=split), images)
    return found


def compare_pairs(models: Mapping[str, Predictions]) -> list[dict[str, Any]]:
    """Return paired differences between each model and the next, in order of balanced accuracy.

    Each has `first`, `second` and `differences` (first minus second, of `paired_differences`).
    """

    def balanced_accuracy(item: tuple[str, Predictions]) -> float:
        confusion = metrics.confusion_matrix(item[1].probabilities, item[1].references)
        return float(metrics.balanced_accuracy(confusion))

    ranked = sorted(models.items(), key=balanced_accuracy, reverse=True)
    return [
        {
            "first": first,
            "second": second,
            "differences": paired_differences(
                worse.probabilities, better.probabilities, worse.references, worse.lesion_ids
            ),
        }
        for (first, better), (second, worse) in itertools.pairwise(ranked)
    ]


def write_comparison(models: Path, split: str, found: dict[str, Any]) -> Path:
    """Write a split's record into `comparison.json` next to the model folders; return its path."""
    file = models / RECORD
    write_json(file, {**read_comparison(models), split: found})
    return file


def read_comparison(models: Path) -> dict[str, Any]:
    """Return the records in `comparison.json` next to the model folders; empty without one."""
    return read_json_if_there(models / RECORD, fix="Delete it and compare again.")


def compare_runs(reference: Path, runs: Sequence[Path]) -> dict[str, Any]:
    """Return the settings that each run changed against a reference run, and its scores.

    The runs are of the same network on the same images, and were scored on validation, alike.

    Raises:
        InputError: If a folder is not a scored run, or runs were scored on other images.
    """
    first, before = _read_run(reference)
    records = [{**first, "changed": {}}]
    for folder in runs:
        if folder.resolve() == reference.resolve():
            continue
        run, after = _read_run(folder)
        if before.image_ids != after.image_ids or (before.references != after.references).any():
            raise InputError(
                f"{folder} was scored on {len(after.image_ids):,} images that are not the "
                f"{len(before.image_ids):,} of {first['name']}: score both on the same split."
            )
        old, new = first["settings"], run["settings"]
        changed = {k: new.get(k) for k in sorted({*old, *new}) if new.get(k) != old.get(k)}
        differences = paired_differences(
            before.probabilities, after.probabilities, before.references, before.lesion_ids
        )
        records.append({**run, "changed": changed, "differences": differences})
    report, training = read_report(reference)[SPLIT], read_json(reference / TRAINING, fix=AGAIN)
    return {
        "network": first["settings"]["model"],
        "image_size": report["preprocessing"]["height"],
        "epochs": training["epochs"],
        "images": report["images"],
        "reference": reference.name,
        "settings": first["settings"],
        "runs": [{k: v for k, v in run.items() if k != "settings"} for run in records],
    }


def render_comparisons(comparisons: Sequence[dict[str, Any]]) -> str:
    """Return one table a comparison as Markdown, the best run first."""
    return "\n\n".join(map(_render, comparisons))


def _read_run(folder: Path) -> tuple[dict[str, Any], Predictions]:
    """Return what is compared of a run, with its settings, and its predictions."""
    file, table = folder / TRAINING, folder / PREDICTIONS.format(split=SPLIT)
    for needed in (file, table):
        if not needed.is_file():
            raise InputError(
                f"{needed} not found. Train with scripts/train.py, then run scripts/score.py "
                f"--model {folder} --split {SPLIT} --dataset DIR."
            )
    training, report = read_json(file, fix=AGAIN), read_report(folder)[SPLIT]
    trainer = {key: training["trainer"].get(key) for key in TRAINER_SETTINGS}
    settings = {**training["model"], **training["recipe"], **trainer}
    known = {k: v for k, v in settings.items() if v is not None and k not in NOT_A_SETTING}
    run = {
        "name": folder.name,
        "settings": {**known, "views": report["preprocessing"].get("views", 1)},
        "seed": training["seed"],
        "hours": training["hours_of_last_leg"],
        "metrics": report["metrics"],
        "intervals": report["intervals"],
    }
    return run, parse_predictions(io.StringIO(table.read_text(encoding="utf-8")))


def _render(comparison: dict[str, Any]) -> str:
    runs = sorted(comparison["runs"], key=lambda run: -run["metrics"]["balanced_accuracy"])
    rows = markdown.table_lines(HEADER, map(_cells, runs))
    settings = comparison["settings"]
    shown = ", ".join(
        f"{key} {settings[key]}"
        for key in ("dataset", "augmentation", "imbalance", "learning_rate")
        if key in settings
    )
    sentence = (
        f"`{comparison['network']}`, {comparison['image_size']} px, {comparison['epochs']:g} "
        f"epochs; reference `{comparison['reference']}`: {shown}. Measured on {SPLIT} "
        f"({comparison['images']:,} images); differences are paired, in brackets 95% intervals by "
        "bootstrap over lesions: they reflect the sampling of images, not of seeds."
    )
    return "\n".join([sentence, "", *rows])


def _cells(run: dict[str, Any]) -> list[str]:
    changed = ", ".join(f"{key} {value}" for key, value in run["changed"].items())
    scores = []
    for name in ("balanced_accuracy", "macro_auroc"):
        found = run.get("differences", {}).get(name)
        scores += [format_metric(run, name), "–" if found is None else format_difference(found)]
    return [f"`{run['name']}`", changed or "–", *scores, str(run["seed"]), f"{run['hours']:.2f}"]
