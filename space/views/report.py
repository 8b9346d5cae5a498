"""Report of one result: a self-contained HTML file, made on request and not stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

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


@dataclass(frozen=True)
class Report:
    """The contents of a report.

    Attributes:
        explanation: The result and its heatmap, as shown.
        entry: The model.
        title: The model's title.
        colours: The heatmap's colour map.
        time: When the report is made, in UTC.
    """

    explanation: Explanation
    entry: Entry
    title: str
    colours: str
    time: datetime


def download(report: Report) -> str:
    """Return a link that contains the report; the page clicks it."""
    url = data_url(render(report).encode(), "text/html")
    return f'<a download="{FILE_NAME}" href="{url}">Download the report</a>'


def render(report: Report) -> str:
    """Return the report as HTML."""
    result = report.explanation.result
    if result.is_rejected:
        title, parts = "Result hidden", [f"<p>{escape(rejection_text(result))}</p>"]
        parts.append(_figures([_figure(report.explanation, None, "The image")]))
    else:
        title = f"{NAMES[result.label]}, {percent(result.probability())}"
        parts = _diagnosis(report)
    made = (
        f"Model {report.title} ({report.entry.name}), weights with SHA-256 "
        f"{report.entry.weights_sha256 or 'unknown'}. {report.time:%Y-%m-%d %H:%M} UTC, hf_lesion."
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}: report</title>'
        f'<style>{STYLE}</style></head><body><p class="notice"><b>{escape(NOTICE)}</b></p>'
        f"<h1>{escape(title)}</h1>{''.join(parts)}<footer><p>{escape(made)}</p></footer></body></html>"
    )


def _diagnosis(report: Report) -> list[str]:
    explanation = report.explanation
    result = explanation.result
    items = "".join(
        f'<li class="{kind}">{escape(text)}</li>' for text, kind in chips(result, report.entry)
    )
    figures = [_figure(explanation, None, "The image")]
    if explanation.heatmap is not None:
        figures.append(_figure(explanation, report.colours, caption(explanation)))
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
        "" if explanation.heatmap is not None else f"<p>{escape(explanation.notice)}</p>",
        '<table><thead><tr><th scope="col">Diagnosis</th><td></td><th scope="col">Probability</th>'
        f"<td></td></tr></thead><tbody>{rows}</tbody></table>",
    ]


def _figures(figures: Sequence[str]) -> str:
    return f'<div class="pictures">{"".join(figures)}</div>'


def _figure(explanation: Explanation, colours: str | None, text: str) -> str:
    picture = explanation.result.picture if colours is None else explanation.overlay(colours)
    assert picture is not None
    key = "" if colours is None else legend(colours)
    method = "" if colours is None else f" {METHOD_NAMES[explanation.method]}."
    return (
        f'<figure><img src="{picture_url(picture)}" alt="{escape(text)}">{key}'
        f"<figcaption>{escape(text + method)}</figcaption></figure>"
    )
