"""All models' answers to one image side by side, and whether they look at the same places."""

from collections.abc import Mapping
from html import escape
from typing import Any

from answers import Answer
from markup import picture_url, scrolling
from messages import NOT_SEEN, colour_bar, percent
from PIL import Image

from hf_lesion.labels import CODES, MALIGNANT, NAMES

THUMBNAIL_PIXELS = 320
HOW_COMPARED = (
    "Each map is drawn on the same scale of colours, from the least to the most that the model "
    "found. Agreement compares where: the correlation of two maps, and how much of their top "
    "fifths is shared (IoU; fifths placed by chance share 0.11). They look at different places "
    "where less than half of their top fifths is shared."
)
STRANGE = "This does not look like a dermoscopic image, so the answers mean nothing."
APART, TOGETHER = "different places", "similar places"


def compare(answers: Mapping[str, Answer]) -> dict[tuple[str, str], Any]:
    """Return the agreement of each pair of models that have a map."""
    from hf_lesion.explain.agreement import compare_all

    maps = {
        name: (answer.heatmap, answer.box)
        for name, answer in answers.items()
        if answer.heatmap is not None and answer.box is not None
    }
    return compare_all(maps)


def describe(answers: Mapping[str, Answer]) -> list[dict[str, Any]]:
    """Return the agreement of each pair as the API gives it."""
    return [
        {"models": list(pair), "pearson": found.pearson, "iou": found.iou, "apart": found.is_apart}
        for pair, found in compare(answers).items()
    ]


def render(answers: Mapping[str, Answer]) -> str:
    """Return the comparison as HTML: a verdict on it, a card a model, two tables."""
    return (
        f'<div class="comparison">{_summary(answers)}'
        f'<div class="cards">{"".join(_card(name, one) for name, one in answers.items())}</div>'
        f"{colour_bar()}{_unseen(answers)}{_probabilities(answers)}"
        f"{_agreement(answers)}</div>"
    )


def _summary(answers: Mapping[str, Answer]) -> str:
    labels = {name: answer.label for name, answer in answers.items()}
    if len(set(labels.values())) == 1:
        text = f"All {len(labels)} models say {NAMES[next(iter(labels.values()))]}."
    else:
        groups = [
            f"{NAMES[code]} ({', '.join(name for name, label in labels.items() if label == code)})"
            for code in dict.fromkeys(labels.values())
        ]
        text = f"The models disagree: {'; '.join(groups)}."
    return f'<section class="panel"><h2>{escape(text)}</h2>{_warning(answers)}</section>'


def _warning(answers: Mapping[str, Answer]) -> str:
    strange = [name for name, answer in answers.items() if answer.opinion.is_strange]
    if not strange:
        return ""
    text = f"{STRANGE} So says the gate of {', '.join(strange)}."
    return f'<p class="note warning" role="note">{escape(text)}</p>'


def _unseen(answers: Mapping[str, Answer]) -> str:
    if not any(answer.is_cropped for answer in answers.values()):
        return ""
    return f'<p class="hint">{escape(NOT_SEEN)}</p>'


def _card(name: str, answer: Answer) -> str:
    kind = "malignant" if answer.label in MALIGNANT else "benign"
    picture = answer.overlay() or answer.picture
    alt = (
        f"Heat map of {name} for {NAMES[answer.target]}"
        if answer.heatmap is not None
        else f"The image without a heat map: {answer.notice}"
    )
    notice = f'<p class="notice">{escape(answer.notice)}</p>' if answer.notice else ""
    return (
        f'<article class="card" data-model="{escape(name)}" data-label="{answer.label}">'
        f"<h3>{escape(name)}</h3>"
        f'<img src="{picture_url(_small(picture))}" alt="{escape(alt)}">'
        f'<p><strong>{escape(NAMES[answer.label])}</strong> <span class="tag {kind}">{kind}</span>'
        f"<br>{escape(percent(answer.opinion.probability()))}"
        f"<br>map for {escape(answer.target)}</p>{notice}"
        "</article>"
    )


def _probabilities(answers: Mapping[str, Answer]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in answers)
    rows = ""
    for code in CODES:
        values = [answer.opinion.probability(code) for answer in answers.values()]
        cells = "".join(
            f'<td style="--share:{100 * value:.0f}%">{escape(percent(value))}</td>'
            for value in values
        )
        rows += f'<tr><th scope="row">{escape(NAMES[code])}</th>{cells}</tr>'
    table = (
        f'<table class="matrix"><thead><tr><td class="corner">diagnosis</td>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    return f"<h3>Probabilities</h3>{scrolling(table, 'Probabilities by model')}"


def _agreement(answers: Mapping[str, Answer]) -> str:
    found = compare(answers)
    if not found:
        return ""
    rows = "".join(
        f'<tr class="{"apart" if one.is_apart else ""}"><th scope="row">{escape(first)} and '
        f'{escape(second)}</th><td class="words">{escape(APART if one.is_apart else TOGETHER)}</td>'
        f"<td>{one.pearson:.2f}</td><td>{one.iou:.2f}</td></tr>"
        for (first, second), one in found.items()
    )
    table = (
        '<table class="agreement"><thead><tr><th scope="col">models</th><th scope="col" '
        'class="words">they look at</th><th scope="col">correlation</th><th scope="col">IoU</th>'
        "</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
    return (
        f"<h3>Do the heat maps agree?</h3>{scrolling(table, 'Agreement of the heat maps')}"
        f'<p class="hint">{escape(HOW_COMPARED)}</p>'
    )


def _small(picture: Image.Image) -> Image.Image:
    small = picture.copy()
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    return small
