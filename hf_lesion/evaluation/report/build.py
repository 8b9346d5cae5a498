"""Building the report record: everything measured about one model on one evaluation set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_lesion.calibration import metrics as calibration
from hf_lesion.calibration.fit import Fits
from hf_lesion.evaluation import (
    bootstrap,
    metrics,
    ranking,
    risk_coverage,
    subgroups,
)
from hf_lesion.evaluation.operating_point import measure_point
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.report.record import SCHEMA_VERSION
from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.io.provenance import provenance
from hf_lesion.labels import CODES, LABEL_GROUPS, PREVALENCES

SEED = 0


Groups = Mapping[str, Sequence[str | None]]


def build_record(
    predictions: Predictions,
    *,
    data: dict[str, Any],
    model: dict[str, Any],
    size: tuple[int, int],
    crop_mode: str | None = None,
    groups: Groups | None = None,
    views: int = 1,
    fits: Fits | None = None,
    prevalences: Mapping[str, float] = PREVALENCES,
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
        fits: What was fitted on validation for these weights; nothing of it is fitted here.
        prevalences: Name of an operating point → the share of positives that the reader has in
            mind.

    Returns:
        What `report.ENTRIES` and `report.LATER_ENTRIES` list, and schema_version; an undefined
        metric is NaN.
    """
    known = fits or Fits()
    points = known.points.points if known.points else {}
    return {
        "schema_version": SCHEMA_VERSION,
        "classes": list(CODES),
        **_measure(predictions),
        "questions": {
            name: ranking.measure_question(predictions, name, seed=SEED) for name in LABEL_GROUPS
        },
        "operating_points": {
            name: measure_point(point, predictions, prevalence=prevalences[name], seed=SEED)
            for name, point in points.items()
        },
        "calibration": _calibrate(predictions, known),
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


def _calibrate(predictions: Predictions, fits: Fits) -> dict[str, Any]:
    """Return the calibration of the answers, as trained and as they are, and of the reliability."""
    answers, references = predictions.probabilities, predictions.references
    measured: dict[str, Any] = {"answers": calibration.measure_calibration(answers, references)}
    if (found := fits.calibration) is not None:
        measured |= {"fitted_on": found.fitted_on, "cross_validated": found.cross_validated}
        before = found.as_trained(answers)
        if before is not None:
            measured["uncalibrated"] = calibration.measure_calibration(before, references)
    if fits.reliability is not None:
        measured["reliability"] = calibration.measure_reliability(
            fits.reliability.share_right(answers), calibration.answered_right(answers, references)
        )
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
