"""Measurement of heatmaps on images with masks: overlap, faithfulness, baselines, shortcuts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from hf_lesion.classifier import LesionClassifier
from hf_lesion.data.reader import open_split
from hf_lesion.errors import InputError
from hf_lesion.evaluation import bootstrap
from hf_lesion.evaluation.explanations import record
from hf_lesion.evaluation.explanations.record import UNCHANGED
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.scoring import (
    EvaluationSet,
    choose_rows,
    draw_rows,
    read_split,
    take_images,
)
from hf_lesion.explain import baselines, faithfulness
from hf_lesion.explain.mask_overlap import MEASURES, place_masks, score_maps
from hf_lesion.explain.names import CONTROL_NAMES, FINE, GAUSSIAN, RANDOM, UNTRAINED
from hf_lesion.explain.placement import share_outside
from hf_lesion.explain.shortcuts import CHANGES, change
from hf_lesion.io.provenance import provenance
from hf_lesion.labels import CODES

LOCALISATION, SHORTCUTS, FAITHFULNESS = "localisation", "shortcuts", "faithfulness"
PARTS = (LOCALISATION, SHORTCUTS, FAITHFULNESS)
# From images and the classes to explain (and the images' row numbers) to (B, H, W) maps.
Mapper = Callable[[Sequence[Image.Image], NDArray[np.int64], Sequence[int]], NDArray[np.float32]]
CALIBRATION_IMAGES = 64  # that an untrained copy's batch norms see


@dataclass(frozen=True)
class Effort:
    """Number of images for the slow measurements."""

    subset: int = 400  # for the finer map and for shortcuts; at random
    faithful: int = 10  # of each diagnosis, for deletion and insertion
    road: int = 6  # of those, of each diagnosis, for ROAD
    batch_size: int = 32  # in memory at once


def read_masked_split(folder: Path, split: str) -> EvaluationSet:
    """Read one split of a prepared dataset with its masks.

    Raises:
        InputError: As `read_split`, or if the dataset has no masks or an image has none.
    """
    images, stored = read_split(folder, split), open_split(folder, split)
    if "mask" not in stored.column_names:
        raise _no_masks(folder, "the column mask")
    masks = stored.select_columns(["mask"])

    def load(index: int) -> Image.Image:
        mask = masks[index]["mask"]
        if mask is None:
            raise _no_masks(folder, f"a mask of {images.image_ids[index]}")
        return mask.convert("L")

    return replace(images, load_mask=load)


def measure_model(
    classifier: LesionClassifier,
    images: EvaluationSet,
    *,
    methods: Sequence[str],
    effort: Effort,
    parts: Sequence[str] = PARTS,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the parts of one split's entry of `explanations.json` as they are measured.

    Args:
        classifier: The model.
        images: The split.
        methods: Of `explain.gradcam.METHODS`; the first is also measured for each class, as the
            controls are, and for its faithfulness.
        effort: On how many images what takes long is measured.
        parts: Of `PARTS`.
    """
    mappers: dict[str, Mapper] = {}
    if {LOCALISATION, FAITHFULNESS} & set(parts):
        mappers = build_mappers(classifier, images, methods[0])
    if LOCALISATION in parts:
        found = _measure_localisation(classifier, images, methods, mappers, effort)
        yield LOCALISATION, {**found, "provenance": provenance()}
    if SHORTCUTS in parts:
        rows = draw_rows(len(images.image_ids), effort.subset)
        answers = answer_changed(classifier, images, rows, batch_size=effort.batch_size)
        some = take_images(images, rows)
        found = record.describe_shortcuts(answers, some.references, some.lesion_ids)
        yield SHORTCUTS, {**found, "provenance": provenance()}
    if FAITHFULNESS in parts:
        found = _measure_faithfulness(classifier, images, mappers, effort)
        yield FAITHFULNESS, {**found, "provenance": provenance()}


def describe_run(
    classifier: LesionClassifier, images: EvaluationSet, folder: Path
) -> dict[str, Any]:
    """Return the images, weights (in `folder`) and preprocessing of the explanations."""
    return {
        "data": images.origin,
        "model": {"name": classifier.name, "weights_sha256": weights_sha256(folder)},
        "preprocessing": {
            **dict(zip(("height", "width"), classifier.image_size, strict=True)),
            "crop_mode": classifier.preprocessing.crop_mode,
        },
        "explained": "predicted class",
        "intervals": {
            "level": bootstrap.LEVEL,
            "resamples": bootstrap.RESAMPLES,
            "unit": "image" if images.lesion_ids is None else "lesion",
            "method": "percentile bootstrap",
        },
    }


