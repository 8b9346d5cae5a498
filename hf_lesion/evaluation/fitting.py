"""Fits on a prepared dataset: calibration and out-of-distribution gate of a model folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import trange

from hf_lesion.calibration import metrics
from hf_lesion.calibration.fit import Fits, calibrate_folder, write_fits
from hf_lesion.calibration.reliability import Check
from hf_lesion.classifier import LesionClassifier, softmax
from hf_lesion.data.splits import SPLITS
from hf_lesion.errors import InputError
from hf_lesion.evaluation import bulk
from hf_lesion.evaluation.bootstrap import estimate, number_lesions
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.risk_coverage import measure_risk
from hf_lesion.evaluation.scoring import (
    EvaluationSet,
    choose_rows,
    over_batches,
    predict,
    read_split,
    take_images,
)
from hf_lesion.io.provenance import provenance
from hf_lesion.ood import fit as gates
from hf_lesion.ood.features import COLOURS, feature_layers
from hf_lesion.ood.fit import Observed
from hf_lesion.ood.gate import Gate, GateRecord, MeasuredModel
from hf_lesion.synthetic.ood_images import KINDS, draw_ood_image

# Fits of a gate: images of each class of the train split, and drawn images of each kind.
OF_A_CLASS, DRAWN_IMAGES = 100, 30
EVERY = 3  # one in three test images is also measured retaken: an answer within minutes


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
    """Calibrate a packed model in place; write `calibration.json`, the thresholds and reliability.

    `counts` are (C,) images of each class in the training split; reliability is checked on the
    images `check_on`, such as the test split, if given. See `calibration.fit.calibrate_folder`.
    """
    classifier = LesionClassifier.from_pretrained(folder)
    fits = calibrate_folder(
        folder,
        over_batches(classifier.logits, images, batch_size=batch_size).astype(np.float64),
        images.references,
        number_lesions(images.lesion_ids, len(images.references)),
        counts,
        sensitivities=sensitivities,
        origin=images.origin,
        tau=tau,
    )
    write_fits(folder, fits)  # before the folder is loaded, which warns of earlier fits
    if check_on is not None and fits.reliability is not None:
        calibrated = LesionClassifier.from_pretrained(folder)
        answers = predict(calibrated, check_on, batch_size=batch_size).probabilities
        is_right = metrics.answered_right(answers, check_on.references)
        found = metrics.measure_reliability(fits.reliability.share_right(answers), is_right)
        check = Check(
            source=check_on.source,
            split=check_on.name,
            fingerprint=check_on.fingerprint,
            images=len(answers),
            ece=found["metrics"]["ece"],
            chance_ece=found["chance"]["ece"]["mean"],
            chance_ece_upper=found["chance"]["ece"]["upper"],
        )
        checked = fits.reliability.model_copy(update={"checked_on": check})
        fits = replace(fits, reliability=checked)
        write_fits(folder, fits)
    return fits


def fit_gate(
    model: Path,
    dataset: Path,
    photos: Mapping[str, bulk.Images],
    *,
    frames: Path | None = None,
    batch_size: int = 8,
    limit: int | None = None,
) -> tuple[Gate, GateRecord]:
    """Fit the OOD gate of a model folder, and measure it.

    It is fitted on train, drawn images and photos, with thresholds chosen on validation. Rejection
    rates are measured on test and, for drawn images and photos, by cross-fitting. `photos` of one
    patient, according to their names, are kept together. The folder `frames` holds images of the
    dataset in another framing, <image_id>.jpg: those of validation are used to choose thresholds,
    those of test to measure rejection. `limit` is the greatest number of images of each set.
    """
    train, validation, test = (read_split(dataset, split) for split in SPLITS)
    classifier = LesionClassifier.from_pretrained(model)
    classifier.network.to(memory_format=torch.channels_last)  # twice as fast on a CPU
    layers = (COLOURS, *feature_layers(classifier.network))

    def observe(images: EvaluationSet) -> Observed:
        return _observe(classifier, layers, images, batch_size=batch_size, limit=limit)

    def observe_twice(images: EvaluationSet) -> list[Observed]:
        return [observe(images), observe(_retake(images))]

    accepted = observe_twice(take_images(train, choose_rows(train.references, OF_A_CLASS)))
    dermoscopic = gates.join(accepted)
    unknown = [
        _unlabelled(name, list(map(gates.group_of, found.names)), found.load)
        for name, found in photos.items()
    ]
    others = {one.name: observe_twice(one) for one in (*unknown, *map(_draw, KINDS))}
    held_out = {validation.name: observe(validation)}
    some = _retake(take_images(test, range(0, len(test.image_ids), EVERY)))
    tested = {test.name: observe(test), some.name: observe(some)}
    if frames is not None:
        for split, found in ((validation, held_out), (test, tested)):
            images = _in_frames(split, frames)
            found[images.name] = observe(images)
    known = gates.join(list(held_out.values()))
    joined = {name: gates.join(versions) for name, versions in others.items()}
    weights = weights_sha256(model)
    gate = replace(gates.fit_gate(layers, dermoscopic, joined, known), weights_sha256=weights)
    measured = {
        name: gates.measure_dermoscopic(gate, one, _share_interval) for name, one in tested.items()
    }
    answers, sources = tested[test.name], gates.list_sources(accepted, others, held_out)
    predictions = Predictions(
        test.image_ids[: len(answers)],
        answers.references,
        answers.probabilities.astype(np.float64),
        tuple(answers.groups),
    )
    record = GateRecord(
        schema_version=2,
        summary=gates.summarise(sources),
        fitted_on=sources,
        inputs=list(gate.inputs),
        refused_below=gate.refused_below,
        unsure_below=gate.unsure_below,
        dermoscopic=measured,
        other=gates.measure_others(layers, dermoscopic, others, known, _share_interval),
        risk_coverage=measure_risk(predictions),
        data=test.origin,
        model=MeasuredModel(name=classifier.name, weights_sha256=weights),
        provenance=provenance(),
    )
    return gates.with_rates(gate, measured[test.name]), record


def _observe(
    classifier: LesionClassifier,
    layers: tuple[str, ...],
    images: EvaluationSet,
    *,
    batch_size: int,
    limit: int | None,
) -> Observed:
    """Return probabilities and features of the first images, with a progress bar."""
    count = min(len(images.image_ids), limit or len(images.image_ids))
    logits, features = [], []
    for start in trange(0, count, batch_size, desc=images.name, disable=None):
        some = [images.load(row) for row in range(start, min(start + batch_size, count))]
        found = classifier.look(some, layers, batch_size=batch_size)
        logits.append(found[0])
        features.append(found[1])
    return Observed(
        softmax(np.concatenate(logits)),
        {name: np.concatenate([one[name] for one in features]) for name in layers},
        (images.lesion_ids or images.image_ids)[:count],
        images.references[:count],
    )


def _retake(images: EvaluationSet) -> EvaluationSet:
    """Return the same images with random changes."""
    return replace(
        images,
        name=f"{images.name}, retaken",
        load=lambda index: gates.retake(images.load(index), seed=index),
    )


def _in_frames(split: EvaluationSet, folder: Path) -> EvaluationSet:
    """Return the images of a split that a folder has in another framing."""
    found = bulk.list_folder(folder)
    place = {name.rsplit("/", 1)[-1]: index for index, name in enumerate(found.names)}
    some = take_images(split, [row for row, name in enumerate(split.image_ids) if name in place])
    if not some.image_ids:
        raise InputError(f"{folder} has no image of the {split.name} split, by image_id.")
    return replace(
        some,
        name=f"{split.name}, other framing",
        load=lambda index: found.load(place[some.image_ids[index]]),
    )


def _draw(kind: str) -> EvaluationSet:
    """Return drawn images of one kind."""
    groups = [f"{kind} {seed}" for seed in range(DRAWN_IMAGES)]
    return _unlabelled(f"{gates.DRAWN}{kind}", groups, lambda seed: draw_ood_image(kind, seed=seed))


def _unlabelled(
    name: str, groups: Sequence[str], load: Callable[[int], Image.Image]
) -> EvaluationSet:
    """Return images without a class; those of a group are kept together."""
    return EvaluationSet(
        name=name,
        image_ids=tuple(groups),
        references=np.full(len(groups), -1),
        lesion_ids=tuple(groups),
        source=name,
        fingerprint="",
        load=load,
    )


def _share_interval(flags: NDArray[np.bool_], groups: Sequence[str]) -> tuple[float, float]:
    """Return the bootstrap interval of the share of true flags."""
    (share,) = estimate(flags[:, None], groups)
    return share.low, share.high
