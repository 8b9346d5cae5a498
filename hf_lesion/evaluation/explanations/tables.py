"""Tables and sentences on heatmaps and shortcuts: a section of the model card, and of the docs.

All are rendered from `explanations.json`; the text is in templates/explanations.md.jinja. A map
beats another in a measure if the interval of the paired difference excludes zero.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from hf_lesion.evaluation.explanations.record import EXPLANATIONS, read_explanations
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.report.record import say_images
from hf_lesion.explain.names import CONTROL_NAMES, FINE_VIEWS, name_of
from hf_lesion.io.numbers import format_difference, format_estimate, format_interval

LOCATED = {"energy": "energy inside", "pointing": "pointing game", "ratio": "inside/outside"}
JUDGED = {**LOCATED, "iou_0.5": "IoU at 0.5"}  # the threshold that methods are judged by
FAITHFUL = {"deletion": "deletion", "insertion": "insertion", "road": "ROAD"}
INTRODUCTION = (
    "Heatmaps of the predicted class. They show which regions influenced the prediction and are "
    "not evidence for a diagnosis."
)
LOCALISATION, FAITHFULNESS, SHORTCUTS = "localisation", "faithfulness", "shortcuts"
LOWER_IS_BETTER = ("deletion",)  # of a deletion curve
MISSING = "Not measured yet: `scripts/explain_images.py score`."
TEST = "test"

Found = Mapping[str, Any]
# Model → one split's entry of its `explanations.json`; None where it was not measured.
Records = Mapping[str, Found | None]
Estimates = Mapping[str, Sequence[float | None]]


def render(part: str, *values: Any) -> str:
    """Return a macro of templates/explanations.md.jinja, called with these values, as Markdown."""
    return str(
        getattr(_environment().get_template("explanations.md.jinja").module, part)(*values)
    ).strip()


def render_section(record: Found) -> str:
    """Return the card's section on explanations, of one split's entry of `explanations.json`."""
    parts = [INTRODUCTION]
    if located := record.get(LOCALISATION):
        parts += [render(part, located) for part in (LOCALISATION, "outside", "overlap")]
        parts += [say_verdicts(located, JUDGED), render("classes", located)]
    if faithful := record.get(FAITHFULNESS):
        parts += [render(FAITHFULNESS, faithful), say_verdicts(faithful, FAITHFUL)]
    parts += [say_gain(record)]
    if changed := record.get(SHORTCUTS):
        parts += [render(SHORTCUTS, changed)]
    return "\n\n".join(part for part in parts if part)


def compare_localisation(records: Records) -> str:
    """Return the table of mask overlap of each model's first method; empty if none was measured."""
    known, absent = _those_with(records, LOCALISATION)
    return render("compared_localisation", known, absent, say_gains(records)) if known else ""


def compare_shortcuts(records: Records) -> str:
    """Return the table of how often the prediction stays the same; empty if none was measured."""
    known, absent = _those_with(records, SHORTCUTS)
    return render("compared_shortcuts", known, absent) if known else ""


def say_verdicts(found: Found, measures: Mapping[str, str]) -> str:
    """Return sentences on the measures in which each method beats the centred Gaussian."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for kind, differences in found["against_gaussian"].items():
        alike.setdefault(tuple(better_in(differences, measures)), []).append(_name(kind, found))
    sentences = []
    for beaten, methods in alike.items():
        missed = [name for name in measures.values() if name not in beaten]
        said = f"{list_words(methods)} beat{'' if len(methods) > 1 else 's'} the Gaussian in "
        said += list_words(beaten) if beaten else "nothing"
        sentences.append(said + (f", **not in {list_words(missed)}**." if missed else "."))
    return " ".join(sentences)


def say_gain(record: Found) -> str:
    """Return what averaging over views changes, and whether it is worth it; empty if unmeasured."""
    gains = _fine_against(record)
    if not gains:
        return ""
    changes = [
        f"{name} {format_difference(differences[key])}"
        for differences, measures in gains
        for key, name in measures.items()
    ]
    found = record.get(LOCALISATION) or record[FAITHFULNESS]
    base = name_of(next(iter(found["maps"])), ())
    return (
        f"What the mean of {FINE_VIEWS} views adds to {base}, on the same images: "
        f"{list_words(changes)}. {judge_gain(record)[1]}"
    )


def judge_gain(record: Found) -> tuple[bool, str]:
    """Return whether the finer map gains, and that in a sentence.

    It does if at least one measure is better and none is worse, each by an interval of the paired
    difference that excludes zero.
    """
    parts = _fine_against(record)
    better, worse = ([n for part in parts for n in better_in(*part, sign)] for sign in (1, -1))
    gains, losses = (list_words(names) if names else "nothing" for names in (better, worse))
    said = f"It gains in {gains} and loses in {losses}"
    if better and not worse:
        return True, f"{said}: for this model it is kept, as `fine=True`."
    return False, f"**{said}: it is not kept for this model**, whose plain map is the one to use."


def say_gains(records: Records) -> str:
    """Return in a sentence for which models the finer map gains; empty if it was not measured."""
    gains: dict[str, list[str]] = {}
    for name, record in records.items():
        if record is not None and record.get(LOCALISATION, {}).get("fine_against"):
            word = "gains" if judge_gain(record)[0] else "does not gain"
            gains.setdefault(word, []).append(f"`{name}`")
    if not gains:
        return ""
    parts = [f"{word} for {list_words(names)}" for word, names in gains.items()]
    return (
        f"The finer map (`fine=True`, a mean of {FINE_VIEWS} shifted and mirrored views) "
        f"{' and '.join(parts)}. It gains if it is better in something measured and worse in "
        "nothing; the cards have the numbers."
    )


def read_current(folder: Path) -> dict[str, Any] | None:
    """Return the test entry of a model's `explanations.json`; None if it is of other weights."""
    record = read_explanations(folder).get(TEST) if (folder / EXPLANATIONS).is_file() else None
    if record is None or record["model"]["weights_sha256"] != weights_sha256(folder):
        return None
    return record


