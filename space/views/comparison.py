"""Comparison: all models' results for one image side by side, and their heatmaps' agreement."""

from collections.abc import Mapping
from html import escape
from typing import Any

from PIL import Image
from predictions import COLOURS, Explanation
from views.heatmap import CROPPED, IMPROBABLE, legend
from views.markup import picture_url, table
from views.text import SHORT, dot, percent
from views.verdict import rejection_text

from hf_lesion.labels import NAMES

THUMBNAIL_PIXELS = 384
NOT_JUDGED = "Not judged"
AGREEMENT_NOTE = (
    "Correlation of two heatmaps, and overlap of their top fifths (IoU; 0.11 for random maps). "
    "Below an IoU of 1/3 they show different places."
)


def compare(explanations: Mapping[str, Explanation]) -> dict[tuple[str, str], Any]:
    """Return the agreement of each pair of models that have a heatmap."""
    from hf_lesion.explain.agreement import compare_all

    maps = {
        name: (one.heatmap, one.box)
        for name, one in explanations.items()
        if one.heatmap is not None and one.box is not None and not one.result.is_rejected
    }
    return compare_all(maps)


def describe(explanations: Mapping[str, Explanation]) -> list[dict[str, Any]]:
    """Return the agreement of each pair as the API gives it."""
    return [
        {"models": list(pair), "pearson": found.pearson, "iou": found.iou, "apart": found.is_apart}
        for pair, found in compare(explanations).items()
    ]


def render(explanations: Mapping[str, Explanation], titles: Mapping[str, str]) -> str:
    """Return the comparison as HTML: a summary, a card for each model, and two tables.

    Explanations and titles are by the models' names.
    """
    judged = {name: one for name, one in explanations.items() if not one.result.is_rejected}
    cards = "".join(_model_card(name, one, titles[name]) for name, one in explanations.items())
    parts = [f'<h2 class="summary">{escape(_summary(judged, titles))}</h2>']
    parts.append(f'<div class="cards">{_image_card(explanations)}{cards}</div>')
    if judged:
        parts.append(legend(COLOURS) + _probabilities(judged, titles) + _agreement(judged, titles))
    return f'<div class="comparison">{"".join(parts)}</div>'


def _summary(judged: Mapping[str, Explanation], titles: Mapping[str, str]) -> str:
    labels = {name: one.result.label for name, one in judged.items()}
    if not labels:
        return "All models reject this image as non-dermoscopic. Results hidden."
    if len(set(labels.values())) == 1:
        return f"All {len(labels)} agree: {NAMES[next(iter(labels.values()))]}"
    groups = [
        f"{NAMES[code]} ({', '.join(titles[name] for name in labels if labels[name] == code)})"
        for code in dict.fromkeys(labels.values())
    ]
    return f"The models disagree: {'; '.join(groups)}"


def _image_card(explanations: Mapping[str, Explanation]) -> str:
    is_cropped = any(one.is_cropped for one in explanations.values())
    picture = next(iter(explanations.values())).result.picture
    note = f"<p>{CROPPED}</p>" if is_cropped else ""
    return _card("Image", picture, "The image that all models classify", note)


def _model_card(name: str, one: Explanation, title: str) -> str:
    result = one.result
    label = "" if result.is_rejected else result.label
    attributes = f' data-model="{escape(name)}" data-label="{label}"'
    if result.is_rejected:
        note = f"<p><strong>{NOT_JUDGED}</strong></p><p>{escape(rejection_text(result))}</p>"
        return _card(title, result.picture, "The image", note, attributes)
    picture = one.overlay(COLOURS)
    alt = f"Heatmap of {title} for {NAMES[one.target]}, {percent(one.probability)}"
    if picture is None:
        picture, alt = result.picture, f"The image. {one.notice}"
    note = (
        f"<p>{dot(result.label)}<strong>{escape(NAMES[result.label])}</strong> "
        f"{escape(percent(result.probability()))}</p><p>{escape(_caption(one))}</p>"
    )
    return _card(title, picture, alt, note, attributes)


def _card(title: str, picture: Image.Image, alt: str, note: str, attributes: str = "") -> str:
    return (
        f'<article class="card"{attributes}><h3>{escape(title)}</h3>'
        f'<img src="{picture_url(picture, THUMBNAIL_PIXELS)}" alt="{escape(alt)}">{note}</article>'
    )


def _caption(one: Explanation) -> str:
    if one.notice or one.is_improbable:
        return one.notice or IMPROBABLE
    return f"Heatmap for {SHORT[one.target]}"


def _probabilities(judged: Mapping[str, Explanation], titles: Mapping[str, str]) -> str:
    results = [one.result for one in judged.values()]
    rows = (
        (f"{dot(code)}{escape(SHORT[code])}", *(_share(one.probability(code)) for one in results))
        for code in results[0].order()
    )
    heads = ("Diagnosis", *(titles[name] for name in judged))
    shown = table(heads, rows, label="Probabilities by model", kind="matrix")
    return f"<h3>Probabilities</h3>{shown}"


def _share(value: float) -> str:
    return f'<span style="--share:{100 * value:.0f}%">{escape(percent(value))}</span>'


def _agreement(judged: Mapping[str, Explanation], titles: Mapping[str, str]) -> str:
    found = compare(judged)
    if not found:
        return ""
    apart = sum(one.is_apart for one in found.values())
    summary = "high" if not apart else f"{apart} of {len(found)} pairs show different places"
    rows = (
        (escape(f"{titles[first]} and {titles[second]}"), f"{one.pearson:.2f}", f"{one.iou:.2f}")
        for (first, second), one in found.items()
    )
    heads = ("Heatmaps of", "Correlation", "IoU")
    shown = table(heads, rows, label="Agreement of the heatmaps", kind="agreement")
    return (
        f"<details><summary>Agreement of the heatmaps: {escape(summary)}</summary>{shown}"
        f"<p>{escape(AGREEMENT_NOTE)}</p></details>"
    )
