"""One model on one evaluation set, as the record that `report.json` keeps."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_lesion.evaluation import intervals, metrics
from hf_lesion.evaluation.predictions import Predictions, take
from hf_lesion.evaluation.report import SCHEMA_VERSION
from hf_lesion.labels import CODES
from hf_lesion.provenance import provenance

WEIGHTS = "model.safetensors"
SEED = 0


Groups = Mapping[str, Sequence[str | None]]


def build_record(
    predictions: Predictions,
    *,
    data: dict[str, Any],
    model: dict[str, Any],
    size: tuple[int, int],
    groups: Groups | None = None,
    views: int = 1,
) -> dict[str, Any]:
    """Return everything that is known about one model on one evaluation set.

    Args:
        predictions: The model's answers beside the truth.
        data: Where the images come from: source, split, fingerprint.
        model: Which weights: name, weights_sha256.
        size: Height and width in pixels to which preprocessing brings an image.
        views: How many views of each image were averaged.
        groups: Columns of N values each; every value's images are also measured by themselves.

    Returns:
        What `report.ENTRIES` lists, and schema_version; an undefined metric is NaN.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "classes": list(CODES),
        **_measure(predictions),
        "subgroups": _measure_groups(predictions, groups or {}),
        "data": data,
        "model": model,
        "preprocessing": {"height": size[0], "width": size[1], "views": views},
        "provenance": provenance(),
    }


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of a model folder's weights in hexadecimal."""
    with (folder / WEIGHTS).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _measure(predictions: Predictions) -> dict[str, Any]:
    confusion = metrics.confusion_matrix(
        predictions.references,
        metrics.predicted_classes(predictions.probabilities, predictions.references),
    )
    lesions = predictions.lesion_ids
    return {
        "images": len(predictions.image_ids),
        "lesions": None if lesions is None else len(set(lesions)),
        "class_counts": dict(zip(CODES, confusion.sum(axis=1).tolist(), strict=True)),
        "metrics": metrics.LesionMetrics().compute(
            predictions=predictions.probabilities, references=predictions.references
        ),
        "intervals": _build_intervals(predictions),
        "confusion_matrix": confusion.tolist(),
    }


def _measure_groups(predictions: Predictions, groups: Groups) -> dict[str, Any]:
    """Return column → value → what `_measure` says of its images; unknown values are left out."""
    found: dict[str, Any] = {}
    for column, values in groups.items():
        known = sorted({value for value in values if value is not None})
        rows = {value: np.flatnonzero([v == value for v in values]) for value in known}
        found[column] = {value: _measure(take(predictions, rows[value])) for value in known}
    return found


def _build_intervals(predictions: Predictions) -> dict[str, Any]:
    bounds = intervals.bootstrap_intervals(
        predictions.probabilities, predictions.references, predictions.lesion_ids, seed=SEED
    )
    return {
        "level": intervals.LEVEL,
        "method": "percentile bootstrap",
        "unit": "image" if predictions.lesion_ids is None else "lesion",
        "resamples": intervals.RESAMPLES,
        "seed": SEED,
        "bounds": {name: list(pair) for name, pair in bounds.items()},
    }
