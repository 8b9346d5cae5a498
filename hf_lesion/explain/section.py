"""What `explanations.json` says, as Markdown for a model's card: no import that takes time."""

from collections.abc import Mapping, Sequence
from typing import Any

NAMES = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "fine": "Grad-CAM, mean of 9 views",
    "gaussian": "*Gaussian in the middle*",
    "random": "*random map*",
    "untrained": "*same network, random weights*",
}
CONTROLS = ("gaussian", "random", "untrained")
LOCATED = {
    "energy": "energy inside",
    "pointing": "pointing game",
    "ratio": "inside/outside",
    "iou_0.5": "IoU",
}
FAITHFUL = {"deletion": "deletion", "insertion": "insertion", "road": "ROAD"}
# Of the deletion curve less is better.
LOWER_IS_BETTER = ("deletion",)


def render_section(record: Mapping[str, Any]) -> str:
    """Return the section of the card on explanations: tables, and what they say in sentences.

    Args:
        record: One split's entry of `explanations.json`.
    """
    parts = [
        "Heatmaps show which regions moved the answer. They are no evidence for a diagnosis. Here "
        "they are those of the predicted class."
    ]
    if "localisation" in record:
        parts += [
            render_localisation(record["localisation"]),
            " ".join(verdicts(record["localisation"], LOCATED)),
            render_gain(record["localisation"], LOCATED),
        ]
    if "faithfulness" in record:
        parts += [
            render_faithfulness(record["faithfulness"]),
            " ".join(verdicts(record["faithfulness"], FAITHFUL)),
            render_gain(record["faithfulness"], FAITHFUL),
        ]
    if "shortcuts" in record:
        parts += [render_shortcuts(record["shortcuts"])]
    return "\n\n".join(part for part in parts if part)


def render_localisation(found: Mapping[str, Any]) -> str:
    """Return the table of how well each map lies on the lesion, controls in italics."""
    header = ("map", "images", *LOCATED.values(), "energy, right", "energy, wrong", "flat maps")
    rows = [
        (
            _name(kind),
            f"{own['all']['images']:,}",
            *(_format(own["all"][measure]) for measure in LOCATED),
            _format(own["right"]["energy"]),
            _format(own["wrong"]["energy"]),
            str(own["flat"]),
        )
        for kind, own in found["maps"].items()
    ]
    note = (
        f"Against the lesion masks of {found['images']:,} images. Energy: share of the heat that "
        "lies inside the lesion. Pointing game: how often the hottest point does. Inside/outside: "
        "median ratio of the mean heat (Chanda et al. 2024). IoU: of the mask with where the map "
        "reaches half of its maximum. In brackets: 95% intervals, bootstrap over lesions. Right "
        "and wrong: the model's predictions."
    )
    return f"{_table(header, rows)}\n\n{note}"


def render_faithfulness(found: Mapping[str, Any]) -> str:
    """Return the table of deletion, insertion and ROAD."""
    rows = [
        (_name(kind), *(_format(own[measure]) for measure in FAITHFUL))
        for kind, own in found["maps"].items()
    ]
    note = (
        f"What becomes of the probability of the predicted class, on {found['images']} images "
        f"(ROAD: {found['road_images']}), about as many of each class: area under the curve as "
        "the hottest pixels are deleted (less is better) or inserted (more is better); ROAD "
        "compares losing the hottest with losing the coldest pixels (more is better)."
    )
    return f"{_table(('map', *FAITHFUL.values()), rows)}\n\n{note}"


def render_shortcuts(found: Mapping[str, Any]) -> str:
    """Return the table of how often the answer survives a change of the image."""
    header = ("change of the image", "same answer", "balanced accuracy")
    rows = [
        (name, _format(own["same_answer"]), _format(own["balanced_accuracy"]))
        for name, own in found["changes"].items()
    ]
    note = (
        f"On {found['images']:,} images; balanced accuracy without a change: "
        f"{_format(found['balanced_accuracy'])}. Where the lesion is blacked out, an answer that "
        "survives was not about the lesion's inside."
    )
    return f"{_table(header, rows)}\n\n{note}"


def verdicts(found: Mapping[str, Any], measures: Mapping[str, str]) -> list[str]:
    """Return one sentence for each method: in what it beats the Gaussian, and in what it does not.

    A method beats it in a measure if the interval of the paired difference excludes zero.
    """
    sentences = []
    for kind, differences in found["against_gaussian"].items():
        beaten = [n for m, n in measures.items() if _is_better(m, differences[m])]
        missed = [name for name in measures.values() if name not in beaten]
        name = _name(kind)
        if not beaten:
            sentences.append(f"**{name} does not beat the Gaussian in anything measured here.**")
        elif missed:
            sentences.append(
                f"{name} beats the Gaussian in {_list(beaten)}, **not in {_list(missed)}**."
            )
        else:
            sentences.append(f"{name} beats the Gaussian in {_list(beaten)}.")
    return sentences


def render_gain(found: Mapping[str, Any], measures: Mapping[str, str]) -> str:
    """Return in a sentence what averaging over views changes; empty if it was not measured."""
    gains = found.get("fine_against")
    if not gains:
        return ""
    changes = [f"{name} {_change(gains[measure])}" for measure, name in measures.items()]
    return f"What the mean of 9 views adds to Grad-CAM, on the same images: {_list(changes)}."


def _change(difference: Sequence[float | None]) -> str:
    value, low, high = difference
    if value is None or low is None or high is None:
        return "unknown"
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _is_better(measure: str, difference: Sequence[float | None]) -> bool:
    _, low, high = difference
    if low is None or high is None:
        return False
    return high < 0 if measure in LOWER_IS_BETTER else low > 0


def _name(kind: str) -> str:
    return NAMES.get(kind, kind)


def _format(estimate: Sequence[float | None]) -> str:
    value, low, high = estimate
    if value is None:
        return "–"
    digits = 3 if abs(value) < 1 or (high or 0) <= 1 else 2
    bounds = "" if low is None or high is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{bounds}"


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
