"""Measurement of one model's heatmaps, part by part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_lesion.classifier import LesionClassifier
from hf_lesion.evaluation.explanations import record
from hf_lesion.evaluation.explanations.masked_set import (
    Mapper,
    MaskedSet,
    answer_changed,
    build_mappers,
    measure_outside,
    score_faithfulness,
    score_localisation,
)
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.scoring import choose_rows, draw_rows
from hf_lesion.explain.names import CONTROL_NAMES, FINE
from hf_lesion.io.provenance import provenance

LOCALISATION, SHORTCUTS, FAITHFULNESS = "localisation", "shortcuts", "faithfulness"
PARTS = (LOCALISATION, SHORTCUTS, FAITHFULNESS)


@dataclass(frozen=True)
class Effort:
    """Number of images for the slow measurements."""

    subset: int = 400  # for the finer map and for shortcuts; at random
    faithful: int = 10  # of each diagnosis, for deletion and insertion
    road: int = 6  # of those, of each diagnosis, for ROAD
    batch_size: int = 32  # in memory at once


def measure_model(
    classifier: LesionClassifier,
    masked: MaskedSet,
    *,
    methods: Sequence[str],
    effort: Effort,
    parts: Sequence[str] = PARTS,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the parts of one split's entry of `explanations.json` as they are measured.

    Args:
        classifier: The model.
        masked: The split.
        methods: Of `explain.methods.METHODS`; the first is also measured for each class, as the
            controls are, and for its faithfulness.
        effort: On how many images what takes long is measured.
        parts: Of `PARTS`.
    """
    mappers: dict[str, Mapper] = {}
    if {LOCALISATION, FAITHFULNESS} & set(parts):
        mappers = build_mappers(classifier, masked.images, methods[0])
    if LOCALISATION in parts:
        found = _measure_localisation(classifier, masked, methods, mappers, effort)
        yield LOCALISATION, {**found, "provenance": provenance()}
    if SHORTCUTS in parts:
        some = draw_rows(len(masked.images.image_ids), effort.subset)
        answers = answer_changed(classifier, masked, some, batch_size=effort.batch_size)
        lesions = _take(masked.images.lesion_ids, some)
        found = record.describe_shortcuts(answers, masked.images.references[some], lesions)
        yield SHORTCUTS, {**found, "provenance": provenance()}
    if FAITHFULNESS in parts:
        found = _measure_faithfulness(classifier, masked, mappers, effort)
        yield FAITHFULNESS, {**found, "provenance": provenance()}


def describe_run(classifier: LesionClassifier, masked: MaskedSet, folder: Path) -> dict[str, Any]:
    """Return what is explained, of which weights (in `folder`), on which images."""
    images = masked.images
    return {
        "data": images.origin,
        "model": {"name": classifier.name, "weights_sha256": weights_sha256(folder)},
        "preprocessing": {
            **dict(zip(("height", "width"), classifier.image_size, strict=True)),
            "crop_mode": classifier.preprocessing.crop_mode,
        },
        "explained": "predicted class",
        "intervals": record.describe_interval(images.lesion_ids),
    }


def _measure_localisation(
    classifier: LesionClassifier,
    masked: MaskedSet,
    methods: Sequence[str],
    mappers: Mapping[str, Mapper],
    effort: Effort,
) -> dict[str, Any]:
    images = masked.images
    count = len(images.image_ids)
    every, some = list(range(count)), draw_rows(count, effort.subset)
    controls = {name: mappers[name] for name in CONTROL_NAMES}
    size = effort.batch_size
    probabilities, scores = score_localisation(
        classifier, masked, every, methods=methods, mappers=controls, batch_size=size
    )
    finer = {FINE: mappers[FINE]}
    _, fine = score_localisation(
        classifier, masked, some, methods=(), mappers=finer, batch_size=size
    )
    scores[FINE] = _spread(fine[FINE], some, len(every))
    found = record.describe_localisation(
        {name: scores[name] for name in (*methods, FINE, *CONTROL_NAMES)},
        images.references,
        probabilities,
        images.lesion_ids,
        in_detail=(methods[0], *CONTROL_NAMES),
        rows_of={FINE: some},
    )
    outside = measure_outside(classifier, masked, every)
    return {**found, "outside": record.describe_outside(outside, images.references)}


def _measure_faithfulness(
    classifier: LesionClassifier, masked: MaskedSet, mappers: Mapping[str, Mapper], effort: Effort
) -> dict[str, Any]:
    images = masked.images
    first = choose_rows(images.references, min(effort.road, effort.faithful))
    every = choose_rows(images.references, effort.faithful)
    rows = [*first, *(row for row in every if row not in first)]
    found = score_faithfulness(classifier, masked, mappers, rows, road=len(first))
    return record.describe_faithfulness(found, _take(images.lesion_ids, rows))


def _take(names: Sequence[str] | None, rows: Sequence[int]) -> list[str] | None:
    return None if names is None else [names[row] for row in rows]


def _spread(scores: NDArray[np.float64], rows: Sequence[int], images: int) -> NDArray[np.float64]:
    """Return scores of some rows as a table of all, NaN where nothing was measured."""
    table = np.full((images, scores.shape[1]), np.nan)
    table[list(rows)] = scores
    return table
