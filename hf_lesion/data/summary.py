"""A prepared dataset as a few counts: what a page can show without the dataset itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hf_lesion.data import exploration, observations
from hf_lesion.errors import InputError
from hf_lesion.labels import CODES

TABLES = ("sex", "localization", "dx_type", "dataset")
# Arms of `scripts/experiments/compare_protocols.py`, in pairs.
ARMS = {
    ("leak", "without"): "no other image of the tested lesions in training",
    ("leak", "with"): "other images of the tested lesions in training",
    ("protocols", "honest"): "split by lesion, then rows copied",
    ("protocols", "copied"): "rows copied, then split by row",
}
QUARTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def summarise(
    frame: pd.DataFrame,
    audits: Sequence[Mapping[str, Any]],
    recipes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return counts, age quantiles, tables, what to notice, and what each way to split leaks.

    No image, no image's name and no single patient is in it.

    Args:
        frame: As from `exploration.read_frame`.
        audits: Records that `scripts/audit_splits.py` wrote, of the splits as they are and of
            others.
        recipes: What `scripts/experiments/compare_protocols.py` wrote: the effect of leaks.
    """
    tables = {column: exploration.tabulate(frame, column) for column in TABLES}
    return {
        "images": len(frame),
        "lesions": int(frame["lesion_id"].nunique()),
        "classes": {code: int(n) for code, n in exploration.count_classes(frame).items()},
        "splits": {str(split): int(n) for split, n in frame["split"].value_counts().items()},
        "images_per_lesion": {
            str(n): int(count) for n, count in exploration.count_per_lesion(frame).items()
        },
        "age": _quantiles(frame),
        "tables": {column: _as_counts(table) for column, table in tables.items()},
        "notice": {
            "classes": observations.say_balance(frame),
            "malignant": observations.say_malignant(frame),
            "age": observations.say_age(frame),
            "sex": observations.say_sex(frame),
        },
        "leakage": [_summarise_audit(audit) for audit in audits],
        "price": _summarise_price(recipes or {}),
    }


def _summarise_price(recipes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the balanced accuracy of the arms that were run, and paired differences in it."""
    rows = []
    for (part, arm), name in ARMS.items():
        for key, cell in recipes.get("cells", {}).items():
            if key.startswith(f"{part}-") and key.endswith(f"-{arm}"):
                mean, interval = (
                    cell["balanced_accuracy"][which] for which in ("mean", "interval")
                )
                row = {"name": name, "balanced_accuracy": mean, "interval": interval}
                paired = cell.get("difference", {}).get("balanced_accuracy")
                rows.append(row | ({"difference": paired} if paired else {}))
    return rows


def _quantiles(frame: pd.DataFrame) -> dict[str, list[float]]:
    known = frame.dropna(subset=["age"])
    return {
        code: [float(value) for value in known.loc[known["dx"] == code, "age"].quantile(QUARTILES)]
        for code in CODES
        if (known["dx"] == code).any()
    }


def _as_counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    return {
        str(code): {str(value): int(count) for value, count in row.items()}
        for code, row in table.iterrows()
    }


def _summarise_audit(audit: Mapping[str, Any]) -> dict[str, Any]:
    try:
        scheme, seen = audit["scheme"] or {}, audit["test_rows_seen"]
        # Where a split is drawn at random, one draw says less than the mean of many.
        average = scheme.get("average")
        return {
            "scheme": scheme.get("name"),
            "leaks": bool(audit["leaks"]),
            "share": float(average["share"]["mean"] if average else seen["share"]),
            "draws": int(average["draws"]) if average else 1,
            "fingerprint": audit["fingerprint"],
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "Expected a record that scripts/audit_splits.py wrote (leakage.json)."
        ) from error
