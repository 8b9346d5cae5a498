"""Subgroups: scores by age, sex, site, source and other metadata.

Columns are those of HAM10000's metadata, which do not include the skin tone.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hf_lesion.calibration.thresholds import OperatingPoint
from hf_lesion.evaluation.bootstrap import Estimate, as_entries, estimate_metrics
from hf_lesion.evaluation.curves import auroc
from hf_lesion.evaluation.discrimination import measure_point, measure_question
from hf_lesion.evaluation.predictions import Predictions, take
from hf_lesion.labels import CODES

SKIN_TONE = (
    "Skin tone is not recorded in HAM10000, so how the model does on darker or lighter skin cannot "
    "be measured from it."
)
FEWEST = 30  # images below which a number is anecdotal
UNKNOWN = "unknown"
AGE = "age"
# Column → how a reader knows it. "dataset" is the source of an image, as the metadata calls it.
COLUMNS = {
    "sex": "sex",
    AGE: "age",
    "localization": "localization",
    "dx_type": "dx_type",
    "dataset": "source",
}
AGE_EDGES = (30, 45, 60, 75)
SHOWN = ("accuracy", "balanced_accuracy", "sensitivity_mel")
DIGITS = 5


def name_values(column: str, values: Sequence[Any]) -> tuple[str | None, ...]:
    """Return the subgroup of each value of a column of `COLUMNS`; ages become bands.

    None, NaN and "" are unknown: a subgroup of its own by age, none by other columns.
    """
    if column != AGE:
        known = (str(value).strip() if pd.notna(value) else None for value in values)
        return tuple(value or None for value in known)
    first, *_, last = AGE_EDGES
    bands = [f"{low} to {high - 1}" for low, high in itertools.pairwise(AGE_EDGES)]
    labels = [f"under {first}", *bands, f"{last} and over"]
    ages = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce")
    found = pd.cut(ages, [-np.inf, *AGE_EDGES, np.inf], right=False, labels=labels)
    return tuple(found.astype(object).fillna(UNKNOWN))


def measure_groups(
    predictions: Predictions,
    groups: Mapping[str, Sequence[str | None]],
    *,
    point: OperatingPoint | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the scores of every value of every column, with intervals; None belongs to no group.

    Balanced accuracy is over the diagnoses of a group: it does not compare groups with different
    diagnoses. `point` is the malignancy threshold, if the model has one.
    """
    found: dict[str, dict[str, Any]] = {}
    for column, values in groups.items():
        known = sorted({value for value in values if value is not None}, key=_rank)
        rows = {value: np.flatnonzero([v == value for v in values]) for value in known}
        found[column] = {value: _measure(take(predictions, rows[value]), point) for value in known}
    return found


def _measure(predictions: Predictions, point: OperatingPoint | None) -> dict[str, Any]:
    references, lesions = predictions.references, predictions.lesion_ids
    found = estimate_metrics(predictions.probabilities, references, lesions, names=SHOWN)
    area = measure_question(predictions, "malignant", {"auroc": auroc})
    found["malignant_auroc"] = area["auroc"]
    if point is not None:
        measured = measure_point(point, predictions, prevalence=0.5)
        for name in ("sensitivity", "specificity"):
            found[f"malignant_{name}"] = measured[name]
    images = len(references)
    counts = np.bincount(references, minlength=len(CODES)).tolist()
    return {
        "images": images,
        "lesions": None if lesions is None else len(set(lesions)),
        "class_counts": dict(zip(CODES, counts, strict=True)),
        **as_entries({name: Estimate(*one.rounded(DIGITS)) for name, one in found.items()}),
        "warning": f"fewer than {FEWEST} images" if images < FEWEST else None,
    }


def _rank(value: str) -> tuple[int, str]:
    """Sort by the alphabet, but ages from young to old and the unknown last."""
    return (2 if value == UNKNOWN else 0 if value.startswith("under ") else 1, value)
