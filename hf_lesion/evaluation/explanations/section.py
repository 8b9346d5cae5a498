"""Explanations section of a model card, from `explanations.json`. Imports nothing heavy."""

from collections.abc import Mapping
from typing import Any

from hf_lesion.evaluation.explanations.estimates import better_in, list_words, worse_in
from hf_lesion.explain.names import CONTROL_NAMES, FINE_VIEWS, name_of
from hf_lesion.io.markdown import table_lines
from hf_lesion.io.numbers import format_difference, format_estimate
from hf_lesion.labels import CODES

LOCATED = {"energy": "energy inside", "pointing": "pointing game", "ratio": "inside/outside"}
OVERLAP = "iou_0.5"  # the threshold that methods are judged by
JUDGED = {**LOCATED, OVERLAP: "IoU at 0.5"}
FAITHFUL = {"deletion": "deletion", "insertion": "insertion", "road": "ROAD"}
SIDES = ("right", "wrong")
INTRODUCTION = (
    "Heatmaps show which regions moved the answer. They are not evidence for a diagnosis. Here "
    "they are those of the predicted class."
)

CHANGE = "change of the image"
BLACKED_OUT = (
    "Where the lesion is blacked out, an answer that survives was not about the lesion's inside."
)

Found = Mapping[str, Any]


def render_section(record: Found) -> str:
    """Return the section of the card on explanations: tables and sentences.

    Args:
        record: One split's entry of `explanations.json`.
    """
    located, faithful, changed = (
        record.get(part) for part in ("localisation", "faithfulness", "shortcuts")
    )
    parts = [INTRODUCTION]
    if located:
        parts += [render_localisation(located), say_outside(located), render_overlap(located)]
        parts += [say_verdicts(located, JUDGED), render_classes(located)]
    if faithful:
        parts += [render_faithfulness(faithful), say_verdicts(faithful, FAITHFUL)]
    parts += [say_gain(record)]
    if changed:
        parts += [render_shortcuts(changed)]
    return "\n\n".join(part for part in parts if part)


def render_localisation(found: Found) -> str:
    """Return the table of mask overlap of each map, baselines in italics."""
    header = ("map", "images", *LOCATED.values(), "energy, right", "energy, wrong", "flat maps")
    rows = [
        (
            _name(kind, found),
            f"{own['all']['images']:,}",
            *(format_estimate(own["all"][measure]) for measure in LOCATED),
            *(format_estimate(own[side]["energy"]) for side in SIDES),
            str(own["flat"]),
        )
        for kind, own in found["maps"].items()
    ]
    note = (
        f"Against the lesion masks of {found['images']:,} images. Energy: share of the heat that "
        "lies inside the lesion. Pointing game: how often the hottest point does. Inside/outside: "
        "median ratio of the mean heat (Chanda et al. 2024). In brackets: 95% intervals, bootstrap "
        "over lesions. Right and wrong: the model's predictions."
    )
    return _table(header, rows, note)


def say_outside(found: Found) -> str:
    """Return a sentence on lesions that extend beyond what the model sees; empty if unknown."""
    outside = found.get("outside")
    if outside is None:
        return ""
    text = (
        f"In {outside['images']:,} of these images more than {outside['share']:.0%} of the lesion "
        "lies outside of what the model sees of the frame"
    )
    counts = [f"{code} {count:,}" for code, count in outside["classes"].items() if count]
    return f"{text} ({', '.join(counts)})." if counts else f"{text}."


def render_overlap(found: Found) -> str:
    """Return the table of IoU and Dice at every threshold; bold where it beats the Gaussian."""
    measures = {
        f"{measure}_{threshold}": f"{name} at {threshold}"
        for measure, name in (("iou", "IoU"), ("dice", "Dice"))
        for threshold in found["thresholds"]
    }
    rows = []
    for kind, own in found["maps"].items():
        better = better_in(found["against_gaussian"].get(kind, {}), measures)
        cells = {name: format_estimate(own["all"][key]) for key, name in measures.items()}
        texts = [f"**{text}**" if name in better else text for name, text in cells.items()]
        rows.append((_name(kind, found), *texts))
    note = (
        "Overlap of the mask with where a map reaches a share of its own maximum, mean over the "
        "images. Bold: more than the Gaussian's on the same images, the interval of the difference "
        "excludes zero."
    )
    return _table(("map", *measures.values()), rows, note)


