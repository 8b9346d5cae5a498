"""The explanations record, `explanations.json`: heatmap scores of each split with intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import RootModel

from hf_lesion.errors import InputError
from hf_lesion.evaluation.bootstrap import estimate, estimate_metrics
from hf_lesion.evaluation.report.record import SCHEMA_VERSION, Part, compact_json
from hf_lesion.explain.faithfulness import (
    DELETION,
    INSERTION,
    ROAD,
    ROAD_PERCENTILES,
    SHARES,
    Faithfulness,
)
from hf_lesion.explain.mask_overlap import MEASURES, RATIO, THRESHOLDS
from hf_lesion.explain.names import CONTROL_NAMES, FINE, GAUSSIAN
from hf_lesion.explain.placement import NOTABLE
from hf_lesion.io.files import write_text
from hf_lesion.io.records import read_record
from hf_lesion.labels import CODES

EXPLANATIONS = "explanations.json"
UNCHANGED = "unchanged"  # of answers to changed images
MEDIANS = (MEASURES.index(RATIO),)
AREAS = (DELETION, INSERTION, ROAD)


def describe_localisation(
    scores: Mapping[str, NDArray[np.float64]],
    references: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    lesion_ids: Sequence[str] | None,
    *,
    in_detail: Sequence[str],
    rows_of: Mapping[str, Sequence[int]],
) -> dict[str, Any]:
    """Return the scores of each method and baseline, right and wrong predictions apart.

    `scores` are (N, M) by name in the order of `MEASURES`; the first is the one that `FINE`
    averages. Those `in_detail` are also measured for each class. `rows_of` a name are those that it
    was measured on, where they are not all; its others are NaN.
    """
    every = range(len(references))
    measured = {name: np.isin(every, rows_of.get(name, every)) for name in scores}
    is_right = probabilities.argmax(axis=1) == references
    sides = {"all": np.ones(len(references), bool), "right": is_right, "wrong": ~is_right}
    first = next(iter(scores))
    found: dict[str, Any] = {}
    for name, table in scores.items():
        found[name] = {
            side: _summarise(table, rows & measured[name], lesion_ids)
            for side, rows in sides.items()
        }
        found[name]["flat"] = int(np.isnan(table[measured[name], 0]).sum())
        if name in in_detail:
            found[name]["classes"] = {
                code: {
                    side: _summarise(table, rows & (references == index), lesion_ids)
                    for side, rows in sides.items()
                    if side != "all"
                }
                for index, code in enumerate(CODES)
            }
    return {
        "measures": list(MEASURES),
        "thresholds": list(THRESHOLDS),
        "images": len(references),
        "maps": found,
        "against_gaussian": {
            name: _differ(table, scores[GAUSSIAN], lesion_ids, MEASURES, MEDIANS)
            for name, table in scores.items()
            if name not in CONTROL_NAMES
        },
        "fine_against": _differ(scores[FINE], scores[first], lesion_ids, MEASURES, MEDIANS),
    }


def describe_outside(shares: NDArray[np.float64], references: NDArray[np.int64]) -> dict[str, Any]:
    """Return the number of images of whose lesion a notable share is outside of the input."""
    is_notable = shares > NOTABLE
    return {
        "share": NOTABLE,
        "images": int(is_notable.sum()),
        "classes": {
            code: int(is_notable[references == index].sum()) for index, code in enumerate(CODES)
        },
    }


def describe_faithfulness(
    found: Mapping[str, Faithfulness], lesion_ids: Sequence[str] | None
) -> dict[str, Any]:
    """Return curves, areas under them and ROAD of each method and baseline, with intervals."""
    areas = {name: one.areas() for name, one in found.items()}
    maps = {}
    for name, one in found.items():
        estimates = estimate(areas[name], lesion_ids)
        maps[name] = {
            **{area: value.rounded() for area, value in zip(AREAS, estimates, strict=True)},
            "curves": {
                DELETION: np.nanmean(one.deletion, axis=0).round(4).tolist(),
                INSERTION: np.nanmean(one.insertion, axis=0).round(4).tolist(),
            },
        }
    first = next(iter(found))
    return {
        "images": len(found[first].road),
        "road_images": int((~np.isnan(found[GAUSSIAN].road)).sum()),
        "road_percentiles": list(ROAD_PERCENTILES),
        "shares": list(SHARES),
        "maps": maps,
        "against_gaussian": {
            name: _differ(own, areas[GAUSSIAN], lesion_ids, AREAS)
            for name, own in areas.items()
            if name not in CONTROL_NAMES
        },
        "fine_against": _differ(areas[FINE], areas[first], lesion_ids, AREAS),
    }


def describe_shortcuts(
    answers: Mapping[str, NDArray[np.float32]],
    references: NDArray[np.int64],
    lesion_ids: Sequence[str] | None,
) -> dict[str, Any]:
    """Return how often the prediction stays the same, and the balanced accuracy under each change.

    `answers` are (N, C) probabilities under each change and of the original images (`UNCHANGED`).
    """
    before = answers[UNCHANGED].argmax(axis=1)
    found: dict[str, dict[str, Any]] = {}
    for name, own in answers.items():
        counts = np.bincount(own.argmax(axis=1), minlength=len(CODES))
        scores = estimate_metrics(own, references, lesion_ids, names=["balanced_accuracy"])
        found[name] = {
            "balanced_accuracy": scores["balanced_accuracy"].rounded(),
            "answers": dict(zip(CODES, counts.tolist(), strict=True)),
        }
        if name != UNCHANGED:
            same = (own.argmax(axis=1) == before).astype(float)[:, None]
            found[name]["same_answer"] = estimate(same, lesion_ids)[0].rounded()
    return {"images": len(references), **found.pop(UNCHANGED), "changes": found}


class Entry(Part):
    """The parts that were measured of one split, as `describe_…` makes them."""

    schema_version: Literal[1]


class Explanations(RootModel[dict[str, Entry]]):
    """The entries of all splits (`explanations.json`)."""


def write_explanations(folder: Path, split: str, parts: Mapping[str, Any]) -> Path:
    """Write parts of one split's entry into `explanations.json`; the others stay."""
    path = folder / EXPLANATIONS
    record = read_explanations(path) if path.exists() else {}
    record[split] = {**record.get(split, {}), "schema_version": SCHEMA_VERSION, **parts}
    write_text(path, compact_json(record))
    return path


