"""Paired comparison of models that were scored on the same images."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_lesion.errors import InputError
from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.bootstrap import RESAMPLES, paired_differences
from hf_lesion.evaluation.predictions import Labelled, Predictions, read_predictions
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.report.record import REPORT, read_report
from hf_lesion.io.checksums import list_models
from hf_lesion.io.files import read_json_if_there, write_json

RECORD = "comparison.json"


def find_models(models: Path) -> list[Path]:
    """Return the model folders directly inside a folder.

    Raises:
        InputError: If there are fewer than two.
    """
    found = list_models(models)
    if len(found) < 2:
        raise InputError(f"{models} holds {len(found)} models; a comparison needs two or more.")
    return found


def read_answers(folders: list[Path], images: Labelled, split: str) -> dict[str, Predictions]:
    """Return the predictions of each model for these images, by folder name.

    Raises:
        InputError: If a model was not scored on them, or has other weights now.
    """
    found = {}
    for folder in folders:
        scored = read_report(folder / REPORT) if (folder / REPORT).is_file() else {}
        if scored.get(split, {}).get("model", {}).get("weights_sha256") != weights_sha256(folder):
            raise InputError(
                f"{folder} was not scored on {split}, or has other weights now. Run "
                f"scripts/score.py --model {folder} --split {split}."
            )
        found[folder.name] = read_predictions(folder / f"predictions_{split}.csv", images)
    return found


def compare_pairs(
    models: Mapping[str, Predictions], *, resamples: int = RESAMPLES
) -> list[dict[str, Any]]:
    """Return paired differences between each model and the next, in order of balanced accuracy.

    Args:
        models: Name to predictions, all for the same images.
        resamples: Number of bootstrap resamples.

    Returns:
        `first`, `second` and `differences` (first minus second, as from `paired_differences`).
    """
    ranked = sorted(models.items(), key=lambda item: -_balanced_accuracy(item[1]))
    found = []
    for (first, better), (second, worse) in itertools.pairwise(ranked):
        differences = paired_differences(
            worse.probabilities,
            better.probabilities,
            better.references,
            better.lesion_ids,
            resamples=resamples,
        )
        found.append({"first": first, "second": second, "differences": differences})
    return found


def write_comparison(models: Path, split: str, found: dict[str, Any]) -> Path:
    """Write a split's record into `comparison.json` next to the model folders; return its path."""
    file = models / RECORD
    write_json(file, {**read_comparison(models), split: found})
    return file


def read_comparison(models: Path) -> dict[str, Any]:
    """Return the records in `comparison.json` next to the model folders; empty without one.

    Raises:
        InputError: If it cannot be read.
    """
    return read_json_if_there(models / RECORD, fix="Delete it and compare again.")


def _balanced_accuracy(answers: Predictions) -> float:
    predicted = metrics.predicted_classes(answers.probabilities, answers.references)
    return float(metrics.balanced_accuracy(metrics.confusion_matrix(answers.references, predicted)))
