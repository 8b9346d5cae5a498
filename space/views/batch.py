"""Batch results: a table, the failures with their reasons, and a CSV file."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from predictions import Result
from views.markup import download_link, table
from views.text import dot, percent

from hf_lesion.labels import CODES, NAMES

CSV_NAME = "predictions.csv"
NOT_JUDGED = "not judged"
# Column order of the ISIC challenges.
ISIC_CODES = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")
FORMULA_STARTS = ("=", "+", "-", "@", "\t")


@dataclass(frozen=True)
class Row:
    """The result for one image, or the problem because of which there is none."""

    name: str
    result: Result | None
    problem: str = ""


def render(rows: Sequence[Row], model: str) -> str:
    """Return the summary with a link to the CSV, the failures, and the table."""
    done = [(row.name, row.result) for row in rows if row.result is not None]
    failed = [row.problem for row in rows if row.result is None]
    classified = sum(not result.is_rejected for _, result in done)
    summary = f"{classified} of {len(rows)} images classified by {model}"
    link = ""
    if done:
        link = download_link(
            CSV_NAME, format_csv(rows).encode(), "text/csv", f"Download {CSV_NAME}"
        )
        link = f"<p>{link} (ISIC format with a gate column)</p>"
    shown = (
        f'<section class="panel" id="batch-summary"><h2>{escape(summary)}</h2>{_counts(done)}{link}'
        "</section>"
    )
    if failed:
        items = "".join(f"<li>{escape(text)}</li>" for text in failed)
        shown += (
            f'<section class="panel problem" id="batch-failures"><h3>{len(failed)} could not be '
            f"used</h3><ul>{items}</ul></section>"
        )
    if done:
        titles = ("File", "Top class", "Probability", "P(malignant)")
        cells = (_cells(name, result) for name, result in done)
        shown += table(titles, cells, label="Results", kind="answers")
    return shown


def format_csv(rows: Sequence[Row]) -> str:
    """Return the probabilities in the format of the ISIC challenges, and the gate's verdict.

    Columns are image, MEL, NV, BCC, AKIEC, BKL, DF, VASC and gate. Rejected images have no
    probabilities; unreadable files are omitted. Names that a spreadsheet would evaluate as a
    formula are quoted.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image", *(code.upper() for code in ISIC_CODES), "gate"])
    for row in rows:
        if row.result is None:
            continue
        values = [f"{row.result.probabilities[CODES.index(code)]:.8f}" for code in ISIC_CODES]
        shown = [""] * len(values) if row.result.is_rejected else values
        name = os.path.splitext(row.name)[0]
        writer.writerow([f"'{name}" if name.startswith(FORMULA_STARTS) else name, *shown,
                         row.result.gate])  # fmt: skip
    return stream.getvalue()


def _counts(done: Sequence[tuple[str, Result]]) -> str:
    labels = [result.label for _, result in done if not result.is_rejected]
    found = [f"{labels.count(code)} × {NAMES[code]}" for code in CODES if code in labels]
    rejected = len(done) - len(labels)
    if rejected:
        found.append(f"{rejected} × {NOT_JUDGED}")
    return f"<p>{escape(', '.join(found))}</p>" if found else ""


def _cells(name: str, result: Result) -> tuple[str, ...]:
    if result.is_rejected:
        return escape(name), NOT_JUDGED, "–", "–"
    unsure = ' <span class="chip warning">low confidence</span>' if result.is_unsure else ""
    return (
        escape(name),
        f"{dot(result.label)}{escape(NAMES[result.label])}{unsure}",
        escape(percent(result.probability())),
        escape(percent(result.malignant)),
    )