def render_classes(found: Found) -> str:
    """Return the table by diagnosis, right and wrong predictions apart."""
    maps = found["maps"]
    kind = next((name for name in maps if "classes" in maps[name]), None)
    if kind is None:
        return ""
    controls = [name for name in CONTROL_NAMES if "classes" in maps.get(name, {})]
    pair = {key: LOCATED[key] for key in ("energy", "pointing")}
    header = ["diagnosis", "prediction", "images"]
    header += [text for name in pair.values() for text in (name, "controls")]
    rows = []
    for code in CODES:
        for side in SIDES:
            own = maps[kind]["classes"][code][side]
            cells = []
            for measure in pair:
                base = [maps[name]["classes"][code][side][measure][0] for name in controls]
                cells += [format_estimate(own[measure]), " / ".join(map(_plain, base))]
            rows.append((f"`{code}`", side, f"{own['images']:,}", *cells))
    named = " / ".join(CONTROL_NAMES[name] for name in controls)
    note = (
        f"{_name(kind, found)} by diagnosis. Controls: {named}. Lesions of some "
        "diagnoses fill more of the frame than others, so a row compares with its controls, and "
        "not with other rows; with few images it is an anecdote."
    )
    return _table(header, rows, note)


def render_faithfulness(found: Found) -> str:
    """Return the table of deletion, insertion and ROAD."""
    rows = [
        (_name(kind, found), *(format_estimate(own[measure]) for measure in FAITHFUL))
        for kind, own in found["maps"].items()
    ]
    note = (
        f"What becomes of the probability of the predicted class, on {found['images']} images "
        f"(ROAD: {found['road_images']}), about as many of each class: area under the curve as "
        "the hottest pixels are deleted (less is better) or inserted (more is better); ROAD "
        "compares losing the hottest with losing the coldest pixels (more is better)."
    )
    return _table(("map", *FAITHFUL.values()), rows, note)


def render_shortcuts(found: Found) -> str:
    """Return the table of how often the prediction stays the same under a change of the image."""
    rows = [
        (name, format_estimate(own["same_answer"]), format_estimate(own["balanced_accuracy"]))
        for name, own in found["changes"].items()
    ]
    note = (
        f"On {found['images']:,} images; balanced accuracy without a change: "
        f"{format_estimate(found['balanced_accuracy'])}. {BLACKED_OUT}"
    )
    return _table((CHANGE, "same answer", "balanced accuracy"), rows, note)


def say_verdicts(found: Found, measures: Mapping[str, str]) -> str:
    """Return sentences on the measures in which each method beats the centred Gaussian.

    A method beats it in a measure if the interval of the paired difference excludes zero.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for kind, differences in found["against_gaussian"].items():
        alike.setdefault(tuple(better_in(differences, measures)), []).append(_name(kind, found))
    every = list(measures.values())
    sentences = []
    for beaten, methods in alike.items():
        who, several = list_words(methods), len(methods) > 1
        missed = [name for name in every if name not in beaten]
        words = f", **not in {list_words(missed)}**" if missed else ""
        verb = "beat" if several else "beats"
        if not beaten:
            does = "do" if several else "does"
            sentences.append(
                f"**{who} {does} not beat the Gaussian** in any of {list_words(every)}."
            )
        else:
            sentences.append(f"{who} {verb} the Gaussian in {list_words(beaten)}{words}.")
    return " ".join(sentences)


def say_gain(record: Found) -> str:
    """Return what averaging over views changes, and whether it is worth it; empty if unmeasured."""
    parts = [
        (record[part], measures)
        for part, measures in (("localisation", JUDGED), ("faithfulness", FAITHFUL))
        if record.get(part, {}).get("fine_against")
    ]
    if not parts:
        return ""
    changes = [
        f"{name} {format_difference(found['fine_against'][key])}"
        for found, measures in parts
        for key, name in measures.items()
    ]
    base = name_of(next(iter(parts[0][0]["maps"])), ())
    return (
        f"What the mean of {FINE_VIEWS} views adds to {base}, on the same images: "
        f"{list_words(changes)}. {judge_gain(record)[1]}"
    )


def judge_gain(record: Found) -> tuple[bool, str]:
    """Return whether the finer map gains, and that in a sentence.

    It does if at least one measure is better and none is worse, each by an interval of the paired
    difference that excludes zero.
    """
    better: list[str] = []
    worse: list[str] = []
    for part, measures in (("localisation", JUDGED), ("faithfulness", FAITHFUL)):
        differences = record.get(part, {}).get("fine_against") or {}
        better += better_in(differences, measures)
        worse += worse_in(differences, measures)
    if better and not worse:
        return True, (
            f"It gains in {list_words(better)} and loses in nothing measured: for this model it is "
            "kept, as `fine=True`."
        )
    if better:
        said = f"It gains in {list_words(better)} and loses in {list_words(worse)}"
    elif worse:
        said = f"It gains in nothing measured and loses in {list_words(worse)}"
    else:
        said = "No measure shows a gain"
    return False, f"**{said}: it is not kept for this model**, whose plain map is the one to use."


def _name(kind: str, found: Found) -> str:
    name = name_of(kind, found["maps"])
    return f"*{name}*" if kind in CONTROL_NAMES else name


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _table(header: Any, rows: Any, note: str) -> str:
    return "\n".join([*table_lines(header, rows), "", note])
