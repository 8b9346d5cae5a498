"""Building the report record: everything measured about one model on one evaluation set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_lesion.calibration import metrics as calibration
from hf_lesion.calibration.fit import Fits
from hf_lesion.evaluation import bootstrap, metrics, risk_coverage, subgroups
from hf_lesion.evaluation.bootstrap import as_entries, estimate_metrics
from hf_lesion.evaluation.discrimination import (
    is_positive,
    measure_point,
    measure_question,
    thin_curves,
)
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.report.record import SCHEMA_VERSION
from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.io.provenance import provenance
from hf_lesion.labels import CODES, LABEL_GROUPS, PREVALENCES


def build_record(
    predictions: Predictions,
    *,
    data: dict[str, Any],
    model: dict[str, Any],
    size: tuple[int, int],
    crop_mode: str | None = None,
    groups: Mapping[str, Sequence[str | None]] | None = None,
    views: int = 1,
    fits: Fits | None = None,
    prevalences: Mapping[str, float] = PREVALENCES,
) -> dict[str, Any]:
    """Return the record of one model on one evaluation set.

    `data` is the origin of the images, `model` the name and weights_sha256, `size` the height and
    width of the preprocessed image in pixels, `crop_mode` how a frame is made square, `views` the
    number of views averaged for each image. The images of every value of the `groups`, columns of
    N values, are also measured separately. `fits` of these weights are from validation, and
    `prevalences` those of the population of interest, by operating point.
    """
    known = fits or Fits()
    points = known.points.points if known.points else {}
    return {
        "schema_version": SCHEMA_VERSION,
        "classes": list(CODES),
        **_measure(predictions),
        "questions": {
            name: {
                "positives": int(is_positive(predictions, codes).sum()),
                **as_entries(measure_question(predictions, name)),
            }
            for name, codes in LABEL_GROUPS.items()
        },
        "operating_points": {
            name: {
                "codes": list(point.codes),
                "threshold": point.threshold,
                "target_sensitivity": point.target_sensitivity,
                "prevalence": prevalences[name],
                "positives": int(is_positive(predictions, point.codes).sum()),
                **as_entries(measure_point(point, predictions, prevalence=prevalences[name])),
            }
            for name, point in points.items()
        },
        "calibration": _calibrate(predictions, known),
        "risk_coverage": risk_coverage.measure_risk(predictions),
        "subgroups": subgroups.measure_groups(
            predictions, groups or {}, point=points.get("malignant")
        ),
        "curves": thin_curves(predictions),
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
    probabilities, references = predictions.probabilities, predictions.references
    lesions = predictions.lesion_ids
    confusion = metrics.confusion_matrix(probabilities, references)
    entries = as_entries(estimate_metrics(probabilities, references, lesions))
    return {
        "images": len(predictions.image_ids),
        "lesions": None if lesions is None else len(set(lesions)),
        "class_counts": dict(zip(CODES, confusion.sum(axis=1).tolist(), strict=True)),
        "metrics": entries["metrics"],
        "intervals": {
            "level": bootstrap.LEVEL,
            "method": "percentile bootstrap",
            "unit": "image" if lesions is None else "lesion",
            "resamples": bootstrap.RESAMPLES,
            "seed": bootstrap.SEED,
            **entries["intervals"],
        },
        "confusion_matrix": confusion.tolist(),
    }


def _calibrate(predictions: Predictions, fits: Fits) -> dict[str, Any]:
    """Return the calibration of the probabilities, before and after, and of the reliability."""
    answers, references = predictions.probabilities, predictions.references
    measured: dict[str, Any] = {"answers": calibration.measure_calibration(answers, references)}
    if (found := fits.calibration) is not None:
        measured |= {"fitted_on": found.fitted_on, "cross_validated": found.cross_validated}
        before = found.as_trained(answers)
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