def build_mappers(
    classifier: LesionClassifier, images: EvaluationSet, method: str
) -> dict[str, Mapper]:
    """Return one method, its finer map and the three baselines as functions of images.

    Some of the images given here set an untrained copy's batch norms.
    """
    size = classifier.image_size
    gaussian = baselines.gaussian_map(size)
    some = [images.load(row) for row in choose_rows(images.references, 10)[:CALIBRATION_IMAGES]]
    pixel_values = classifier.preprocess(some).to(classifier.model.device)
    untrained = LesionClassifier(
        baselines.untrained_copy(classifier.model, pixel_values),
        classifier.processor,
        name=UNTRAINED,
    )
    return {
        method: _mapper(classifier, method),
        FINE: _mapper(classifier, method, fine=True),
        GAUSSIAN: lambda shown, *_: np.repeat(gaussian[None], len(shown), axis=0),
        RANDOM: lambda _, __, rows: baselines.random_maps(list(rows), size),
        UNTRAINED: _mapper(untrained, method),
    }


def score_localisation(
    classifier: LesionClassifier,
    images: EvaluationSet,
    rows: Sequence[int],
    *,
    methods: Sequence[str],
    mappers: Mapping[str, Mapper],
    batch_size: int = 32,
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float64]]]:
    """Score maps of the predicted class of each image.

    Args:
        classifier: Predicts the classes, and preprocesses the masks.
        images: The images and masks.
        rows: Which N images.
        methods: Of `explain.gradcam.METHODS`, all from one forward pass.
        mappers: As from `build_mappers`: what else is scored.
        batch_size: How many are in memory.

    Returns:
        (N, C) probabilities, and for each method and mapper (N, M) scores in the order of
        `MEASURES`.
    """
    answers = [np.empty((0, len(CODES)), np.float32)]
    scores = {name: [np.empty((0, len(MEASURES)))] for name in (*methods, *mappers)}
    for part in _in_batches(rows, batch_size, "Localising"):
        shown = [images.load(row) for row in part]
        places = place_masks([images.load_mask(row) for row in part], classifier.preprocess)
        explained = classifier.explain_methods(shown, methods) if methods else {}
        for name, own in explained.items():
            scores[name].append(score_maps(own.heatmaps, places))
        known = next((own.probabilities for own in explained.values()), None)
        answers.append(classifier.predict(shown) if known is None else known)
        targets = answers[-1].argmax(axis=1)
        for name, mapper in mappers.items():
            scores[name].append(score_maps(mapper(shown, targets, part), places))
    return np.concatenate(answers), {name: np.concatenate(own) for name, own in scores.items()}


def measure_outside(classifier: LesionClassifier, images: EvaluationSet) -> NDArray[np.float64]:
    """Return (N,) the share of each lesion that the model does not see; NaN for an empty mask."""
    masks = map(images.load_mask, range(len(images.image_ids)))
    return np.asarray([share_outside(mask, *classifier.seen_boxes([mask])) for mask in masks])


def score_faithfulness(
    classifier: LesionClassifier,
    images: EvaluationSet,
    mappers: Mapping[str, Mapper],
    rows: Sequence[int],
    *,
    road: int = 0,
    batch_size: int = 16,
) -> dict[str, faithfulness.Faithfulness]:
    """Measure deletion, insertion and ROAD of the maps of the predicted class of some images.

    ROAD is slow and computed for the first `road` rows only; it is NaN for the others.
    """
    found: dict[str, list[faithfulness.Faithfulness]] = {name: [] for name in mappers}
    for with_road, kind in ((True, rows[:road]), (False, rows[road:])):
        for part in _in_batches(kind, batch_size, "Taking pixels away"):
            shown = [images.load(row) for row in part]
            targets = classifier.predict(shown).argmax(axis=1)
            pixel_values = classifier.preprocess(shown).to(classifier.model.device)
            for name, mapper in mappers.items():
                maps = mapper(shown, targets, part)
                one = faithfulness.measure(
                    classifier.model, pixel_values, maps, targets, with_road=with_road
                )
                found[name].append(_without_flat(one, maps))
    return {name: faithfulness.join(own) for name, own in found.items()}


