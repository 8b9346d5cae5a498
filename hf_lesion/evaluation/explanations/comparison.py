"""Tables that compare the `explanations.json` of several models. Imports nothing heavy."""

from collections.abc import Mapping
from typing import Any

from hf_lesion.evaluation.explanations.estimates import better_in, list_words
from hf_lesion.evaluation.explanations.section import BLACKED_OUT, CHANGE, JUDGED, judge_gain
from hf_lesion.explain.names import FINE_VIEWS, GAUSSIAN, name_of
from hf_lesion.io.markdown import table_lines
from hf_lesion.io.numbers import format_estimate

LOCALISATION, SHORTCUTS = "localisation", "shortcuts"
COMPARED = ("energy", "ratio")

# Model → one split's entry of its `explanations.json`; None where it was not measured.
Records = Mapping[str, Mapping[str, Any] | None]


def compare_localisation(records: Records) -> str:
    """Return the table of mask overlap of each model's first method.

    Returns:
        Beside the Gaussian, with what it beats the Gaussian in; empty if no model was measured.
    """
    known = _those_with(records, LOCALISATION)
    if not known:
        return ""
    header = ["model", "map"]
    header += [text for key in COMPARED for text in (JUDGED[key], "the Gaussian's")]
    rows = []
    for name, found in known.items():
        maps = found["maps"]
        kind = next(iter(maps))
        cells = [
            format_estimate(maps[one]["all"][key]) for key in COMPARED for one in (kind, GAUSSIAN)
        ]
        beaten = better_in(found["against_gaussian"][kind], JUDGED)
        words = list_words(beaten) if beaten else "**nothing**"
        rows.append([f"`{name}`", name_of(kind, maps), *cells, words])
    note = (
        f"Heatmaps of the predicted class against the lesion masks of {_count(known)} test images: "
        "the share of the heat that lies inside, and the median of the mean heat inside over that "
        "outside, next to a centred Gaussian, which ignores the image. The last column: "
        f"in which of {list_words(list(JUDGED.values()))} the map beats it, by an interval of the "
        f"paired difference that excludes zero.{_say_absent(records, known)} {say_gains(records)}"
    )
    return "\n".join(
        [*table_lines([*header, "beats the Gaussian in"], rows), "", note.rstrip()],
    )


def compare_shortcuts(records: Records) -> str:
    """Return the table of how often the prediction stays the same under a change of the image.

    Returns:
        Models in columns; one that was not measured is named below. Empty if none was.
    """
    known = _those_with(records, SHORTCUTS)
    if not known:
        return ""
    changes = list(dict.fromkeys(change for found in known.values() for change in found["changes"]))
    rows = [[change, *(_survival(found, change) for found in known.values())] for change in changes]
    note = (
        f"How often the answer stays the same when {_count(known)} test images are changed; in "
        f"brackets: 95% intervals, bootstrap over lesions. {BLACKED_OUT} A ruler, hair, ink or "
        f"dark corners should change none.{_say_absent(records, known)}"
    )
    header = (CHANGE, *(f"`{name}`" for name in known))
    return "\n".join([*table_lines(header, rows), "", note])


def say_gains(records: Records) -> str:
    """Return in a sentence for which models the finer map gains; empty if it was not measured."""
    known = {
        name: record
        for name, record in records.items()
        if record is not None and record.get(LOCALISATION, {}).get("fine_against")
    }
    if not known:
        return ""
    parts = []
    for word, wanted in (("gains", True), ("does not gain", False)):
        names = [f"`{name}`" for name, record in known.items() if judge_gain(record)[0] is wanted]
        if names:
            parts.append(f"{word} for {list_words(names)}")
    return (
        f"The finer map (`fine=True`, a mean of {FINE_VIEWS} shifted and mirrored views) "
        f"{' and '.join(parts)}. It gains if it is better in something measured and worse in "
        "nothing; the cards have the numbers."
    )


def _those_with(records: Records, part: str) -> dict[str, Any]:
    return {
        name: record[part]
        for name, record in records.items()
        if record is not None and record.get(part)
    }


def _count(known: Mapping[str, Any]) -> str:
    counts = sorted({found["images"] for found in known.values()})
    return " or ".join(f"{count:,}" for count in counts)


def _say_absent(records: Records, known: Mapping[str, Any]) -> str:
    absent = [f"`{name}`" for name in records if name not in known]
    return f" Not measured: {list_words(absent)}." if absent else ""


def _survival(found: Mapping[str, Any], change: str) -> str:
    own = found["changes"].get(change)
    return "–" if own is None else format_estimate(own["same_answer"])
