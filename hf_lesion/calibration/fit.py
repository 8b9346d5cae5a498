"""Fitting on validation: logit adjustment, temperature, thresholds and reliability of a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_curve

from hf_lesion.calibration import metrics
from hf_lesion.calibration.reliability import FILE as RELIABILITY
from hf_lesion.calibration.reliability import Reliability, read_reliability
from hf_lesion.calibration.temperature import FILE as CALIBRATION
from hf_lesion.calibration.temperature import Calibration, fold, logit_offsets, read_calibration
from hf_lesion.calibration.thresholds import FILE as POINTS
from hf_lesion.calibration.thresholds import (
    OperatingPoint,
    OperatingPoints,
    read_operating_points,
    sum_of,
)
from hf_lesion.errors import InputError
from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.io.records import write_record
from hf_lesion.labels import CODES, LABEL2ID, LABEL_GROUPS
from hf_lesion.models.build import load_classifier
from hf_lesion.models.compact import save_compact

FOLDS = 5
GROUPS = 10  # knots of the map of reliability; with 1,500 images 150 behind each
SEED = 0
TOLERANCE = 1e-3  # of logits, after weights were divided

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Fits:
    """Calibration, thresholds and reliability of a model's weights; None if not fitted."""

    calibration: Calibration | None = None
    points: OperatingPoints | None = None
    reliability: Reliability | None = None

    @property
    def by_file(self) -> dict[str, Calibration | OperatingPoints | Reliability]:
        """The fitted records by file name."""
        found = {CALIBRATION: self.calibration, POINTS: self.points, RELIABILITY: self.reliability}
        return {name: record for name, record in found.items() if record is not None}


def fit_logits(
    logits: Floats, references: Ids, log_shares: Floats, *, tau: float | None = None
) -> tuple[float, float]:
    """Return the τ and T for which softmax((z - τ·log π) / T) fits best.

    Minimises the negative log-likelihood with equal class weights, so that the result is the
    probability if the classes were equally common. `log_shares` are (C,) log π of the training
    split; `tau` is τ if known, None fits it, at least 0.
    """
    weights = metrics.balancing_weights(references)

    def loss(parameters: Floats) -> float:
        scale, shift = parameters[0], (0.0 if tau is not None else parameters[1])
        fitted = softmax(np.exp(-scale) * adjusted - shift * log_shares, axis=1)
        return metrics.log_loss(fitted, references, weights)

    # T by its logarithm, so that it stays above 0; τ by τ/T: the loss is convex in 1/T and τ/T.
    adjusted = logits - (tau or 0.0) * log_shares
    bounds = [(-3.0, 3.0), (0.0, None)][: 1 if tau is not None else 2]
    found = minimize(loss, np.zeros(len(bounds)), method="L-BFGS-B", bounds=bounds).x
    temperature = float(np.exp(found[0]))
    return (float(found[1]) * temperature if tau is None else tau), temperature


def fit_point(
    probabilities: Floats, references: Ids, name: str, *, target: float
) -> OperatingPoint:
    """Return the highest threshold that finds a share `target` of a group of `LABEL_GROUPS`.

    It lies halfway between that score and the next lower one, so that rounding flips no image.

    Raises:
        InputError: If all images are positive, or all are negative.
    """
    codes = LABEL_GROUPS[name]
    truth = np.isin(references, [LABEL2ID[code] for code in codes])
    if truth.all() or not truth.any():
        raise InputError(
            f"The {name} threshold needs images of both kinds, but {int(truth.sum())} of "
            f"{len(truth)} images are of {', '.join(codes)}. Pass a larger validation set."
        )
    scores = sum_of(probabilities, codes)
    alarms, hits, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    place = int(np.flatnonzero(hits >= target - 1e-12)[0])
    below = thresholds[place + 1] if place + 1 < len(thresholds) else 0.0
    return OperatingPoint(
        codes=codes,
        threshold=float(thresholds[place] + below) / 2,
        target_sensitivity=target,
        images=len(truth),
        positives=int(truth.sum()),
        sensitivity=float(hits[place]),
        specificity=1 - float(alarms[place]),
    )