def read_explanations(path: Path) -> dict[str, Any]:
    """Read `explanations.json`, given as the file or as the folder that holds it."""
    file = path / EXPLANATIONS if path.is_dir() else path
    found = read_record(file, Explanations, fix="Delete it and score again.")
    if found is None:
        raise InputError(f"{file} not found. Create it with scripts/explain_images.py score.")
    return found.model_dump()


def _summarise(
    table: NDArray[np.float64], rows: NDArray[np.bool_], lesion_ids: Sequence[str] | None
) -> dict[str, Any]:
    lesions = None if lesion_ids is None else np.asarray(lesion_ids)[rows].tolist()
    estimates = estimate(table[rows], lesions, medians=MEDIANS)
    return {
        "images": int(rows.sum()),
        **{name: one.rounded() for name, one in zip(MEASURES, estimates, strict=True)},
    }


def _differ(
    table: NDArray[np.float64],
    base: NDArray[np.float64],
    lesion_ids: Sequence[str] | None,
    names: Sequence[str],
    medians: Sequence[int] = (),
) -> dict[str, list[float]]:
    """Return how much more than `base` the table has of each measure, on the same images."""
    estimates = estimate(table, lesion_ids, minus=base, medians=medians)
    return {name: one.rounded() for name, one in zip(names, estimates, strict=True)}
