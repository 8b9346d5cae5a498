"""Results of all models for one image side by side, and whether their heatmaps agree."""

from collections.abc import Mapping
from html import escape
from typing import Any

from PIL import Image
from predictions import Explained
from views.heatmap import LITTLE_SHOWN, NOT_SEEN, legend
from views.markup import more, picture_url, scrolling
from views.text import SHORT, dot, percent
from views.verdict import refusal_text

from hf_lesion.labels import NAMES

THUMBNAIL_PIXELS = 384
NOT_JUDGED = "Not judged"
HOW_COMPARED = (
    "Correlation of two heatmaps, and how much of their top fifths is shared (IoU; 0.11 for random "
    "maps). Below an IoU of 1/3 they show different places."
)
COLOURS = "inferno"


def compare(explained: Mapping[str, Explained]) -> dict[tuple[str, str], Any]:
    """Return the agreement of each pair of models that have a heatmap."""
    from hf_lesion.explain.agreement import compare_all

    maps = {
        name: (one.heatmap, one.box)
        for name, one in explained.items()
        if one.heatmap is not None and one.box is not None and not one.result.is_rejected
    }
    return compare_all(maps)


def describe(explained: Mapping[str, Explained]) -> list[dict[str, Any]]:
    """Return the agreement of each pair as the API gives it."""
    return [
        {"models": list(pair), "pearson": found.pearson, "iou": found.iou, "apart": found.is_apart}
        for pair, found in compare(explained).items()
    ]


def render(explained: Mapping[str, Explained], titles: Mapping[str, str]) -> str:
    """Return the comparison as HTML: a summary, a card for each model, and two tables.

    Args:
        explained: By the models' names.
        titles: What the models are called.
    """
    judged = {name: one for name, one in explained.items() if not one.result.is_rejected}
    cards = "".join(_card(name, one, titles[name]) for name, one in explained.items())
    parts = [f'<h2 class="summary">{escape(_summary(judged, titles))}</h2>']
    parts.append(f'<div class="cards">{_image_card(explained)}{cards}</div>')
    if judged:
        parts.append(legend(COLOURS) + _probabilities(judged, titles) + _agreement(judged, titles))
    return f'<div class="comparison">{"".join(parts)}</div>'


def _summary(judged: Mapping[str, Explained], titles: Mapping[str, str]) -> str:
    labels = {name: one.result.label for name, one in judged.items()}
    if not labels:
        return "No model takes this for a dermatoscope image. Results hidden."
    if len(set(labels.values())) == 1:
        return f"All {len(labels)} agree: {NAMES[next(iter(labels.values()))]}"
    groups = [
        f"{NAMES[code]} ({', '.join(titles[name] for name in labels if labels[name] == code)})"
        for code in dict.fromkeys(labels.values())
    ]
    return f"The models disagree: {'; '.join(groups)}"


def _image_card(explained: Mapping[str, Explained]) -> str:
    picture = next(iter(explained.values())).result.picture
    return (
        '<article class="card"><h3>Image</h3>'
        f'<img src="{picture_url(_small(picture))}" alt="The image that all models classify">'
        f"{f'<p>{NOT_SEEN}</p>' if any(one.is_cropped for one in explained.values()) else ''}"
        "</article>"
    )


def _card(name: str, one: Explained, title: str) -> str:
    result = one.result
    start = f'<article class="card" data-model="{escape(name)}"'
    if result.is_rejected:
        return (
            f'{start} data-label=""><h3>{escape(title)}</h3>'
            f'<img src="{picture_url(_small(result.picture))}" alt="The image">'
            f"<p><strong>{NOT_JUDGED}</strong></p><p>{escape(refusal_text(result))}</p></article>"
        )
    score = percent(result.probability(one.target))
    alt = f"Heatmap of {title} for {NAMES[one.target]}, {score}"
    picture = one.overlay(COLOURS)
    if picture is None:
        picture, alt = result.picture, f"The image. {one.notice}"
    return (
        f'{start} data-label="{result.label}"><h3>{escape(title)}</h3>'
        f'<img src="{picture_url(_small(picture))}" alt="{escape(alt)}">'
        f"<p>{dot(result.label)}<strong>{escape(NAMES[result.label])}</strong> "
        f"{escape(percent(result.probability()))}</p><p>{escape(_about_map(one))}</p></article>"
    )


def _about_map(one: Explained) -> str:
    if one.notice or one.shows_little:
        return one.notice or LITTLE_SHOWN
    return f"Heatmap for {SHORT[one.target]}"


def _probabilities(judged: Mapping[str, Explained], titles: Mapping[str, str]) -> str:
    head = "".join(f'<th scope="col">{escape(titles[name])}</th>' for name in judged)
    rows = ""
    for code in next(iter(judged.values())).result.order():
        values = [one.result.probability(code) for one in judged.values()]
        cells = "".join(
            f'<td style="--share:{100 * value:.0f}%">{escape(percent(value))}</td>'
            for value in values
        )
        rows += f'<tr><th scope="row">{dot(code)}{escape(SHORT[code])}</th>{cells}</tr>'
    table = (
        f'<table class="matrix"><thead><tr><td class="corner">Diagnosis</td>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    return f"<h3>Probabilities</h3>{scrolling(table, 'Probabilities by model')}"


def _agreement(judged: Mapping[str, Explained], titles: Mapping[str, str]) -> str:
    found = compare(judged)
    if not found:
        return ""
    apart = sum(one.is_apart for one in found.values())
    said = "high" if not apart else f"{apart} of {len(found)} pairs show different places"
    rows = "".join(
        f'<tr><th scope="row">{escape(titles[first])} and {escape(titles[second])}</th>'
        f"<td>{one.pearson:.2f}</td><td>{one.iou:.2f}</td></tr>"
        for (first, second), one in found.items()
    )
    table = (
        '<table><thead><tr><th scope="col">Heatmaps of</th><th scope="col">Correlation</th>'
        f'<th scope="col">IoU</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    text = f"{scrolling(table, 'Agreement of the heatmaps')}<p>{escape(HOW_COMPARED)}</p>"
    return more(f"Agreement of the heatmaps: {said}", text)


def _small(picture: Image.Image) -> Image.Image:
    small = picture.copy()
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    return small
