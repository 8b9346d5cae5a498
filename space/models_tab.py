"""The tab on the models: what was measured of each, pictures first, every number in words too."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from answers import METHODS
from catalogue import Entry, dig
from charts import Point, curves, figure, interval_rows, matrix

from hf_lesion.labels import CODES, NAMES

CHANCE = 1 / len(CODES)
# As hf_lesion.explain.controls calls them.
CONTROLS = {
    "gaussian": "a spot in the middle (control)",
    "random": "a random map (control)",
    "untrained": "the network untrained (control)",
}


def models(entries: Sequence[Entry]) -> str:
    """Return the models tab: what was measured of each, from the records beside the weights."""
    points = [
        Point(
            f"{entry.name} ({entry.measure.split})" if entry.measure else entry.name,
            entry.measure.balanced_accuracy if entry.measure else None,
            entry.measure.interval if entry.measure else None,
        )
        for entry in entries
    ]
    overview = figure(
        "Balanced accuracy",
        interval_rows(points, mark=CHANCE),
        "The mean of the seven sensitivities: a program that always says the same has 0.143 (the "
        "line). Brackets and bars: 95% intervals, by bootstrap over lesions.",
    )
    return f'<div class="charts">{overview}</div>' + "".join(map(_model, entries))


def _model(entry: Entry) -> str:
    if entry.measure is None:
        return (
            f'<h2 class="model">{escape(entry.name)}</h2>'
            '<p class="note">Nothing was measured: there is no report.json beside the weights.</p>'
        )
    part = entry.report[entry.measure.split]
    parts = [_sensitivities(part), _confusion(part), _reliability(part), _explanations(entry)]
    facts = _facts(entry, part)
    return (
        f'<h2 class="model">{escape(entry.name)}</h2><p class="lede">{escape(facts)}</p>'
        f'<div class="charts">{"".join(parts)}</div>'
    )


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
        value = dig(part, "metrics", f"sensitivity_{code}")
        bounds = dig(part, "intervals", "bounds", f"sensitivity_{code}")
        count = dig(part, "class_counts", code)
        name = f"{NAMES[code]} ({count:,})" if isinstance(count, int) else NAMES[code]
        interval = (bounds[0], bounds[1]) if isinstance(bounds, list) else None
        points.append(Point(name, value, interval))
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
    bins = dig(part, "calibration", "answers", "reliability")
    error = dig(part, "calibration", "answers", "metrics", "ece")
    chance = dig(part, "calibration", "answers", "chance", "ece", "upper")
    if not isinstance(bins, Mapping) or not isinstance(error, float):
        return ""
    beside = f", {chance:.3f} would be chance at most" if isinstance(chance, float) else ""
    words = (
        f"Calibration error {error:.3f}{beside}. On the dashed line, answers are right as often as "
        "they claim; below it the model claims too much."
    )
    lines = {"answers": (bins["confidence"], bins["accuracy"])}
    drawn = curves(
        lines, across="claimed probability", up="share that was right", words=words, diagonal=True
    )
    return figure("Does it know how sure it is?", drawn, words)


def _explanations(entry: Entry) -> str:
    maps = dig(entry.explanations, "test", "localisation", "maps")
    if not isinstance(maps, Mapping):
        return ""
    points = []
    for name, sides in maps.items():
        found = dig(sides, "all", "energy")
        if isinstance(found, list) and all(isinstance(value, float) for value in found):
            title = METHODS.get(name) or CONTROLS.get(name) or name
            points.append(Point(title, found[0], (found[1], found[2])))
    return figure(
        "Does it look at the lesion?",
        interval_rows(points),
        "Share of the heat map's brightness inside the lesion's outline, on test images that have "
        "one. A method that is no better than a spot in the middle of the frame tells nothing.",
    )
