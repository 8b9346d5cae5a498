"""What is fitted on validation images and stays with a model: temperature, biases, thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.evaluation import calibration
from hf_lesion.evaluation.bootstrap import number_lesions
from hf_lesion.evaluation.operating_point import fit_point
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.scoring import EvaluationSet, over_batches
from hf_lesion.models.calibration import (
    FILE,
    Calibration,
    fold_offsets,
    fold_temperature,
    log_of,
    read_calibration,
    softmax_of,
    write_calibration,
)
from hf_lesion.models.compact import save_compact
from hf_lesion.operating_points import (
    OperatingPoints,
    read_operating_points,
    write_operating_points,
)

CHECKED_IMAGES = 8
TOLERANCE = 1e-3  # of logits, after weights were divided


@dataclass(frozen=True)
class Adjustment:
    """Logit adjustment: see `hf_lesion.models.calibration`.

    Attributes:
        tau: τ, 0 or above.
        counts: (C,) images of each class in the training split, above 0.
    """

    tau: float
    counts: NDArray[np.float64]

    @property
    def offsets(self) -> NDArray[np.float64]:
        """(C,) what is added to the logits."""
        return -self.tau * np.log(self.counts / self.counts.sum())


def calibrate_folder(
    folder: Path,
    images: EvaluationSet,
    *,
    sensitivities: Mapping[str, float],
    adjustment: Adjustment | None = None,
    batch_size: int = 32,
) -> Calibration:
    """Fit a model's temperature, fold it into its weights, and write what is kept beside them.

    The folder's weights change: the last linear layer is divided by T and kept in full precision,
    so that every answer's order of the classes stays. An adjustment is folded in before that.
    `calibration.json` and `operating_points.json` are written.

    Args:
        folder: A packed model.
        images: The validation split; never images that the model is later judged by.
        sensitivities: Name of an operating point → the sensitivity to choose its threshold for.
        adjustment: How far to adjust logits to rare classes; None for not at all.
        batch_size: Images in memory at once.

    Raises:
        InputError: If the model already has a temperature, or the images do not suffice.
    """
    if (folder / FILE).exists():
        raise InputError(f"{folder} is calibrated already. Pack its run again.")
    classifier = LesionClassifier.from_pretrained(folder)
    logits = over_batches(classifier.logits, images, batch_size=batch_size).astype(np.float64)
    if adjustment is not None:
        logits += adjustment.offsets
        fold_offsets(classifier.model, adjustment.offsets)
    temperature = calibration.fit_temperature(logits, images.references)
    _fold(classifier, temperature, images, logits, folder)
    answers = softmax_of(logits / temperature)
    return store_fits(
        folder,
        answers,
        images,
        temperature=temperature,
        sensitivities=sensitivities,
        logit_adjustment=0.0 if adjustment is None else adjustment.tau,
    )


def store_fits(
    folder: Path,
    answers: np.ndarray[Any, np.dtype[np.float64]],
    images: EvaluationSet,
    *,
    temperature: float,
    sensitivities: Mapping[str, float],
    logit_adjustment: float = 0.0,
) -> Calibration:
    """Fit biases and thresholds to a model's answers and write both files beside its weights.

    Args:
        folder: The model, its temperature folded in already.
        answers: (N, C) its probabilities of the images.
        images: N validation images.
        temperature: What its weights were divided by; 1 for weights as trained.
        sensitivities: As above.
        logit_adjustment: τ that its weights were adjusted by.
    """
    lesions = number_lesions(images.lesion_ids, len(images.references))
    fitted_on = {**images.origin, "images": len(images.references)}
    slope, biases = calibration.fit_shown(answers, images.references)
    found = Calibration(
        temperature=temperature,
        slope=slope,
        biases=biases,
        weights_sha256=weights_sha256(folder),
        fitted_on=fitted_on,
        cross_validated=calibration.cross_validate(
            temperature * log_of(answers), images.references, lesions
        ),
        logit_adjustment=logit_adjustment,
    )
    predictions = Predictions(images.image_ids, images.references, answers, images.lesion_ids)
    points = {
        name: fit_point(predictions, name, target=target) for name, target in sensitivities.items()
    }
    write_calibration(folder, found)
    write_operating_points(folder, OperatingPoints(points, found.weights_sha256, fitted_on))
    return found


def read_fits(folder: Path) -> tuple[Calibration | None, OperatingPoints | None]:
    """Return what was fitted for a model's weights; None where there is nothing.

    Raises:
        InputError: If a file can't be read, or is of other weights than those in the folder.
    """
    found = read_calibration(folder)
    points = read_operating_points(folder)
    digest = weights_sha256(folder)
    for part in (found, points):
        if part is not None and part.weights_sha256 != digest:
            name = FILE if part is found else "operating_points.json"
            raise InputError(
                f"{folder / name} was fitted on other weights than those beside it. Pack the run "
                "again with scripts/pack_model.py, or delete the file."
            )
    return found, points


def _fold(
    classifier: LesionClassifier,
    temperature: float,
    images: EvaluationSet,
    logits: np.ndarray[Any, np.dtype[np.float64]],
    folder: Path,
) -> None:
    head = fold_temperature(classifier.model, temperature)
    few = [images.load(index) for index in range(min(CHECKED_IMAGES, len(images.image_ids)))]
    after = classifier.logits(few) * temperature
    if not np.allclose(after, logits[: len(few)], rtol=TOLERANCE, atol=TOLERANCE):
        raise InputError(
            f"The last linear layer of {type(classifier.model).__name__} does not give its logits: "
            "a temperature can't be folded into it. Pack without --dataset."
        )
    names = {
        name
        for name, parameter in classifier.model.named_parameters()
        if parameter is head.weight or parameter is head.bias
    }
    save_compact(classifier.model, classifier.processor, folder, whole=names)
