"""The page's words and HTML: plain functions of values, with every text escaped."""

from collections.abc import Mapping
from html import escape

import numpy as np
from answers import METHOD, METHODS
from catalogue import Measure
from opinions import Opinion

from hf_lesion.labels import DIAGNOSES, MALIGNANT, NAMES, NOTICE, Diagnosis, diagnosis_of

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
NO_COMPARISON = (
    "Choose a drawn example here, or an image of your own in the tab Classify: all models answer, "
    "and you see whether they look at the same places."
)
NO_BATCH = (
    "Add images, or a zip of images, and press Classify all. You get a table, a CSV file in the "
    "ISIC's format, and the reason for each file that could not be used."
)
HEAT_MAP = (
    "The brighter a place, the more it counted for this diagnosis. A heat map shows where the "
    "model looked, not whether it is right."
)
NOT_SEEN = "The model did not see what is dark and grey: it looks at the middle of an image."
WHAT_IS_MALIGNANT = (
    "Malignant: a cancer that can grow into the tissue around it or spread, or, with actinic "
    "keratosis and Bowen's disease, its early form that can become one."
)
SMALLEST_SHOWN = 0.001
LEGEND_STEPS = 9
COLOUR_MAP = "inferno"  # as hf_lesion.explain.gradcam, which takes seconds to import
NOT_OF_A_CLASS = (
    "EigenCAM shows what stands out in the layer at all: it is the same for every diagnosis."
)


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
        if measure.interval is not None:
            low, high = measure.interval
            value += f" [{100 * low:.1f}, {100 * high:.1f}]"
        parts.append(f"balanced accuracy {value} ({measure.split})")
    if drawn_only:
        parts.append("drawn lesions only")
    return " · ".join(parts)


def empty() -> str:
    """Return what stands in the result's place before there is an image."""
    return _empty("No image yet", EMPTY)


def problem(text: str) -> str:
    """Return what stands in the result's place when an image can't be read."""
    return (
        '<section class="panel problem" role="alert"><h2>This image can\'t be used</h2>'
        f"<p>{escape(text)}</p></section>"
    )


def trouble(text: str) -> str:
    """Return what stands in the result's place when something other than the image is wrong."""
    return (
        '<section class="panel problem" role="alert"><h2>That did not work</h2>'
        f"<p>{escape(text)}</p></section>"
    )


def empty_comparison() -> str:
    """Return what stands in the comparison's place before there is an image."""
    return _empty("No image yet", NO_COMPARISON)


def empty_batch() -> str:
    """Return what stands in the table's place before there are files."""
    return _empty("No files yet", NO_BATCH)


def bars(opinion: Opinion) -> str:
    """Return the seven probabilities as bars, the most probable first, and what they are."""
    rows = "".join(_bar(code, opinion) for code in opinion.order())
    return (
        '<section class="panel"><h3 id="bars-title">Probabilities</h3>'
        f'<ul class="bars" aria-labelledby="bars-title">{rows}</ul>'
        f'<p class="sum">The {len(MALIGNANT)} malignant diagnoses together: '
        f"<strong>{escape(percent(opinion.malignant))}</strong></p>"
        f'<p class="hint">{escape(WHAT_IS_MALIGNANT)}</p></section>'
    )


def explanation(target: str, notice: str, method: str = METHOD, *, is_cropped: bool = False) -> str:
    """Return what the heatmap of this diagnosis means, or why there is none."""
    if notice:
        return (
            f'<p class="note warning" role="note" data-target="{escape(target)}">'
            f"{escape(notice)}</p>"
        )
    more = f" {NOT_OF_A_CLASS}" if method == "eigencam" else ""
    more += f" {NOT_SEEN}" if is_cropped else ""
    return (
        f'<div class="caption" data-target="{escape(target)}" data-method="{escape(method)}"><p>'
        f"<strong>{escape(METHODS[method])} for {escape(NAMES[target])}.</strong> "
        f"{escape(HEAT_MAP + more)}</p>{colour_bar()}</div>"
    )


def colour_bar() -> str:
    """Return the heatmap's colours from little to much."""
    return (
        '<div class="legend" role="img" aria-label="Colours from dark, little, to bright, much">'
        f'<span>little</span><i style="background:linear-gradient(90deg,{_legend_colours()})"></i>'
        "<span>much</span></div>"
    )


def diagnoses() -> str:
    """Return the seven diagnoses: name, malignant or not, one sentence each."""
    items = "".join(
        f"<div><dt>{escape(diagnosis.name)} {tag(diagnosis)}</dt>"
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


def _empty(title: str, text: str) -> str:
    return f'<section class="panel empty"><h2>{escape(title)}</h2><p>{escape(text)}</p></section>'


def _bar(code: str, opinion: Opinion) -> str:
    diagnosis, probability = diagnosis_of(code), opinion.probability(code)
    kind = "malignant" if diagnosis.malignant else "benign"
    text = escape(percent(probability))
    width = 100 * probability
    mark = tag(diagnosis) if diagnosis.malignant else ""
    return (
        f'<li class="{kind}" data-code="{code}" data-probability="{probability:.8f}">'
        f'<div class="row"><span class="name">{escape(diagnosis.name)} {mark}</span>'
        f'<span class="value">{text}</span></div>'
        f'<div class="track" role="meter" aria-label="{escape(diagnosis.name)}, {kind}" '
        f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{width:.1f}" '
        f'aria-valuetext="{text}"><div class="fill" style="width:{width:.2f}%"></div></div></li>'
    )


def tag(diagnosis: Diagnosis) -> str:
    """Return whether a diagnosis is malignant, as a small mark."""
    kind = "malignant" if diagnosis.malignant else "benign"
    return f'<span class="tag {kind}">{kind}</span>'


def _legend_colours() -> str:
    """Return the heatmap's own colours, from no evidence to most, as CSS."""
    import matplotlib  # not before the page is served

    ramp = np.linspace(0, 1, LEGEND_STEPS, dtype=np.float32)
    colours = matplotlib.colormaps[COLOUR_MAP](ramp, bytes=True)[:, :3]
    return ",".join(f"rgb({red},{green},{blue})" for red, green, blue in colours)
