"""Building the report record: everything measured about one model on one evaluation set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_lesion.evaluation import bootstrap, calibration, metrics, ranking, risk_coverage, subgroups
from hf_lesion.evaluation.operating_point import measure_point
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.report.record import SCHEMA_VERSION
from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.io.provenance import provenance
from hf_lesion.labels import CODES
from hf_lesion.models.calibration import Calibration
from hf_lesion.operating_points import OperatingPoints
from hf_lesion.questions import PREVALENCES

SEED = 0


Groups = Mapping[str, Sequence[str | None]]


@dataclass(frozen=True)
class Fitted:
    """Calibration and thresholds that were fitted on validation and stored next to the weights.

    Attributes:
        calibration: Temperature and class biases.
        points: Thresholds.
        prevalences: Name of a point → the share of positives that the reader has in mind.
    """

    calibration: Calibration | None = None
    points: OperatingPoints | None = None
    prevalences: Mapping[str, float] = field(default_factory=lambda: dict(PREVALENCES))


def build_record(
    predictions: Predictions,
    *,
    data: dict[str, Any],
    model: dict[str, Any],
    size: tuple[int, int],
    crop_mode: str | None = None,
    groups: Groups | None = None,
    views: int = 1,
    fitted: Fitted | None = None,
) -> dict[str, Any]:
    """Return the record of one model on one evaluation set.

    Args:
        predictions: The model's answers next to the truth.
        data: Where the images come from: source, split, fingerprint.
        model: Which weights: name, weights_sha256.
        size: Height and width in pixels to which preprocessing brings an image.
        crop_mode: How it makes a frame a square; None where several models do it in several ways.
        views: How many views of each image were averaged.
        groups: Columns of N values each; every value's images are also measured by themselves.
        fitted: What is stored next to the weights.

    Returns:
        What `report.ENTRIES` and `report.LATER_ENTRIES` list, and schema_version; an undefined
        metric is NaN.
    """
    known = fitted or Fitted()
    points = known.points.points if known.points else {}
    return {
        "schema_version": SCHEMA_VERSION,
        "classes": list(CODES),
        **_measure(predictions),
        "questions": {
            name: ranking.measure_question(predictions, name, seed=SEED) for name in ranking.POINTS
        },
        "operating_points": {
            name: measure_point(point, predictions, prevalence=known.prevalences[name], seed=SEED)
            for name, point in points.items()
        },
        "calibration": _calibrate(predictions, known.calibration),
        "risk_coverage": risk_coverage.measure_risk(predictions, seed=SEED),
        "subgroups": subgroups.measure_groups(
            predictions, groups or {}, point=points.get("malignant"), seed=SEED
        ),
        "curves": ranking.drawn_curves(predictions),
        "data": data,
        "model": model,
        "preprocessing": {
            "height": size[0],
            "width": size[1],
            **({} if crop_mode is None else {"crop_mode": crop_mode}),
            "views": views,
        },
        "provenance": provenance(),
    }


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of a model folder's weights in hexadecimal."""
    return file_sha256(folder / WEIGHTS)


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


def _calibrate(predictions: Predictions, found: Calibration | None) -> dict[str, Any]:
    """Return the calibration of the answers, and of what they were or become where that is known.

    All from one set of probabilities: the softmax of T times their logarithm is what the weights
    gave before a temperature of T was folded in.
    """
    answers, references = predictions.probabilities, predictions.references
    measured: dict[str, Any] = {"answers": calibration.measure_calibration(answers, references)}
    if found is not None:
        measured |= {"fitted_on": found.fitted_on, "cross_validated": found.cross_validated}
        measured["shown"] = calibration.measure_calibration(found.shown(answers), references)
        if found.temperature != 1:
            before = found.without_temperature(answers)
            measured["uncalibrated"] = calibration.measure_calibration(before, references)
    return {
        "bins": calibration.BINS,
        "simulations": calibration.SIMULATIONS,
        "temperature": None if found is None else found.temperature,
        "logit_adjustment": None if found is None else found.logit_adjustment,
        **measured,
    }


def _build_intervals(predictions: Predictions) -> dict[str, Any]:
    bounds = bootstrap.bootstrap_intervals(
        predictions.probabilities, predictions.references, predictions.lesion_ids, seed=SEED
    ) | ranking.class_intervals(predictions, seed=SEED)
    return {
        "level": bootstrap.LEVEL,
        "method": "percentile bootstrap",
        "unit": "image" if predictions.lesion_ids is None else "lesion",
        "resamples": bootstrap.RESAMPLES,
        "seed": SEED,
        "bounds": {name: list(pair) for name, pair in bounds.items()},
    }
