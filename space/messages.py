"""The page's words and HTML: plain functions of values, with every text escaped."""

from collections.abc import Mapping
from html import escape

import numpy as np
from catalogue import Measure
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.explain.heatmap import overlay
from hf_lesion.labels import CODES, DIAGNOSES, MALIGNANT, NAMES, NOTICE, Diagnosis, diagnosis_of

TITLE = "Skin lesion classifier"
LEDE = (
    "Shows what a neural network makes of a dermoscopic image: a probability for each of the seven "
    "diagnoses of the HAM10000 dataset, and where in the image it looked."
)
DRAWN_ONLY = (
    "These models know only drawn lesions: they were trained on a synthetic sample set, "
    "so what they say about a photograph of skin means nothing."
)
EMPTY = (
    "Choose a drawn example, or add a dermoscopic image of your own. Here you will then see the "
    "most probable diagnosis, the probabilities of all seven, and a heat map."
)
HEAT_MAP = (
    "The brighter a place, the more it counted for this diagnosis. A heat map shows where the "
    "model looked, not whether it is right."
)
SMALLEST_SHOWN = 0.001
LEGEND_STEPS = 9


def percent(probability: float) -> str:
    """Return a probability as text that never claims 0% or 100%."""
    if probability < SMALLEST_SHOWN:
        return f"<{100 * SMALLEST_SHOWN:.1f}%"
    if probability > 1 - SMALLEST_SHOWN:
        return f">{100 * (1 - SMALLEST_SHOWN):.1f}%"
    return f"{100 * probability:.1f}%"


def header(drawn_only: bool) -> str:
    """Return the title, what this is, the research notice and, if it applies, the sample banner."""
    banner = f'<p class="note warning" role="note">{escape(DRAWN_ONLY)}</p>' if drawn_only else ""
    return (
        f'<header class="top"><h1>{escape(TITLE)}</h1><p class="lede">{escape(LEDE)}</p>'
        f'<p class="note" id="notice" role="note">{escape(NOTICE)}</p>{banner}</header>'
    )


def footer() -> str:
    """Return the research notice once more, for the end of the page."""
    return f'<footer class="bottom"><p>{escape(NOTICE)}</p></footer>'


def model_label(name: str, measure: Measure | None, drawn_only: bool) -> str:
    """Return a model's name with what was measured of it."""
    parts = [name]
    if measure is not None:
        value = f"{100 * measure.balanced_accuracy:.1f}%"
        parts.append(f"balanced accuracy {value} ({measure.split})")
    if drawn_only:
        parts.append("drawn lesions only")
    return " · ".join(parts)


def empty() -> str:
    """Return what stands in the result's place before there is an image."""
    return f'<section class="panel empty"><h2>No image yet</h2><p>{escape(EMPTY)}</p></section>'


def problem(text: str) -> str:
    """Return what stands in the result's place when an image can't be read."""
    return (
        '<section class="panel problem" role="alert"><h2>This image can\'t be used</h2>'
        f"<p>{escape(text)}</p></section>"
    )


def verdict(label: str, probability: float, model: str) -> str:
    """Return the most probable diagnosis with its probability and what it means."""
    diagnosis = diagnosis_of(label)
    name = escape(diagnosis.name)
    return (
        f'<section class="panel verdict" data-label="{label}" '
        f'data-model="{escape(model)}"><h2>{name} {_tag(diagnosis)}</h2>'
        f"<p>Of the seven diagnoses, the model {escape(model)} finds <strong>{name}</strong> the "
        f"most probable: <strong>{escape(percent(probability))}</strong>.</p>"
        f'<p class="meaning">{escape(diagnosis.sentence)}</p></section>'
    )


def bars(probabilities: NDArray[np.float32]) -> str:
    """Return the seven probabilities as bars, the most probable first.

    Args:
        probabilities: (C,) in the order of `CODES`.
    """
    order = np.argsort(-probabilities, kind="stable")
    rows = "".join(_bar(CODES[index], float(probabilities[index])) for index in order)
    malignant = sum(float(probabilities[CODES.index(code)]) for code in MALIGNANT)
    return (
        '<section class="panel"><h3 id="bars-title">Probabilities</h3>'
        f'<ul class="bars" aria-labelledby="bars-title">{rows}</ul>'
        f'<p class="sum">The {len(MALIGNANT)} malignant diagnoses together: '
        f"<strong>{escape(percent(malignant))}</strong></p></section>"
    )


def explanation(target: str, notice: str) -> str:
    """Return what the heatmap of this diagnosis means, or why there is none."""
    if notice:
        return f'<p class="note warning" role="note" data-target="{target}">{escape(notice)}</p>'
    return (
        f'<div class="caption" data-target="{target}"><p><strong>Grad-CAM for '
        f"{escape(NAMES[target])}.</strong> {escape(HEAT_MAP)}</p>"
        f'<div class="legend" aria-hidden="true"><span>little</span>'
        f'<i style="background:linear-gradient(90deg,{_legend_colours()})"></i>'
        "<span>much</span></div></div>"
    )


def diagnoses() -> str:
    """Return the seven diagnoses: name, malignant or not, one sentence each."""
    items = "".join(
        f"<div><dt>{escape(diagnosis.name)} {_tag(diagnosis)}</dt>"
        f"<dd>{escape(diagnosis.sentence)}</dd></div>"
        for diagnosis in DIAGNOSES
    )
    return f'<dl class="diagnoses">{items}</dl>'


def examples(pictures: Mapping[str, str]) -> str:
    """Return the strip of drawn examples: one button per diagnosis.

    Args:
        pictures: A `data:` URL of each code.
    """
    buttons = "".join(
        f'<button type="button" data-dx="{code}" aria-label="Drawn example: '
        f'{escape(NAMES[code])}" title="{escape(NAMES[code])}">'
        f'<img src="{escape(url)}" alt=""></button>'
        for code, url in pictures.items()
    )
    return (
        '<section class="examples"><h3>Drawn examples, not photographs</h3>'
        f'<div class="strip">{buttons}</div></section>'
    )


def _bar(code: str, probability: float) -> str:
    diagnosis = diagnosis_of(code)
    kind = "malignant" if diagnosis.malignant else "benign"
    text = escape(percent(probability))
    width = 100 * probability
    mark = _tag(diagnosis) if diagnosis.malignant else ""
    return (
        f'<li class="{kind}" data-code="{code}" data-probability="{probability:.8f}">'
        f'<div class="row"><span class="name">{escape(diagnosis.name)} {mark}</span>'
        f'<span class="value">{text}</span></div>'
        f'<div class="track" role="meter" aria-label="{escape(diagnosis.name)}, {kind}" '
        f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{width:.1f}" '
        f'aria-valuetext="{text}"><div class="fill" style="width:{width:.2f}%"></div></div></li>'
    )


def _tag(diagnosis: Diagnosis) -> str:
    kind = "malignant" if diagnosis.malignant else "benign"
    return f'<span class="tag {kind}">{kind}</span>'


def _legend_colours() -> str:
    """Return the heatmap's own colours, from no evidence to most, as CSS."""
    ramp = np.linspace(0, 1, LEGEND_STEPS, dtype=np.float32)[np.newaxis]
    strip = overlay(Image.new("RGB", (LEGEND_STEPS, 1)), ramp, opacity=1.0)
    colours = np.asarray(strip)[0]
    return ",".join(f"rgb({red},{green},{blue})" for red, green, blue in colours)
