"""The table of a batch as HTML, with a link that holds the same as CSV."""

from collections.abc import Sequence
from html import escape

from batch import Row, format_csv
from markup import data_url, scrolling
from messages import percent
from opinions import Opinion

from hf_lesion.labels import CODES, MALIGNANT, NAMES

CSV_NAME = "predictions.csv"
CSV_HOLDS = (
    "scores in columns as in the ISIC challenges, and how often such results were right in our test"
)


def render(rows: Sequence[Row], model: str) -> str:
    """Return what became of each file: the answers, the failures with their reasons, the CSV."""
    answered = [row for row in rows if row.opinion is not None]
    failed = [row for row in rows if row.opinion is None]
    said = f"{len(answered)} of {len(rows)} images classified by {model}."
    parts = [
        f'<section class="panel" id="batch-summary"><h2>{escape(said)}</h2>{_counts(answered)}'
        f"{_strange(answered)}"
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
    url = data_url(format_csv(rows).encode(), "text/csv")
    return (
        f'<p><a class="download" download="{CSV_NAME}" href="{url}">Download {CSV_NAME}</a> '
        f"({escape(CSV_HOLDS)})</p>"
    )


def _failures(rows: Sequence[Row]) -> str:
    items = "".join(f"<li>{escape(row.problem)}</li>" for row in rows)
    return (
        f'<section class="panel problem" id="batch-failures"><h3>{len(rows)} could not be used</h3>'
        f"<ul>{items}</ul></section>"
    )


def _answers(rows: Sequence[Row]) -> str:
    body = "".join(_answer(row) for row in rows)
    table = (
        '<table class="answers"><thead><tr><th scope="col">file</th><th scope="col" class="words">'
        'looks most like</th><th scope="col">probability</th><th scope="col">malignant together'
        f"</th></tr></thead><tbody>{body}</tbody></table>"
    )
    return scrolling(table, "Answers")


def _answer(row: Row) -> str:
    opinion = row.opinion
    assert opinion is not None
    kind = "malignant" if row.label in MALIGNANT else "benign"
    return (
        f'<tr><th scope="row">{escape(row.name)}{_note(opinion)}</th><td class="words">'
        f'{escape(NAMES[row.label])} <span class="tag {kind}">{kind}</span></td>'
        f"<td>{escape(percent(opinion.probability()))}</td>"
        f"<td>{escape(percent(opinion.malignant))}</td></tr>"
    )


def _note(opinion: Opinion) -> str:
    text = "not dermoscopic?" if opinion.is_strange else "unsure" if opinion.is_unsure else ""
    return f' <span class="tag warning">{escape(text)}</span>' if text else ""


def _strange(rows: Sequence[Row]) -> str:
    count = sum(row.opinion is not None and row.opinion.is_strange for row in rows)
    if not count:
        return ""
    text = f"{count} of them marked “not dermoscopic?”: what is said of these means nothing."
    return f'<p class="note warning" role="note">{escape(text)}</p>'