def render_block(folders: Sequence[Path]) -> str:
    """Return the tables on heatmaps and shortcuts of model folders, in their order, as Markdown."""
    records = {folder.name: read_current(folder) for folder in folders}
    tables = [compare_localisation(records), compare_shortcuts(records)]
    said: dict[str, list[str]] = {}
    for name, record in records.items():
        if record:
            said.setdefault(say_images(record), []).append(f"`{name}`")
    parts = [f"{', '.join(names)}: {images}" for images, names in said.items()]
    images = " ".join(parts if len(said) > 1 else said) or MISSING
    return "\n\n".join(part for part in (*tables, images) if part)


def better_in(differences: Estimates, measures: Mapping[str, str], sign: int = 1) -> list[str]:
    """Return the names of the measures that are better, or worse for a sign of -1.

    They are if the interval of the difference excludes zero.
    """
    found = []
    for key, name in measures.items():
        _, low, high = differences.get(key) or (None, None, None)
        if low is not None and high is not None:
            rise = int(low > 0) - int(high < 0)
            if sign == (-rise if key in LOWER_IS_BETTER else rise):
                found.append(name)
    return found


def list_words(words: Sequence[str]) -> str:
    """Return one word or more as a list in a sentence."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hf_lesion.evaluation"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        estimate=format_estimate,
        two=functools.partial(format_interval, digits=2),
        thousands="{:,}".format,
        code="`{}`".format,
        words=list_words,
        counts=lambda known: " or ".join(
            f"{count:,}" for count in sorted({found["images"] for found in known.values()})
        ),
        changes=lambda known: dict.fromkeys(c for own in known.values() for c in own["changes"]),
    )
    environment.globals.update(
        LOCATED=LOCATED,
        JUDGED=JUDGED,
        FAITHFUL=FAITHFUL,
        CONTROL_NAMES=CONTROL_NAMES,
        better_in=better_in,
        name=_name,
        overlaps=_overlaps,
    )
    return environment


def _overlaps(found: Found) -> dict[str, str]:
    """Return the names of IoU and Dice at every threshold."""
    return {
        f"{measure}_{threshold}": f"{name} at {threshold}"
        for measure, name in (("iou", "IoU"), ("dice", "Dice"))
        for threshold in found["thresholds"]
    }


def _name(kind: str, found: Found) -> str:
    name = name_of(kind, found["maps"])
    return f"*{name}*" if kind in CONTROL_NAMES else name


def _those_with(records: Records, part: str) -> tuple[dict[str, Any], list[str]]:
    """Return the entries with a part by model, and the names of the other models."""
    known = {name: record[part] for name, record in records.items() if record and record.get(part)}
    return known, [f"`{name}`" for name in records if name not in known]


def _fine_against(record: Found) -> list[tuple[Estimates, dict[str, str]]]:
    """Return the differences of the finer map from the map that it averages, with the measures."""
    parts = ((record.get(LOCALISATION), JUDGED), (record.get(FAITHFULNESS), FAITHFUL))
    return [
        (found["fine_against"], measures)
        for found, measures in parts
        if found and found.get("fine_against")
    ]
