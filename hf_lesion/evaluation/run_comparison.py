"""Comparison of training runs: their differing settings and validation scores."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_lesion.errors import InputError
from hf_lesion.evaluation.bootstrap import RESAMPLES, paired_differences
from hf_lesion.evaluation.predictions import Predictions, parse_predictions
from hf_lesion.evaluation.report.record import format_metric, read_report
from hf_lesion.io import markdown
from hf_lesion.io.checksums import TRAINING
from hf_lesion.io.files import read_json
from hf_lesion.io.numbers import format_difference

PREDICTIONS = "predictions_{split}.csv"
SPLIT = "validation"
BLOCK = "tried"  # of scripts/configs/README.md
# Where a run lies and how it was watched changes nothing of what it learns.
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
# The last is of earlier versions, in whose records it stands.
NOT_A_SETTING = ("checkpoint_minutes", "init_weights", "balance_copies")
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


def compare_runs(
    reference: Path, runs: Sequence[Path], *, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Return the settings that each run changed against a reference run, and its scores.

    Args:
        reference: Folder of a run that was scored on validation.
        runs: Folders of runs of the same network on the same images, scored alike.
        resamples: How often the bootstrap draws.

    Returns:
        `network`, `image_size`, `epochs`, `images` (validation), `reference` and `runs`, one record
        a run: `name`, `changed`, `seed`, `hours`, `metrics`, `intervals` and, but for the
        reference, `differences` as from `paired_differences`.

    Raises:
        InputError: If a folder is not a scored run, or runs were scored on other images.
    """
    first = _read_run(reference)
    settings = first["settings"]
    records = [_describe(first, {})]
    for folder in runs:
        if folder.resolve() == reference.resolve():
            continue
        run = _read_run(folder)
        changed = {
            key: run["settings"].get(key)
            for key in sorted(set(run["settings"]) | set(settings))
            if run["settings"].get(key) != settings.get(key)
        }
        differences = _differ(first, run, folder, resamples)
        records.append(_describe(run, changed) | {"differences": differences})
    return {
        "network": settings["model"],
        "image_size": first["report"]["preprocessing"]["height"],
        "epochs": first["training"]["epochs"],
        "images": first["report"]["images"],
        "reference": reference.name,
        "settings": settings,
        "runs": records,
    }


def render_comparisons(comparisons: Sequence[dict[str, Any]]) -> str:
    """Return one table a comparison as Markdown, the best run first."""
    return "\n\n".join(_render(comparison) for comparison in comparisons)


def _read_run(folder: Path) -> dict[str, Any]:
    file, table = folder / TRAINING, folder / PREDICTIONS.format(split=SPLIT)
    for needed in (file, table):
        if not needed.is_file():
            raise InputError(
                f"There is no {needed}. Train with scripts/train.py, then run scripts/score.py "
                f"--model {folder} --split {SPLIT} --dataset DIR."
            )
    training = read_json(file, fix="Train the model again.")
    report = read_report(folder)[SPLIT]
    return {
        "name": folder.name,
        "training": training,
        "settings": {**_settings(training), "views": report["preprocessing"].get("views", 1)},
        "report": report,
        "predictions": parse_predictions(io.StringIO(table.read_text(encoding="utf-8"))),
    }


def _settings(training: dict[str, Any]) -> dict[str, Any]:
    chosen = {key: training["trainer"].get(key) for key in TRAINER_SETTINGS}
    settings = {**training["model"], **training["recipe"], **chosen}
    return {
        key: value
        for key, value in settings.items()
        if value is not None and key not in NOT_A_SETTING
    }


def _differ(
    first: dict[str, Any], run: dict[str, Any], folder: Path, resamples: int
) -> dict[str, tuple[float, float, float]]:
    before: Predictions = first["predictions"]
    after: Predictions = run["predictions"]
    if before.image_ids != after.image_ids or (before.references != after.references).any():
        raise InputError(
            f"{folder} was scored on {len(after.image_ids):,} images that are not the "
            f"{len(before.image_ids):,} of {first['name']}: score both on the same split."
        )
    return paired_differences(
        before.probabilities,
        after.probabilities,
        np.asarray(before.references),
        before.lesion_ids,
        resamples=resamples,
    )


def _describe(run: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    report, training = run["report"], run["training"]
    return {
        "name": run["name"],
        "changed": changed,
        "seed": training["seed"],
        "hours": training["hours_of_last_leg"],
        "metrics": report["metrics"],
        "intervals": report["intervals"],
    }


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
        "bootstrap over lesions: they tell how far the choice of images may mislead, not how far "
        "another seed would."
    )
    return "\n".join([sentence, "", *rows])


def _cells(run: dict[str, Any]) -> list[str]:
    changed = ", ".join(f"{key} {value}" for key, value in run["changed"].items())
    scores = []
    for name in ("balanced_accuracy", "macro_auroc"):
        found = run.get("differences", {}).get(name)
        scores += [format_metric(run, name), "–" if found is None else format_difference(found)]
    return [f"`{run['name']}`", changed or "–", *scores, str(run["seed"]), f"{run['hours']:.2f}"]
