"""The table of a batch as HTML, with a link that holds the same as CSV."""

import base64
from collections.abc import Sequence
from html import escape

from batch import Row, format_csv
from messages import percent

from hf_lesion.labels import CODES, MALIGNANT, NAMES

CSV_NAME = "predictions.csv"


def render(rows: Sequence[Row], model: str) -> str:
    """Return what became of each file: the answers, the failures with their reasons, the CSV."""
    answered = [row for row in rows if row.probabilities is not None]
    failed = [row for row in rows if row.probabilities is None]
    said = f"{len(answered)} of {len(rows)} images classified by {model}."
    parts = [
        f'<section class="panel" id="batch-summary"><h2>{escape(said)}</h2>{_counts(answered)}'
    ]
    if answered:
        parts.append(_link(answered))
    parts.append("</section>")
    if failed:
        parts.append(_failures(failed))
    if answered:
        parts.append(_answers(answered))
    return "".join(parts)


def _counts(rows: Sequence[Row]) -> str:
    counts = {code: sum(row.label == code for row in rows) for code in CODES}
    found = [f"{count} × {NAMES[code]}" for code, count in counts.items() if count]
    return f"<p>{escape(', '.join(found))}</p>" if found else ""


def _link(rows: Sequence[Row]) -> str:
    # The link itself holds the file: nothing is written on this machine.
    content = base64.b64encode(format_csv(rows).encode()).decode("ascii")
    return (
        f'<p><a class="download" download="{CSV_NAME}" href="data:text/csv;base64,{content}">'
        f"Download {CSV_NAME}</a> (columns as in the ISIC challenges)</p>"
    )


def _failures(rows: Sequence[Row]) -> str:
    items = "".join(f"<li>{escape(row.problem)}</li>" for row in rows)
    return (
        f'<section class="panel problem" id="batch-failures"><h3>{len(rows)} could not be used</h3>'
        f"<ul>{items}</ul></section>"
    )


def _answers(rows: Sequence[Row]) -> str:
    body = "".join(_answer(row) for row in rows)
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Answers, scrolls sideways">'
        '<table class="answers"><thead><tr><th scope="col">file</th>'
        '<th scope="col" class="words">most probable</th><th scope="col">probability</th>'
        '<th scope="col">malignant together</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _answer(row: Row) -> str:
    values = row.probabilities
    assert values is not None
    malignant = sum(float(values[CODES.index(code)]) for code in MALIGNANT)
    kind = "malignant" if row.label in MALIGNANT else "benign"
    top = percent(float(values.max()))
    return (
        f'<tr><th scope="row">{escape(row.name)}</th><td class="words">{escape(NAMES[row.label])} '
        f'<span class="tag {kind}">{kind}</span></td><td>{escape(top)}</td>'
        f"<td>{escape(percent(malignant))}</td></tr>"
    )
