"""Measurement of heatmaps on images with masks: overlap, faithfulness, baselines, shortcuts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from hf_lesion.classifier import LesionClassifier
from hf_lesion.evaluation import bootstrap
from hf_lesion.evaluation.explanations import record
from hf_lesion.evaluation.explanations.record import UNCHANGED
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.scoring import (
    EvaluationSet,
    choose_rows,
    draw_rows,
    take_images,
)
from hf_lesion.explain import baselines, faithfulness
from hf_lesion.explain.mask_overlap import MEASURES, place_masks, score_maps
from hf_lesion.explain.names import CONTROL_NAMES, FINE, GAUSSIAN, RANDOM, UNTRAINED
from hf_lesion.explain.placement import share_outside
from hf_lesion.explain.shortcuts import CHANGES, change
from hf_lesion.io.provenance import provenance

LOCALISATION, SHORTCUTS, FAITHFULNESS = "localisation", "shortcuts", "faithfulness"
PARTS = (LOCALISATION, SHORTCUTS, FAITHFULNESS)
# From images and the classes to explain (and the images' row numbers) to (B, H, W) maps.
Mapper = Callable[[Sequence[Image.Image], NDArray[np.int64], Sequence[int]], NDArray[np.float32]]
FEW = 16  # images in memory at once while pixels are taken away
CALIBRATION_IMAGES = 64  # that an untrained copy's batch norms see


@dataclass(frozen=True)
class Effort:
    """Number of images for the slow measurements."""

    subset: int = 400  # for the finer map and for shortcuts; at random
    faithful: int = 10  # of each diagnosis, for deletion and insertion
    road: int = 6  # of those, of each diagnosis, for ROAD
    batch_size: int = 32  # in memory at once


def measure_model(
    classifier: LesionClassifier,
    images: EvaluationSet,
    *,
    methods: Sequence[str],
    effort: Effort,
    parts: Sequence[str] = PARTS,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the `parts` of one split's entry of `explanations.json` as they are measured.

    The first of the `methods` is also measured for each class, as the controls are, and for its
    faithfulness.
    """
    mappers = {} if set(parts) == {SHORTCUTS} else build_mappers(classifier, images, methods[0])
    measures = {
        LOCALISATION: lambda: _localise(classifier, images, methods, mappers, effort),
        SHORTCUTS: lambda: _change(classifier, images, effort),
        FAITHFULNESS: lambda: _perturb(classifier, images, mappers, effort),
    }
    for part, measure in measures.items():
        if part in parts:
            yield part, {**measure(), "provenance": provenance()}


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


def _mapper(classifier: LesionClassifier, method: str, *, fine: bool = False) -> Mapper:
    def explain(
        shown: Sequence[Image.Image], targets: NDArray[np.int64], _rows: Sequence[int]
    ) -> NDArray[np.float32]:
        return classifier.explain(shown, targets.tolist(), method, fine=fine).heatmaps

    return explain


def _localise(
    classifier: LesionClassifier,
    images: EvaluationSet,
    methods: Sequence[str],
    mappers: Mapping[str, Mapper],
    effort: Effort,
) -> dict[str, Any]:
    """Score maps of the predicted class of each image against its mask."""
    count = len(images.image_ids)
    scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in (*methods, *CONTROL_NAMES)}
    probabilities, outside = [], []
    for rows in _in_batches(range(count), effort.batch_size, "Localising"):
        shown, masks = _load(images, rows)
        explained = classifier.explain_methods(shown, methods)
        probabilities.append(explained[methods[0]].probabilities)
        outside += [share_outside(mask, *classifier.seen_boxes([mask])) for mask in masks]
        maps = {name: own.heatmaps for name, own in explained.items()}
        targets = probabilities[-1].argmax(axis=1)
        maps |= {name: mappers[name](shown, targets, rows) for name in CONTROL_NAMES}
        places = place_masks(masks, classifier.preprocess)
        for name, own in maps.items():
            scores[name].append(score_maps(own, places))
    some = draw_rows(count, effort.subset)
    fine = np.full((count, len(MEASURES)), np.nan)  # where it is not measured
    for rows in _in_batches(some, effort.batch_size, "Localising"):
        shown, masks = _load(images, rows)
        heatmaps = mappers[FINE](shown, classifier.predict(shown).argmax(axis=1), rows)
        fine[rows] = score_maps(heatmaps, place_masks(masks, classifier.preprocess))
    joined = {name: np.concatenate(own) for name, own in scores.items()}
    found = record.describe_localisation(
        {name: fine if name == FINE else joined[name] for name in (*methods, FINE, *CONTROL_NAMES)},
        images.references,
        np.concatenate(probabilities),
        images.lesion_ids,
        in_detail=(methods[0], *CONTROL_NAMES),
        rows_of={FINE: some},
    )
    return {**found, "outside": record.describe_outside(np.asarray(outside), images.references)}