def answer_changed(
    classifier: LesionClassifier,
    images: EvaluationSet,
    rows: Sequence[int],
    *,
    batch_size: int = 32,
) -> dict[str, NDArray[np.float32]]:
    """Return (N, C) probabilities of the original images (`UNCHANGED`) and under each change.

    The row of an image is the seed of its overlays, so they are the same for every model.
    """
    answers: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (UNCHANGED, *CHANGES)}
    for part in _in_batches(rows, batch_size, "Changing images"):
        shown = [images.load(row) for row in part]
        masks = [images.load_mask(row) for row in part]
        answers[UNCHANGED].append(classifier.predict(shown, batch_size=batch_size))
        for name in CHANGES:
            changed = [
                change(image, mask, name, seed=row)
                for image, mask, row in zip(shown, masks, part, strict=True)
            ]
            answers[name].append(classifier.predict(changed, batch_size=batch_size))
    return {name: np.concatenate(own) for name, own in answers.items()}


def _mapper(classifier: LesionClassifier, method: str, *, fine: bool = False) -> Mapper:
    def explain(
        shown: Sequence[Image.Image], targets: NDArray[np.int64], _rows: Sequence[int]
    ) -> NDArray[np.float32]:
        return classifier.explain(shown, targets.tolist(), method, fine=fine).heatmaps

    return explain


def _without_flat(
    one: faithfulness.Faithfulness, maps: NDArray[np.float32]
) -> faithfulness.Faithfulness:
    """Return the scores with NaN where a map is flat."""
    flat = ~maps.any(axis=(1, 2))
    deletion, insertion, road = (
        np.where(flat, np.nan, values.T).T for values in (one.deletion, one.insertion, one.road)
    )
    return faithfulness.Faithfulness(deletion, insertion, road)


def _measure_localisation(
    classifier: LesionClassifier,
    images: EvaluationSet,
    methods: Sequence[str],
    mappers: Mapping[str, Mapper],
    effort: Effort,
) -> dict[str, Any]:
    count = len(images.image_ids)
    every, some = list(range(count)), draw_rows(count, effort.subset)
    controls = {name: mappers[name] for name in CONTROL_NAMES}
    finer = {FINE: mappers[FINE]}
    size = effort.batch_size
    probabilities, scores = score_localisation(
        classifier, images, every, methods=methods, mappers=controls, batch_size=size
    )
    _, fine = score_localisation(
        classifier, images, some, methods=(), mappers=finer, batch_size=size
    )
    scores[FINE] = np.full_like(scores[methods[0]], np.nan)  # where it was not measured
    scores[FINE][some] = fine[FINE]
    found = record.describe_localisation(
        {name: scores[name] for name in (*methods, FINE, *CONTROL_NAMES)},
        images.references,
        probabilities,
        images.lesion_ids,
        in_detail=(methods[0], *CONTROL_NAMES),
        rows_of={FINE: some},
    )
    outside = measure_outside(classifier, images)
    return {**found, "outside": record.describe_outside(outside, images.references)}


def _measure_faithfulness(
    classifier: LesionClassifier,
    images: EvaluationSet,
    mappers: Mapping[str, Mapper],
    effort: Effort,
) -> dict[str, Any]:
    first = choose_rows(images.references, min(effort.road, effort.faithful))
    every = choose_rows(images.references, effort.faithful)
    rows = [*first, *(row for row in every if row not in first)]
    found = score_faithfulness(classifier, images, mappers, rows, road=len(first))
    return record.describe_faithfulness(found, take_images(images, rows).lesion_ids)


def _in_batches(rows: Sequence[int], size: int, title: str) -> Iterator[list[int]]:
    """Yield rows in batches, with a progress bar."""
    with tqdm(total=len(rows), desc=title, unit="image", disable=None) as bar:
        for start in range(0, len(rows), size):
            part = list(rows[start : start + size])
            yield part
            bar.update(len(part))


def _no_masks(folder: Path, what: str) -> InputError:
    return InputError(
        f"{folder} lacks {what}, and heatmaps are scored against masks. Prepare it again from a "
        "source with HAM10000_segmentations_lesion_tschandl in it."
    )
