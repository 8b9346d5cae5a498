"""What was measured of one model besides its answers: thresholds, groups, its gate, robustness.

Every function takes a record from beside the weights and returns a chart with its numbers, nothing
where that was not measured, or raises KeyError, TypeError or ValueError where it is no such record.
"""

from collections.abc import Mapping
from typing import Any

from catalogue import Entry, dig
from charts import Bar, Point, figure, interval_rows, percent_bars, say_point
from markup import more, text_table

from hf_lesion.labels import LABEL_GROUPS
from hf_lesion.ood.gate import parse_gate_record

THRESHOLD_ROWS = (
    "threshold",
    "fixed on validation to find",
    "sensitivity",
    "specificity",
    "at a prevalence of",
    "PPV",
    "missed per 1,000",
    "false alarms per 1,000",
)
BALANCED = "balanced_accuracy"
GROUPS = {
    "sex": "sex",
    "age": "age",
    "dataset": "source",
    "localization": "place",
    "dx_type": "diagnosed by",
}
DRAWN_GROUPS = ("sex", "age", "dataset")
GROUP_COLUMNS = {
    "accuracy": "accuracy",
    "sensitivity_mel": "melanomas called so",
    "malignant_auroc": "malignant or not: AUROC",
    "malignant_sensitivity": "its threshold: sensitivity",
    "malignant_specificity": "specificity",
}
FEW = " †"
FEW_NOTE = "† Fewer than 30 images: an anecdote, not a measurement."
# As scripts/fit_gate.py calls what it tests with; the rest by its own name.
STRANGERS = {
    "half of the photos": "everyday photos",
    "opencv-doc": "pictures of a manual",
    "gimp-help": "screenshots",
}
RETAKEN = ", retaken"


def operating_points(part: Mapping[str, Any]) -> str:
    """Return the thresholds of one split's record: what they find, miss and alarm about."""
    found = {name: dig(part, "operating_points", name) for name in LABEL_GROUPS}
    found = {name: point for name, point in found.items() if point is not None}
    if not found:
        return ""
    points = []
    for name, point in found.items():
        hit, left = (point_of(point, key) for key in ("sensitivity", "specificity"))
        points.append(Point(f"{name}: flagged", hit.value, hit.interval))
        points.append(Point(f"not {name}: not flagged", left.value, left.interval))
    columns = [_threshold_cells(point) for point in found.values()]
    rows = list(zip(THRESHOLD_ROWS, *columns, strict=True))
    return figure(
        "What the thresholds find",
        interval_rows(points) + text_table(["flagged as", *found], rows, "Thresholds"),
        "An image is flagged where the score reaches the threshold, which was fixed on "
        "validation. PPV: the share of the flagged that have it. PPV and what is counted per 1,000 "
        "hold for the prevalence in the table; at yours they are others.",
    )


def _threshold_cells(point: Mapping[str, Any]) -> list[str]:
    counts = [point_of(point, f"{name}_per_1000").value for name in ("misses", "false_alarms")]
    return [
        f"{point['threshold']:.3f}",
        f"{100 * point['target_sensitivity']:.0f}%",
        *(say_point(point_of(point, name)) for name in ("sensitivity", "specificity")),
        f"{100 * point['prevalence']:g}%",
        say_point(point_of(point, "ppv")),
        *("not measured" if count is None else f"{count:.1f}" for count in counts),
    ]


def subgroups(part: Mapping[str, Any]) -> str:
    """Return how one split's groups are served: by sex, age and source, and in figures by all."""
    found = dig(part, "subgroups")
    if not isinstance(found, Mapping):
        return ""
    points, rows = [], []
    for column, title in GROUPS.items():
        for name, group in (found.get(column) or {}).items():
            mark = FEW if group.get("warning") else ""
            named = f"{title}: {name}{mark}"
            values = [point_of(group, metric) for metric in GROUP_COLUMNS]
            rows.append([named, f"{group['images']:,}", *map(say_point, values)])
            if column in DRAWN_GROUPS:
                auroc = point_of(group, "malignant_auroc")
                drawn = f"{named} ({group['images']:,} images)"
                points.append(Point(drawn, auroc.value, auroc.interval))
    table = text_table(["group", "images", *GROUP_COLUMNS.values()], rows, "Groups")
    return figure(
        "Whom it serves worse",
        interval_rows(points) + more("All groups in figures", table),
        "How well malignant and benign images are told apart (AUROC: 0.5 is chance). Groups have "
        f"other diagnoses, some hardly any malignant ones. {FEW_NOTE} Skin tone is not recorded in "
        "HAM10000, so it can't be in this list.",
    )


