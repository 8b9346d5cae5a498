"""Ensembles: the mean of several models' probabilities."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hf_lesion.errors import InputError
from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.bootstrap import RESAMPLES, paired_differences
from hf_lesion.evaluation.predictions import Labelled, Predictions, read_predictions
from hf_lesion.evaluation.report.build import build_record, weights_sha256
from hf_lesion.evaluation.report.record import REPORT, read_report
from hf_lesion.io.checksums import list_models
from hf_lesion.io.files import read_json_if_there, write_json

RECORD = "ensemble.json"
NAME = "ensemble"
# Of a model's whole record: what the page and the tables show of an ensemble.
KEPT = ("images", "lesions", "class_counts", "metrics", "intervals", "data", "provenance")


def find_members(models: Path) -> list[Path]:
    """Return the model folders right inside a folder.

    Raises:
        InputError: If there are fewer than two.
    """
    found = list_models(models)
    if len(found) < 2:
        raise InputError(f"{models} holds {len(found)} models; an ensemble needs two or more.")
    return found


def read_members(members: list[Path], images: Labelled, split: str) -> dict[str, Predictions]:
    """Return the predictions of each member for these images, by folder name.

    Raises:
        InputError: If one was not scored on them, or has other weights now.
    """
    found = {}
    for folder in members:
        scored = read_report(folder / REPORT) if (folder / REPORT).is_file() else {}
        if scored.get(split, {}).get("model", {}).get("weights_sha256") != weights_sha256(folder):
            raise InputError(
                f"{folder} was not scored on {split}, or has other weights now. Run "
                f"scripts/score.py --model {folder} --split {split}."
            )
        found[folder.name] = read_predictions(folder / f"predictions_{split}.csv", images)
    return found


def average(members: Mapping[str, Predictions]) -> Predictions:
    """Return the mean of the members' probabilities, as `space/ensemble.py` computes it."""
    first = next(iter(members.values()))
    mean = np.mean([member.probabilities for member in members.values()], axis=0)
    return Predictions(first.image_ids, first.references, mean, first.lesion_ids)


def describe(
    mean: Predictions, *, data: dict[str, Any], weights: Mapping[str, str]
) -> dict[str, Any]:
    """Return the record of an ensemble on one split.

    Args:
        mean: Its answers.
        data: As for `record.build_record`.
        weights: Member → SHA-256 of its weights.
    """
    model = {"name": NAME, "members": dict(weights)}
    whole = build_record(mean, data=data, model=model, size=(0, 0))
    return {"members": dict(weights), **{key: whole[key] for key in KEPT}}


def compare_pairs(
    members: Mapping[str, Predictions], mean: Predictions, *, resamples: int = RESAMPLES
) -> list[dict[str, Any]]:
    """Return paired differences: each model minus the next, and the ensemble minus the best.

    Args:
        members: Model → its answers, all to the same images.
        mean: As from `average`.
        resamples: How often the bootstrap draws.

    Returns:
        `first`, `second` and `differences` (first minus second, as from `paired_differences`) of
        neighbours in the order of balanced accuracy.
    """
    ranked = sorted(members.items(), key=lambda item: -_balanced_accuracy(item[1]))
    order = [(NAME, mean), *ranked]
    found = []
    for (first, better), (second, worse) in itertools.pairwise(order):
        differences = paired_differences(
            worse.probabilities,
            better.probabilities,
            better.references,
            better.lesion_ids,
            resamples=resamples,
        )
        found.append({"first": first, "second": second, "differences": differences})
    return found


def write_ensemble(models: Path, split: str, found: dict[str, Any]) -> Path:
    """Write a split's record into `ensemble.json` next to the model folders; return its path."""
    file = models / RECORD
    write_json(file, {**read_ensemble(models), split: found})
    return file


def _balanced_accuracy(answers: Predictions) -> float:
    predicted = metrics.predicted_classes(answers.probabilities, answers.references)
    return float(metrics.balanced_accuracy(metrics.confusion_matrix(answers.references, predicted)))


def read_ensemble(models: Path) -> dict[str, Any]:
    """Return the records in `ensemble.json` next to the model folders; empty without one.

    Raises:
        InputError: If it can't be read.
    """
    return read_json_if_there(models / RECORD, fix="Delete it and score again.")
