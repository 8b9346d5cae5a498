"""Report of one result: a self-contained HTML file, made on request and not stored."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from PIL import Image
from predictions import Explanation
from registry import Entry
from views.heatmap import caption, legend
from views.markup import data_url, picture_url
from views.text import NOTICE, TITLE, percent
from views.verdict import chips, line, rejection_text

from hf_lesion.explain.names import METHOD_NAMES
from hf_lesion.labels import MALIGNANT, NAMES

FILE_NAME = "lesion_report.html"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 50rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 1rem 0 .2rem; }
.pictures { display: flex; gap: 1rem; flex-wrap: wrap; }
figure { flex: 1 1 18rem; margin: 0; }
img { width: 100%; height: auto; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid #e5e7eb; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.bar { height: .6rem; background: #0f766e; } .malignant .bar { background: #b3402a; }
.notice { border-left: 4px solid #8a5a00; background: #fdf3dc; padding: .6rem .9rem; }
.loud { font-weight: 700; color: #b3402a; }
.legend { display: flex; gap: .5rem; align-items: center; font-size: .85rem; }
.legend i { flex: 1; height: 8px; border-radius: 4px; }
footer { color: #4b5563; font-size: .85rem; overflow-wrap: anywhere; }
@media print { body { margin: 0; } * { print-color-adjust: exact; } }
"""


def download(explanation: Explanation, entry: Entry, title: str, colours: str) -> str:
    """Return a link that contains the report; the page clicks it.

    Args:
        explanation: The result and its heatmap, as shown.
        entry: The model.
        title: The model's title.
        colours: The heatmap's colour map.
    """
    content = render(explanation, entry, title, colours).encode()
    url = data_url(content, "text/html")
    return f'<a download="{FILE_NAME}" href="{url}">Download the report</a>'


def render(explanation: Explanation, entry: Entry, title: str, colours: str) -> str:
    """Return the report as HTML; arguments as for `download`."""
    result = explanation.result
    if result.is_rejected:
        heading = "Result hidden"
        parts = [f"<p>{escape(rejection_text(result))}</p>", _figures([_image_figure(explanation)])]
    else:
        heading = f"{NAMES[result.label]}, {percent(result.probability())}"
        parts = _diagnosis(explanation, entry, colours)
    source = (
        f"Model {title} ({entry.name}), weights with SHA-256 {entry.weights_sha256 or 'unknown'}. "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, hf_lesion."
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}: report</title>'
        f'<style>{STYLE}</style></head><body><p class="notice"><b>{escape(NOTICE)}</b></p>'
        f"<h1>{escape(heading)}</h1>{''.join(parts)}<footer><p>{escape(source)}</p></footer></body>"
        "</html>"
    )


def _diagnosis(explanation: Explanation, entry: Entry, colours: str) -> list[str]:
    result = explanation.result
    items = "".join(
        f'<li class="{kind}">{escape(text)}</li>' for text, kind in chips(result, entry)
    )
    figures = [_image_figure(explanation)]
    overlay = explanation.overlay(colours)
    if overlay is not None:
        text = f"{caption(explanation)} {METHOD_NAMES[explanation.method]}."
        figures.append(_figure(overlay, caption(explanation), text, legend(colours)))
    rows = "".join(
        f'<tr class="{"malignant" if code in MALIGNANT else "benign"}"><th scope="row">'
        f"{escape(NAMES[code])}</th><td>{'malignant' if code in MALIGNANT else ''}</td>"
        f'<td class="n">{escape(percent(result.probability(code)))}</td><td style="width:40%">'
        f'<div class="bar" style="width:{100 * result.probability(code):.1f}%"></div></td></tr>'
        for code in result.order()
    )
    return [
        f"<p>{escape(line(result))}</p><ul>{items}</ul>",
        _figures(figures),
        f"<p>{escape(explanation.notice)}</p>" if explanation.notice else "",
        '<table><thead><tr><th scope="col">Diagnosis</th><td></td><th scope="col">Probability</th>'
        f"<td></td></tr></thead><tbody>{rows}</tbody></table>",
    ]


def _figures(figures: Sequence[str]) -> str:
    return f'<div class="pictures">{"".join(figures)}</div>'


def _image_figure(explanation: Explanation) -> str:
    return _figure(explanation.result.picture, "The image", "The image")


def _figure(picture: Image.Image, alt: str, text: str, key: str = "") -> str:
    return (
        f'<figure><img src="{picture_url(picture)}" alt="{escape(alt)}">{key}'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )
