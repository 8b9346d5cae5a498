"""Calibration of a model folder on a prepared dataset: run the model, fit, check."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_lesion.calibration import metrics
from hf_lesion.calibration.fit import Fits, Sample, calibrate_folder, write_fits
from hf_lesion.calibration.reliability import Check, Reliability
from hf_lesion.classifier import LesionClassifier
from hf_lesion.evaluation.bootstrap import number_lesions
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.scoring import EvaluationSet, over_batches, predict


def fit_folder(
    folder: Path,
    images: EvaluationSet,
    counts: NDArray[np.float64],
    *,
    sensitivities: Mapping[str, float],
    tau: float | None = None,
    check_on: EvaluationSet | None = None,
    batch_size: int = 32,
) -> Fits:
    """Calibrate a packed model in place and return what was fitted.

    Args:
        folder: The model; see `calibration.fit.calibrate_folder` for what is written.
        images: The validation split.
        counts: (C,) images of each class in the training split.
        sensitivities: Name of an operating point → the sensitivity to choose its threshold for.
        tau: Logit adjustment; None fits it.
        check_on: Images that reliability is checked on, such as the test split; None for no check.
        batch_size: Images in memory at once.

    Raises:
        InputError: As `calibrate_folder`, or if an image can't be read.
    """
    classifier = LesionClassifier.from_pretrained(folder)
    sample = Sample(
        over_batches(classifier.logits, images, batch_size=batch_size).astype(np.float64),
        images.references,
        number_lesions(images.lesion_ids, len(images.references)),
        images.origin,
    )
    fits = calibrate_folder(folder, sample, counts, sensitivities=sensitivities, tau=tau)
    if check_on is None or fits.reliability is None:
        return fits
    calibrated = LesionClassifier.from_pretrained(folder)
    answers = predict(calibrated, check_on, batch_size=batch_size)
    check = check_reliability(fits.reliability, answers, check_on)
    checked = replace(fits, reliability=fits.reliability.model_copy(update={"checked_on": check}))
    write_fits(folder, checked)
    return checked


def check_reliability(
    reliability: Reliability, predictions: Predictions, images: EvaluationSet
) -> Check:
    """Return how well the promised shares of right answers are kept on these images.

    Args:
        reliability: Fitted on others.
        predictions: The model's answers to the N images.
        images: N images.
    """
    found = metrics.measure_reliability(
        reliability.share_right(predictions.probabilities),
        metrics.answered_right(predictions.probabilities, predictions.references),
    )
    return Check(
        source=images.source,
        split=images.name,
        fingerprint=images.fingerprint,
        images=len(predictions.references),
        ece=found["metrics"]["ece"],
        chance_ece=found["chance"]["ece"]["mean"],
        chance_ece_upper=found["chance"]["ece"]["upper"],
    )