def _change(classifier: LesionClassifier, images: EvaluationSet, effort: Effort) -> dict[str, Any]:
    """Predict images with each change; the row of an image is the seed, the same for all models."""
    chosen = draw_rows(len(images.image_ids), effort.subset)
    answers: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (UNCHANGED, *CHANGES)}
    for rows in _in_batches(chosen, effort.batch_size, "Changing images"):
        shown, masks = _load(images, rows)
        answers[UNCHANGED].append(classifier.predict(shown))
        for name in CHANGES:
            triples = zip(shown, masks, rows, strict=True)
            changed = [change(image, mask, name, seed=row) for image, mask, row in triples]
            answers[name].append(classifier.predict(changed))
    some = take_images(images, chosen)
    joined = {name: np.concatenate(own) for name, own in answers.items()}
    return record.describe_shortcuts(joined, some.references, some.lesion_ids)


def _perturb(
    classifier: LesionClassifier,
    images: EvaluationSet,
    mappers: Mapping[str, Mapper],
    effort: Effort,
) -> dict[str, Any]:
    """Measure deletion and insertion of a few images of each class, and ROAD of the first."""

    def network(pixels: torch.Tensor) -> torch.Tensor:
        return classifier.model(pixel_values=pixels).logits.softmax(dim=-1)

    with_road = choose_rows(images.references, min(effort.road, effort.faithful))
    every = choose_rows(images.references, effort.faithful)
    others = [row for row in every if row not in with_road]
    found: dict[str, list[faithfulness.Faithfulness]] = {name: [] for name in mappers}
    for chosen in (with_road, others):
        for rows in _in_batches(chosen, FEW, "Taking pixels away"):
            shown = [images.load(row) for row in rows]
            targets = classifier.predict(shown).argmax(axis=1)
            pixel_values = classifier.preprocess(shown).to(classifier.model.device)
            for name, mapper in mappers.items():
                maps = mapper(shown, targets, rows)
                one = faithfulness.measure(
                    network, pixel_values, maps, targets, with_road=chosen is with_road
                )
                for values in one:
                    values[~maps.any(axis=(1, 2))] = np.nan  # a flat map has no order
                found[name].append(one)
    joined = {
        name: faithfulness.Faithfulness(*map(np.concatenate, zip(*own, strict=True)))
        for name, own in found.items()
    }
    lesions = take_images(images, [*with_road, *others]).lesion_ids
    return record.describe_faithfulness(joined, lesions)


def _load(
    images: EvaluationSet, rows: Sequence[int]
) -> tuple[list[Image.Image], list[Image.Image]]:
    """Return some images and their masks."""
    return [images.load(row) for row in rows], [images.load_mask(row) for row in rows]


def _in_batches(rows: Sequence[int], size: int, title: str) -> Iterator[list[int]]:
    """Yield rows in batches, with a progress bar."""
    with tqdm(total=len(rows), desc=title, unit="image", disable=None) as bar:
        for start in range(0, len(rows), size):
            part = list(rows[start : start + size])
            yield part
            bar.update(len(part))
