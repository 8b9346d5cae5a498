"""A one-page report of one answer, as HTML and as PNG: made on the spot, kept nowhere."""

import io
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from answers import METHODS, Answer
from markup import data_url, picture_url
from messages import NOT_SEEN, percent
from PIL import Image

from hf_lesion.labels import MALIGNANT, NAMES, NOTICE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE_NAME = "hf_lesion_report"
PAPER = (8.27, 11.69)  # inches: A4
RESOLUTION = 130  # dots per inch
MALIGNANT_COLOUR, BENIGN_COLOUR, INK = "#b3402a", "#0f766e", "#1f2937"
HASH_SHOWN = 16

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 50rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; }
.pictures { display: flex; gap: 1rem; flex-wrap: wrap; }
figure { flex: 1 1 18rem; margin: 0; }
img { width: 100%; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid #e5e7eb; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.bar { height: .6rem; background: #0f766e; } .malignant .bar { background: #b3402a; }
.notice { border-left: 4px solid #0f766e; background: #e0f2ef; padding: .6rem .9rem; }
.warning { border-left: 4px solid #8a5a00; background: #fdf3dc; padding: .6rem .9rem; }
footer { color: #4b5563; font-size: .85rem; overflow-wrap: anywhere; }
@media print { body { margin: 0; } }
"""


@dataclass(frozen=True)
class Report:
    """What goes onto the page.

    Attributes:
        answer: The model's.
        verdict: Sentences on it, the most important first.
        warnings: What to know before reading them: the gate's notice.
        model: The model's name.
        weights: SHA-256 of each network's weights, by name.
        opacity: Of the heatmap, in per cent.
        time: When it was made.
    """

    answer: Answer
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    model: str
    weights: Mapping[str, str]
    opacity: float
    time: datetime

    @property
    def origin(self) -> str:
        """Model, weights and date in one line."""
        hashes = ", ".join(
            f"{name} {digest[:HASH_SHOWN]}…" for name, digest in self.weights.items()
        )
        return (
            f"Model {self.model}; weights (SHA-256): {hashes}. Made on "
            f"{self.time:%Y-%m-%d %H:%M} UTC by hf_lesion."
        )

    @property
    def caption(self) -> str:
        """What the second picture shows."""
        if self.answer.heatmap is None:
            return self.answer.notice
        caption = f"{METHODS[self.answer.method]} for {NAMES[self.answer.target]}"
        return f"{caption}. {NOT_SEEN}" if self.answer.is_cropped else caption


def links(report: Report) -> str:
    """Return links that hold the report as HTML and as PNG."""
    page = data_url(render_html(report).encode(), "text/html")
    picture = data_url(render_png(report), "image/png")
    return (
        '<p class="downloads">The report: '
        f'<a class="download" download="{FILE_NAME}.html" href="{page}">Download HTML</a> '
        f'<a class="download" download="{FILE_NAME}.png" href="{picture}">Download PNG</a></p>'
    )


def render_html(report: Report) -> str:
    """Return the report as one HTML file that needs no other."""
    answer = report.answer
    warnings = "".join(f'<p class="warning">{escape(text)}</p>' for text in report.warnings)
    verdict = "".join(f"<p>{escape(text)}</p>" for text in report.verdict)
    second = answer.overlay(report.opacity)
    pictures = _figure(answer.picture, "The image") + (
        _figure(second, report.caption) if second else f"<p>{escape(report.caption)}</p>"
    )
    rows = "".join(
        f'<tr class="{"malignant" if code in MALIGNANT else "benign"}"><th scope="row">'
        f"{escape(NAMES[code])}</th><td>{'malignant' if code in MALIGNANT else 'benign'}</td>"
        f'<td class="n">{escape(percent(value))}</td><td style="width:40%"><div class="bar" '
        f'style="width:{100 * value:.1f}%"></div></td></tr>'
        for code, value in _ordered(answer)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Skin lesion classifier: '
        f"report</title><style>{STYLE}</style></head><body><h1>{escape(NAMES[answer.label])}</h1>"
        f'<p class="notice"><strong>{escape(NOTICE)}</strong></p>{warnings}{verdict}'
        f'<div class="pictures">{pictures}</div><table><thead><tr><th scope="col">diagnosis</th>'
        '<th scope="col">kind</th><th scope="col">probability</th><td></td></tr></thead>'
        f"<tbody>{rows}</tbody></table><footer><p>{escape(report.origin)}</p></footer></body></html>"
    )


def render_png(report: Report) -> bytes:
    """Return the report as one picture of a page of A4."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    answer = report.answer
    figure = Figure(figsize=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    heights = [2.6, 4.2, 3.4, 0.8]
    top, middle, bottom, end = figure.subfigures(4, 1, squeeze=False, height_ratios=heights)[:, 0]
    top.text(0.04, 0.92, NAMES[answer.label], fontsize=18, weight="bold", va="top", color=INK)
    texts = [NOTICE, *report.warnings, *report.verdict]
    top.text(0.04, 0.72, "\n".join(map(_wrap, texts)), fontsize=9.5, va="top", color=INK)
    second = answer.overlay(report.opacity) or answer.picture
    for axes, picture, title in zip(
        middle.subplots(1, 2), (answer.picture, second), ("The image", report.caption), strict=True
    ):
        axes.imshow(np.asarray(picture))
        axes.set_title(_wrap(title, 48), fontsize=9, color=INK)
        axes.axis("off")
    _draw_bars(bottom.subplots(), answer)
    end.text(0.04, 0.5, _wrap(report.origin, 110), fontsize=7.5, va="center", color=INK)
    stream = io.BytesIO()
    figure.savefig(stream, dpi=RESOLUTION, format="png")
    return stream.getvalue()


def _draw_bars(axes: "Axes", answer: Answer) -> None:
    ordered = _ordered(answer)[::-1]
    names = [f"{NAMES[code]}{' (malignant)' if code in MALIGNANT else ''}" for code, _ in ordered]
    values = [value for _, value in ordered]
    colours = [MALIGNANT_COLOUR if code in MALIGNANT else BENIGN_COLOUR for code, _ in ordered]
    bars = axes.barh(names, values, color=colours)
    axes.bar_label(bars, [percent(value) for value in values], padding=3)
    axes.set_xlim(0, 1.12)
    axes.set_xlabel("Probability")
    axes.spines[["top", "right"]].set_visible(False)


def _ordered(answer: Answer) -> list[tuple[str, float]]:
    return [(code, answer.opinion.probability(code)) for code in answer.opinion.order()]


def _figure(picture: Image.Image, caption: str) -> str:
    return (
        f'<figure><img src="{picture_url(picture)}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _wrap(text: str, width: int = 100) -> str:
    return textwrap.fill(text, width)