def gate(entry: Entry) -> str:
    """Return how often the gate rejects dermoscopic images, and how many of other kinds."""
    if not entry.gate:
        return ""
    found = parse_gate_record(entry.gate)
    test = found.dermoscopic["test"]
    others = {STRANGERS.get(name, name): one for name, one in found.other.items()}
    bars = [Bar("dermoscopic", test.refused or 0.0, "malignant")]
    bars += [Bar(name, one.refused or 0.0) for name, one in others.items() if RETAKEN not in name]
    sources = {"dermoscopic": test, **{f"  {code}": one for code, one in test.by_class.items()}}
    sources |= {name: one for name, one in found.dermoscopic.items() if name != "test"} | others
    rows = [[name, f"{one.images:,}", one.text] for name, one in sources.items()]
    table = text_table(["images of", "number", "rejected"], rows, "What the gate rejects")
    phone = "" if found.summary else " Not tested: phone photos of skin."
    return figure(
        "What the gate rejects",
        percent_bars(bars) + more("All kinds in figures", table),
        f"Red are false alarms: {_percent(test.refused, 1)} of {test.images:,} dermoscopic test "
        f"images are rejected. “Unsure” is said of {_percent(test.unsure)}, and of "
        f"{_percent(test.right_unsure)} of the right answers; {_percent(test.accuracy_unsure)} of "
        f"the unsure answers are right and {_percent(test.accuracy_accepted)} of the accepted "
        f"ones. {found.summary}{phone}",
    )


def _percent(share: float | None, digits: int = 0) -> str:
    return "an unknown share" if share is None else f"{100 * share:.{digits}f}%"


def robustness(entry: Entry) -> str:
    """Return balanced accuracy when images are changed, the worst first."""
    found = entry.robustness
    changed = found.get("distortions")
    if not changed:
        return ""
    ordered = sorted(changed.values(), key=lambda one: one["metrics"][BALANCED])
    before, always = (point_of(found[name], BALANCED) for name in ("unchanged", "always_right"))
    worst = changed.get(found.get("worst"), ordered[0])
    points = [Point("unchanged", before.value, before.interval)]
    for one in ordered:
        few = "" if one["images"] == found["images"] else f" ({one['images']:,} images)"
        own = point_of(one, BALANCED)
        points.append(Point(one["label"] + few, own.value, own.interval))
    columns = ["change", "difference", "melanomas called so", "same answer"]
    table = text_table(columns, list(map(_change_cells, ordered)), "Changed images")
    return figure(
        "What shakes it",
        interval_rows(points, mark=before.value) + more("Differences in figures", table),
        f"Balanced accuracy on changed test images, the worst first: {worst['label']} leaves "
        f"{worst['metrics'][BALANCED]:.3f} of {before.value:.3f} (the line). Counting only images "
        f"that are answered rightly under every change: {say_point(always)}.",
    )


def _change_cells(one: Mapping[str, Any]) -> list[str]:
    change, low, high = one["difference"]
    return [
        one["label"],
        f"{change:+.3f} [{low:+.3f}, {high:+.3f}]",
        say_point(point_of(one, "sensitivity_mel")),
        f"{100 * one['agreement']:.1f}%",
    ]


def point_of(record: Mapping[str, Any], name: str) -> Point:
    """Return one value of a record with its interval, wherever that kind of record keeps it."""
    value = dig(record, "metrics", name)
    bounds = dig(record, "intervals", "bounds", name) or dig(record, "intervals", name)
    is_pair = isinstance(bounds, list) and None not in bounds
    interval = (bounds[0], bounds[1]) if is_pair and value is not None else None
    return Point(name, value, interval)
