"""Report of one result: a self-contained HTML file, made on request and not stored."""

from datetime import UTC, datetime
from html import escape

from PIL import Image
from predictions import Explanation, Result
from registry import Entry
from views.heatmap import caption, legend
from views.markup import download_link, picture_url, table
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
td:last-child { width: 40%; }
.bar { height: .6rem; background: #0f766e; } .bar.malignant { background: #b3402a; }
.notice { border-left: 4px solid #8a5a00; background: #fdf3dc; padding: .6rem .9rem; }
.loud { font-weight: 700; color: #b3402a; }
.legend { display: flex; gap: .5rem; align-items: center; font-size: .85rem; }
.legend i { flex: 1; height: 8px; border-radius: 4px; }
footer { color: #4b5563; font-size: .85rem; overflow-wrap: anywhere; }
@media print { body { margin: 0; } * { print-color-adjust: exact; } }
"""


def download(explanation: Explanation, entry: Entry, title: str, colours: str) -> str:
    """Return a link that contains the report of what is shown; the page clicks it."""
    result = explanation.result
    image = _figure(result.picture, "The image", "The image")
    if result.is_rejected:
        heading = "Result hidden"
        body = f'<p>{escape(rejection_text(result))}</p><div class="pictures">{image}</div>'
    else:
        heading = f"{NAMES[result.label]}, {percent(result.probability())}"
        items = "".join(
            f'<li class="{kind}">{escape(text)}</li>' for text, kind in chips(result, entry)
        )
        body = (
            f"<p>{escape(line(result))}</p><ul>{items}</ul>"
            f'<div class="pictures">{image}{_heatmap(explanation, colours)}</div>'
            f"{_probabilities(result)}"
        )
    source = (
        f"Model {title} ({entry.name}), weights with SHA-256 {entry.weights_sha256 or 'unknown'}. "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, hf_lesion."
    )
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}: report</title>'
        f'<style>{STYLE}</style></head><body><p class="notice"><b>{escape(NOTICE)}</b></p>'
        f"<h1>{escape(heading)}</h1>{body}<footer><p>{escape(source)}</p></footer></body></html>"
    )
    return download_link(FILE_NAME, page.encode(), "text/html", "Download the report")


def _heatmap(explanation: Explanation, colours: str) -> str:
    overlay = explanation.overlay(colours)
    if overlay is None:
        return f"<p>{escape(explanation.notice)}</p>"
    text = caption(explanation)
    key = legend(colours)
    return _figure(overlay, text, f"{text} {METHOD_NAMES[explanation.method]}.", key)


def _figure(picture: Image.Image, alt: str, text: str, key: str = "") -> str:
    return (
        f'<figure><img src="{picture_url(picture)}" alt="{escape(alt)}">{key}'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )


def _probabilities(result: Result) -> str:
    rows = []
    for code in result.order():
        kind = "malignant" if code in MALIGNANT else "benign"
        bar = f'<div class="bar {kind}" style="width:{100 * result.probability(code):.1f}%"></div>'
        word = kind if code in MALIGNANT else ""
        rows.append((NAMES[code], word, escape(percent(result.probability(code))), bar))
    titles = ("Diagnosis", "Type", "Probability", "")
    return table(titles, rows, label="Probabilities", kind="probabilities")
