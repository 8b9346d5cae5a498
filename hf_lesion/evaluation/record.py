"""One model on one evaluation set, as the record that `report.json` keeps."""

import hashlib
from pathlib import Path
from typing import Any

from hf_lesion.evaluation import intervals, metrics
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.report import SCHEMA_VERSION
from hf_lesion.labels import CODES
from hf_lesion.provenance import provenance

WEIGHTS = "model.safetensors"
SEED = 0


def build_record(
    predictions: Predictions, *, data: dict[str, Any], model: dict[str, Any], size: tuple[int, int]
) -> dict[str, Any]:
    """Return everything that is known about one model on one evaluation set.

    Args:
        predictions: The model's answers beside the truth.
        data: Where the images come from: source, split, fingerprint.
        model: Which weights: name, weights_sha256.
        size: Height and width in pixels to which preprocessing brings an image.

    Returns:
        What `report.ENTRIES` lists, and schema_version; an undefined metric is NaN.
    """
    confusion = metrics.confusion_matrix(
        predictions.references,
        metrics.predicted_classes(predictions.probabilities, predictions.references),
    )
    lesions = predictions.lesion_ids
    return {
        "schema_version": SCHEMA_VERSION,
        "images": len(predictions.image_ids),
        "lesions": None if lesions is None else len(set(lesions)),
        "classes": list(CODES),
        "class_counts": dict(zip(CODES, confusion.sum(axis=1).tolist(), strict=True)),
        "metrics": metrics.LesionMetrics().compute(
            predictions=predictions.probabilities, references=predictions.references
        ),
        "intervals": _build_intervals(predictions),
        "confusion_matrix": confusion.tolist(),
        "data": data,
        "model": model,
        "preprocessing": {"height": size[0], "width": size[1]},
        "provenance": provenance(),
    }


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of a model folder's weights in hexadecimal."""
    with (folder / WEIGHTS).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
