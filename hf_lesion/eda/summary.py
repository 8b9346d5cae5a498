"""Summary of a dataset: counts that the web demo shows without access to the dataset."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import BaseModel

from hf_lesion.eda.frame import count_images_per_lesion, tabulate
from hf_lesion.io.records import Record

TABLES = ("sex", "localization", "dx_type", "dataset")
# Pairs of experiments in scripts/experiments/compare_protocols.py.
ARMS = {
    ("leak", "without"): "no other image of the tested lesions in training",
    ("leak", "with"): "other images of the tested lesions in training",
    ("protocols", "honest"): "split by lesion, then rows copied",
    ("protocols", "copied"): "rows copied, then split by row",
}
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class _Mean(Record):
    mean: float


class _Average(Record):
    draws: int
    share: _Mean


class _Scheme(Record):
    name: str
    average: _Average | None = None


class _Seen(Record):
    share: float


class Audit(Record):
    """What is read of the record of scripts/audit_splits.py, leakage.json."""

    scheme: _Scheme | None
    leaks: bool
    test_rows_seen: _Seen
    fingerprint: str


class SplitLeakage(BaseModel):
    """Leakage of a splitting scheme: the fraction of test images whose lesion is in train."""

    scheme: str | None  # None: the splits of the dataset
    leaks: bool
    share: float  # in [0, 1]; mean over the draws of a random split
    draws: int
    fingerprint: str  # of the audited dataset


class LeakagePrice(BaseModel):
    """Balanced accuracy with or without leakage."""

    name: str  # description of the experiment
    balanced_accuracy: float  # mean over the seeds
    interval: tuple[float, float]  # 95%, bootstrap over lesions
    difference: dict[str, Any] | None = None  # `mean` and `interval`, paired with the previous


class DatasetSummary(BaseModel):
    """Counts of a dataset, without image_ids, lesion_ids or data on individual patients."""

    fingerprint: str
    images: int
    lesions: int
    classes: dict[str, int]
    splits: dict[str, int]
    images_per_lesion: dict[str, int]  # number of images → lesions
    age: dict[str, tuple[float, ...]]  # diagnosis → `QUANTILES` in years
    tables: dict[str, dict[str, dict[str, int]]]  # column → diagnosis → value → images
    leakage: list[SplitLeakage]
    price: list[LeakagePrice]


def summarise(
    frame: pd.DataFrame,
    *,
    fingerprint: str,
    audits: Sequence[Audit] = (),
    recipes: Mapping[str, Any] | None = None,
) -> DatasetSummary:
    """Summarise a dataset, with audits of its splits and of others.

    `recipes` is the record of scripts/experiments/compare_protocols.py.
    """
    tables = {column: tabulate(frame, column) for column in TABLES}
    ages = frame.dropna(subset=["age"]).groupby("dx", observed=True)["age"]
    return DatasetSummary(
        fingerprint=fingerprint,
        images=len(frame),
        lesions=frame["lesion_id"].nunique(),
        classes=_as_counts(frame["dx"].value_counts(sort=False)),
        splits=_as_counts(frame["split"].value_counts()),
        images_per_lesion=_as_counts(count_images_per_lesion(frame)),
        age={str(code): tuple(values.quantile(list(QUANTILES))) for code, values in ages},
        tables={
            column: {str(code): _as_counts(row) for code, row in table.iterrows()}
            for column, table in tables.items()
        },
        leakage=[_summarise_audit(audit) for audit in audits],
        price=_summarise_recipes(recipes or {}),
    )


def _as_counts(counts: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in counts.items()}


def _summarise_audit(audit: Audit) -> SplitLeakage:
    # The mean over many draws is more precise than a single draw.
    average = None if audit.scheme is None else audit.scheme.average
    return SplitLeakage(
        scheme=None if audit.scheme is None else audit.scheme.name,
        leaks=audit.leaks,
        share=average.share.mean if average else audit.test_rows_seen.share,
        draws=average.draws if average else 1,
        fingerprint=audit.fingerprint,
    )


def _summarise_recipes(recipes: Mapping[str, Any]) -> list[LeakagePrice]:
    """Return the available experiments, with intervals and paired differences."""
    rows = []
    for (part, arm), name in ARMS.items():
        for key, cell in recipes.get("cells", {}).items():
            if key.startswith(f"{part}-") and key.endswith(f"-{arm}"):
                score = cell["balanced_accuracy"]
                row = {"balanced_accuracy": score["mean"], "interval": score["interval"]}
                if paired := cell.get("difference", {}).get("balanced_accuracy"):
                    row["difference"] = paired
                rows.append(LeakagePrice(name=name, **row))
    return rows
