"""Everything that is measured about one model's heatmaps, in one go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_lesion.evaluation import explanation_record as record
from hf_lesion.evaluation.explanations import (
    FINE,
    Mapper,
    MaskedSet,
    build_mappers,
    choose_rows,
    score_faithfulness,
    score_localisation,
)
from hf_lesion.evaluation.record import weights_sha256
from hf_lesion.evaluation.shortcut_scores import answer_changed, describe_shortcuts
from hf_lesion.explain.controls import CONTROL_NAMES
from hf_lesion.inference import LesionClassifier
from hf_lesion.provenance import provenance


@dataclass(frozen=True)
class Effort:
    """How many images what takes long is measured on.

    Attributes:
        subset: For all methods but the first, and for shortcuts; drawn by chance.
        faithful: Of each diagnosis, for deletion and insertion; 0 leaves them out.
        road: Of those, of each diagnosis, for ROAD.
        batch_size: In memory at once.
    """

    subset: int = 400
    faithful: int = 10
    road: int = 6
    batch_size: int = 32


def measure_model(
    classifier: LesionClassifier,
    masked: MaskedSet,
    *,
    folder: Path,
    methods: Sequence[str],
    effort: Effort,
) -> dict[str, Any]:
    """Return one split's entry of `explanations.json`.

    Args:
        classifier: The model.
        masked: The split.
        folder: Where its weights lie.
        methods: Of `explain.methods.METHODS`; the first is measured on all images and for each
            class, and so are the controls.
        effort: On how many images the rest is measured.
    """
    images = masked.images
    every = list(range(len(images.image_ids)))
    mappers = build_mappers(classifier, images, methods)
    leading = {name: mappers[name] for name in (methods[0], *CONTROL_NAMES)}
    others = {name: mapper for name, mapper in mappers.items() if name not in leading}
    probabilities, scores = score_localisation(
        classifier, masked, leading, every, batch_size=effort.batch_size
    )
    some = sorted(np.random.default_rng(0).permutation(every)[: effort.subset].tolist())
    _, more = score_localisation(classifier, masked, others, some, batch_size=effort.batch_size)
    scores = {**scores, **{name: _spread(own, some, len(every)) for name, own in more.items()}}
    found: dict[str, Any] = {
        "data": {
            "source": images.source,
            "split": images.name,
            "fingerprint": images.fingerprint,
        },
        "model": {"name": classifier.name, "weights_sha256": weights_sha256(folder)},
        "preprocessing": dict(zip(("height", "width"), classifier.image_size, strict=True)),
        "explained": "predicted class",
        "intervals": record.describe_interval(images.lesion_ids),
        "localisation": record.describe_localisation(
            {name: scores[name] for name in mappers},
            images.references,
            probabilities,
            images.lesion_ids,
            in_detail=tuple(leading),
            rows_of=dict.fromkeys(others, some),
        ),
    }
    if effort.faithful:
        few = {name: mappers[name] for name in (methods[0], FINE, *CONTROL_NAMES)}
        found["faithfulness"] = _measure_faithfulness(classifier, masked, few, effort)
    answers = answer_changed(classifier, masked, some, batch_size=effort.batch_size)
    found["shortcuts"] = describe_shortcuts(
        answers, images.references[some], _take(images.lesion_ids, some)
    )
    found["provenance"] = provenance()
    return found


def _measure_faithfulness(
    classifier: LesionClassifier,
    masked: MaskedSet,
    mappers: Mapping[str, Mapper],
    effort: Effort,
) -> dict[str, Any]:
    images = masked.images
    rows = choose_rows(images.references, effort.faithful)
    road_rows = choose_rows(images.references, min(effort.road, effort.faithful))
    found = score_faithfulness(classifier, masked, mappers, rows, road_rows=road_rows)
    return record.describe_faithfulness(found, _take(images.lesion_ids, rows))


def _take(names: Sequence[str] | None, rows: Sequence[int]) -> list[str] | None:
    return None if names is None else [names[row] for row in rows]


def _spread(scores: NDArray[np.float64], rows: Sequence[int], images: int) -> NDArray[np.float64]:
    """Return scores of some rows as a table of all, NaN where nothing was measured."""
    table = np.full((images, scores.shape[1]), np.nan)
    table[list(rows)] = scores
    return table
