"""The tab on the models: what was measured of each, pictures first, every number in words too."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from catalogue import Entry, Measure, dig, measure_ensemble
from charts import Point, curves, figure, interval_rows, matrix
from measured import gate, operating_points, point_of, robustness, subgroups

from hf_lesion.explain.names import name_of
from hf_lesion.labels import CODES, NAMES

CHANCE = 1 / len(CODES)
ENSEMBLE = "ensemble, the mean of all"
SCORES, RELIABILITY = "model's scores", "stated share of right answers"


def models(entries: Sequence[Entry]) -> str:
    """Return the models tab: what was measured of each, from the records beside the weights."""
    points = [_point(entry.name, entry.measure) for entry in entries]
    mean = measure_ensemble(entries) if len(entries) > 1 else None
    if mean is not None:
        points.insert(0, _point(ENSEMBLE, mean))
    overview = figure(
        "Balanced accuracy",
        interval_rows(points, mark=CHANCE),
        "The mean of the seven sensitivities: a program that always says the same has 0.143 (the "
        "line). Brackets and bars: 95% intervals, by bootstrap over lesions.",
    )
    each = (_model(entry, is_open=entry is entries[0]) for entry in entries)
    return f'<div class="charts">{overview}</div>{"".join(each)}'


def _point(name: str, measure: Measure | None) -> Point:
    if measure is None:
        return Point(name, None)
    return Point(f"{name} ({measure.split})", measure.balanced_accuracy, measure.interval)


def _model(entry: Entry, *, is_open: bool) -> str:
    head = f'<summary><h2 class="model">{escape(entry.name)}</h2></summary>'
    opened = " open" if is_open else ""
    stale = "".join(
        f'<p class="note warning" role="note">{escape(file)} is not of the weights that are '
        "served, so it is not used.</p>"
        for file in entry.stale
    )
    if entry.measure is None:
        reason = "" if entry.stale else ": there is no report.json beside the weights"
        return (
            f'<details class="one-model"{opened}>{head}{stale}<p class="note">Nothing was measured'
            f"{reason}.</p></details>"
        )
    part = entry.report[entry.measure.split]
    parts = [
        _sensitivities(part),
        _confusion(part),
        _drawn(operating_points, part),
        _drawn(_reliability, part),
        _drawn(robustness, entry),
        _drawn(gate, entry),
        _drawn(subgroups, part),
        _explanations(entry),
    ]
    return (
        f'<details class="one-model"{opened}>{head}{stale}'
        f'<p class="lede">{escape(_facts(entry, part))}'
        f'</p><div class="charts">{"".join(parts)}</div></details>'
    )


def _drawn(draw: Callable[[Any], str], record: object) -> str:
    try:
        return draw(record)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return ""  # a record of another version: the page can do without this chart


def _facts(entry: Entry, part: Mapping[str, Any]) -> str:
    network = entry.record.get("architecture") or dig(entry.record, "model", "model")
    weights = entry.record.get("parameters")
    size = dig(part, "preprocessing", "width")
    sha = dig(part, "model", "weights_sha256")
    facts = [
        f"{network}" if network else "",
        f"{weights / 1e6:.1f} million weights" if isinstance(weights, int) else "",
        f"{size} px" if size else "",
        f"measured on {part.get('images', 0):,} images of {_count(part.get('lesions'))} lesions",
        f"weights {sha[:12]}" if isinstance(sha, str) else "",
    ]
    return ", ".join(fact for fact in facts if fact) + "."


def _count(number: object) -> str:
    return f"{number:,}" if isinstance(number, int) else "unknown"


def _sensitivities(part: Mapping[str, Any]) -> str:
    points = []
    for code in CODES:
        found = point_of(part, f"sensitivity_{code}")
        count = dig(part, "class_counts", code)
        name = f"{NAMES[code]} ({count:,})" if isinstance(count, int) else NAMES[code]
        points.append(Point(name, found.value, found.interval))
    return figure(
        "How many of each are found",
        interval_rows(points),
        "Sensitivity: the share of the images of a diagnosis that the model calls by its name. In "
        "round brackets: how many there are. The wide intervals are those of rare diagnoses.",
    )


def _confusion(part: Mapping[str, Any]) -> str:
    counts = part.get("confusion_matrix")
    if not isinstance(counts, list):
        return ""
    return figure(
        "What is taken for what",
        matrix(counts, CODES, corner="true ↓ said →"),
        "Each row is one true diagnosis; the darker a cell, the larger its share of the row.",
    )


def _reliability(part: Mapping[str, Any]) -> str:
    found = dig(part, "calibration")
    kinds = {SCORES: dig(found, "answers"), RELIABILITY: dig(found, "reliability")}
    measured = {kind: one for kind, one in kinds.items() if _is_measured(one)}
    if not measured:
        return ""
    errors = []
    for kind, one in measured.items():
        chance = dig(one, "chance", "ece", "upper")
        beside = f", {chance:.3f} would be chance at most" if isinstance(chance, float) else ""
        errors.append(f"Calibration error of the {kind}: {one['metrics']['ece']:.3f}{beside}.")
    words = (
        f"{' '.join(errors)} At the dataset's mix of diagnoses. On the dashed line, answers are "
        "right as often as they claim; below it the model claims too much."
    )
    lines = {
        kind: (one["reliability"]["confidence"], one["reliability"]["accuracy"])
        for kind, one in measured.items()
    }
    drawn = curves(
        lines, across="claimed probability", up="share that was right", words=words, diagonal=True
    )
    return figure("Does it know how sure it is?", drawn, words)


def _is_measured(calibration: object) -> bool:
    error = dig(calibration, "metrics", "ece")
    return isinstance(dig(calibration, "reliability"), Mapping) and isinstance(error, float)


def _explanations(entry: Entry) -> str:
    maps = dig(entry.explanations, "test", "localisation", "maps")
    if not isinstance(maps, Mapping):
        return ""
    points = []
    for name, sides in maps.items():
        found = dig(sides, "all", "energy")
        if isinstance(found, list) and all(isinstance(value, float) for value in found):
            points.append(Point(name_of(name, maps), found[0], (found[1], found[2])))
    return figure(
        "Does it look at the lesion?",
        interval_rows(points),
        "Share of the heat map's brightness inside the lesion's outline, on test images that have "
        "one. A method that is no better than a spot in the middle of the frame tells nothing.",
    )