def fit_reliability(top: Floats, is_right: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the knots of a monotone map from top score to the share of correct predictions.

    The images are sorted by their top score and divided into `GROUPS` groups of equal size, and
    isotonic regression is fitted to their shares. One pseudo-image with the overall share is added
    to each group, so that no share is 0 or 1. In cross-validation over lesions, this was better
    than a logistic function of the score's logit (calibration error 0.02 and 0.06) and than
    isotonic regression on single images.
    """
    groups = np.array_split(np.argsort(top, kind="stable"), min(GROUPS, len(top)))
    scores = np.asarray([top[rows].mean() for rows in groups])
    overall = (is_right.sum() + 1) / (len(is_right) + 2)  # Laplace's rule of succession
    shares = np.asarray([(is_right[rows].sum() + overall) / (len(rows) + 1) for rows in groups])
    return scores, np.asarray(IsotonicRegression().fit_transform(scores, shares))


def cross_validate(
    logits: Floats,
    references: Ids,
    lesions: Ids,
    log_shares: Floats,
    *,
    tau: float | None = None,
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Return cross-validated scores of calibration and reliability, with folds of whole lesions.

    Arguments are uncorrected logits, class ids, numbered lesions, and as for `fit_logits`.

    Returns:
        For the `trained` and the `calibrated` probabilities: ece, class_balanced_ece, their chance
        levels (`chance_…`), brier, log_loss and balanced_accuracy; and for the reliability: ece,
        chance_ece and brier.
    """
    trained = np.asarray(softmax(logits, axis=1))
    calibrated, promised = trained.copy(), np.zeros(len(references))
    fold_of = np.random.default_rng(SEED).permutation(lesions.max() + 1)[lesions] % FOLDS
    for number in range(FOLDS):
        held = fold_of == number
        if held.all() or not held.any():
            continue
        found, temperature = fit_logits(logits[~held], references[~held], log_shares, tau=tau)
        every = softmax((logits - found * log_shares) / temperature, axis=1)
        is_right = metrics.answered_right(every[~held], references[~held])
        top = every.max(axis=1)
        calibrated[held] = every[held]
        promised[held] = np.interp(top[held], *fit_reliability(top[~held], is_right))
    kept = metrics.measure_reliability(promised, metrics.answered_right(calibrated, references))
    scores = {
        "trained": _summarise(trained, references),
        "calibrated": _summarise(calibrated, references),
    }
    return scores, {**kept["metrics"], "chance_ece": kept["chance"]["ece"]["mean"]}


def calibrate_folder(
    folder: Path,
    logits: Floats,
    references: Ids,
    lesions: Ids,
    counts: Floats,
    *,
    sensitivities: Mapping[str, float],
    origin: Mapping[str, Any],
    tau: float | None = None,
) -> Fits:
    """Fit a packed model's corrections and fold them into its weights; records are not written.

    An already calibrated model is calibrated again, from its logits as trained. The last linear
    layer is kept in full precision.

    Args:
        folder: A packed model.
        logits: (N, C) of the validation split; never of images that it is later judged by.
        references: (N,) class ids.
        lesions: (N,) each image's lesion as a number from 0.
        counts: (C,) images of each class in the training split, above 0.
        sensitivities: Name of an operating point → the sensitivity to choose its threshold for.
        origin: Source, split and fingerprint of the images.
        tau: Logit adjustment; None fits it.
    """
    before = read_calibration(folder)
    old_temperature = 1.0 if before is None else before.temperature
    old_offsets = np.zeros(len(CODES)) if before is None else np.array([*before.offsets.values()])
    trained = logits * old_temperature - old_offsets
    log_shares = -logit_offsets(counts, 1.0)
    tau_found, temperature = fit_logits(trained, references, log_shares, tau=tau)
    offsets = logit_offsets(counts, tau_found)
    cross_validated, kept = cross_validate(trained, references, lesions, log_shares, tau=tau)
    probabilities = np.asarray(softmax((trained + offsets) / temperature, axis=1))
    points = {
        name: fit_point(probabilities, references, name, target=target)
        for name, target in sensitivities.items()
    }
    # What is still to be done to weights that were (z + old offsets) / old temperature.
    fold_into(
        folder,
        offsets=(offsets - old_offsets) / old_temperature,
        temperature=temperature / old_temperature,
    )
    is_right = metrics.answered_right(probabilities, references)
    scores, shares = fit_reliability(probabilities.max(axis=1), is_right)
    known: dict[str, Any] = {
        "weights_sha256": file_sha256(folder / WEIGHTS),
        "fitted_on": {**origin, "images": len(references)},
    }
    return Fits(
        Calibration(
            temperature=temperature,
            logit_adjustment=tau_found,
            offsets=dict(zip(CODES, offsets.tolist(), strict=True)),
            cross_validated=cross_validated,
            **known,
        ),
        OperatingPoints(points=points, **known),
        Reliability(
            scores=tuple(scores.tolist()),
            shares=tuple(shares.tolist()),
            cross_validated=kept,
            **known,
        ),
    )


def fold_into(folder: Path, *, offsets: Floats, temperature: float) -> None:
    """Turn the logits z of a saved model into (z + offsets) / temperature.

    Raises:
        InputError: If the last linear layer does not give the logits.
    """
    model, processor = load_classifier(str(folder))
    size = processor(images=[Image.new("RGB", (2, 2))], return_tensors="pt")["pixel_values"].shape
    pixel_values = torch.rand(size, generator=torch.Generator().manual_seed(SEED))
    model.eval()
    with torch.inference_mode():
        before = model(pixel_values=pixel_values).logits.numpy().astype(np.float64)
    head = fold(model, offsets=offsets, temperature=temperature)
    with torch.inference_mode():
        after = model(pixel_values=pixel_values).logits.numpy() * temperature
    if not np.allclose(after, before + offsets, rtol=TOLERANCE, atol=TOLERANCE):
        raise InputError(
            f"The last linear layer of {type(model).__name__} does not give its logits: a "
            "temperature can't be folded into it. Pack without --dataset."
        )
    whole = {
        name
        for name, parameter in model.named_parameters()
        if parameter is head.weight or parameter is head.bias
    }
    save_compact(model, processor, folder, whole=whole)


def write_fits(folder: Path, fits: Fits) -> None:
    """Write the fitted records of a model, each to its file."""
    for name, record in fits.by_file.items():
        write_record(folder / name, record)


def read_fits(folder: Path) -> Fits:
    """Return the fitted records of a model.

    Raises:
        InputError: If a record is damaged, or was fitted for other weights than the folder's.
    """
    fits = Fits(read_calibration(folder), read_operating_points(folder), read_reliability(folder))
    own = file_sha256(folder / WEIGHTS)
    for name, record in fits.by_file.items():
        if record.weights_sha256 != own:
            raise InputError(
                f"{folder / name} was fitted on other weights than those next to it. Fit it again "
                "with scripts/pack_model.py --model DIR --dataset DIR, or delete the file."
            )
    return fits


def _summarise(probabilities: Floats, references: Ids) -> dict[str, float]:
    found = metrics.measure_calibration(probabilities, references)
    names = ("ece", "class_balanced_ece")
    is_right = metrics.answered_right(probabilities, references)
    weights = metrics.balancing_weights(references)
    return {
        **{name: found["metrics"][name] for name in (*names, "brier", "log_loss")},
        **{f"chance_{name}": found["chance"][name]["mean"] for name in names},
        "balanced_accuracy": float(np.average(is_right, weights=weights)),
    }
