"""The tab on the data: what is in it, and what a careless split of it leaks; pictures first."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from charts import (
    SERIES,
    Bar,
    Point,
    box_rows,
    count_bars,
    figure,
    interval_rows,
    percent_bars,
    share_bars,
)

from hf_lesion.labels import CODES, MALIGNANT, NAMES

SUMMARY = Path(__file__).with_name("dataset.json")
OLDEST = 90  # years: the right end of the ages' scale
SCHEMES = {
    None: "split by lesion, as here",
    "image-level": "split by image",
    "copied-rows": "rows copied, then split",
}
TITLES = {
    "sex": "Sex",
    "dx_type": "How the diagnosis was made",
    "localization": "Where on the body",
    "dataset": "Where the images come from",
}
HOW_CERTAIN = (
    "“histo”: under the microscope; “follow_up”: it did not change; “consensus”: experts agreed; "
    "“confocal”: seen by confocal microscopy. The benign ones are the less certain ones."
)
AGES = "Box: half of the images; line: median; whiskers: 5 to 95 % of the images."
SOURCES = (
    "Source and diagnosis go together: a network can win by telling the camera instead of the "
    "lesion."
)


def read_summary(file: Path = SUMMARY) -> Mapping[str, Any]:
    """Read what `scripts/explore_data.py` wrote; empty if there is nothing."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def data(summary: Mapping[str, Any]) -> str:
    """Return the data tab.

    Args:
        summary: As from `read_summary`.
    """
    if not summary:
        return '<p class="note">The summary of the data is not in this folder.</p>'
    tables = summary["tables"]
    names = {code: NAMES[code] for code in CODES}
    kinds = {NAMES[code]: "malignant" for code in MALIGNANT}
    classes = {names[code]: count for code, count in summary["classes"].items()}
    ages = {names[code]: values for code, values in summary["age"].items()}
    lead = (
        f"HAM10000: {summary['images']:,} dermoscopic images of {summary['lesions']:,} lesions, "
        "from a clinic in Austria and a practice in Australia (Tschandl, Rosendahl, Kittler, 2018)."
    )
    parts = [
        figure(
            "Images of each diagnosis", count_bars(classes, kinds=kinds), _say_majority(classes)
        ),
        _leakage(summary),
        _price(summary),
        figure("Age", box_rows(ages, highest=OLDEST, unit="years"), AGES),
        *(
            figure(TITLES[column], _shares(tables[column]), caption)
            for column, caption in (
                ("sex", ""),
                ("dx_type", HOW_CERTAIN),
                ("localization", "The seven most frequent places; the rest together."),
                ("dataset", SOURCES),
            )
        ),
    ]
    return (
        f'<p class="lede">{escape(lead)} No image of it is shown here: what you see are counts.</p>'
        f'<div class="charts">{"".join(parts)}</div>'
    )


def _say_majority(classes: Mapping[str, int]) -> str:
    most = max(classes, key=lambda name: classes[name])
    share = classes[most] / sum(classes.values())
    return f"Always answering “{most}” is {share:.1%} accurate: look at balanced accuracy."


def _leakage(summary: Mapping[str, Any]) -> str:
    audits = summary.get("leakage") or []
    bars = [
        Bar(
            SCHEMES.get(audit["scheme"], str(audit["scheme"])),
            audit["share"],
            "malignant" if audit["leaks"] else "benign",
        )
        for audit in audits
    ]
    several = sum(int(n) * count for n, count in summary["images_per_lesion"].items() if int(n) > 1)
    return figure(
        "Test images whose lesion was in training",
        percent_bars(bars),
        f"{several:,} of the {summary['images']:,} images share their lesion with another one. "
        "Split by image, the same mole is learnt and tested, and the test measures memory. Here no "
        "lesion is on two sides. Where a split is drawn at random: the mean of "
        f"{max((audit['draws'] for audit in audits), default=1)} draws.",
    )


def _price(summary: Mapping[str, Any]) -> str:
    """Return the effect of leaks on a test's result; empty while that is not measured."""
    rows = summary.get("price") or []
    if not rows:
        return ""
    points = [Point(row["name"], row["balanced_accuracy"], tuple(row["interval"])) for row in rows]
    said = [
        "Balanced accuracy of the same recipe in short trainings. The first pair is tested on the "
        "same images, the second pair on lesions with a single image."
    ]
    for name, change in ((row["name"], row["difference"]) for row in rows if "difference" in row):
        low, high = change["interval"]
        effect = "an effect of the leak" if low > 0 else "no effect of the leak"
        said.append(
            f"With {name}: {change['mean']:+.3f} [{low:+.3f}, {high:+.3f}], {effect} on the test."
        )
    if len(rows) == 4 and _overlap(*(row["interval"] for row in rows[2:])):
        said.append("The intervals of the second pair overlap: no effect of the copies is shown.")
    return figure("Effect of leaks on the test", interval_rows(points), " ".join(said))


def _overlap(first: Sequence[float], second: Sequence[float]) -> bool:
    return first[0] <= second[1] and second[0] <= first[1]


def _shares(table: Mapping[str, Mapping[str, int]]) -> str:
    totals: dict[str, int] = {}
    for row in table.values():
        for column, count in row.items():
            totals[column] = totals.get(column, 0) + count
    order = sorted(totals, key=lambda column: -totals[column])
    if len(order) <= len(SERIES):
        return share_bars({NAMES[code]: row for code, row in table.items()}, order)
    shown, rest = order[: len(SERIES) - 1], order[len(SERIES) - 1 :]
    rows = {
        NAMES[code]: {
            **{column: row.get(column, 0) for column in shown},
            "other": sum(row.get(column, 0) for column in rest),
        }
        for code, row in table.items()
    }
    return share_bars(rows, [*shown, "other"])
