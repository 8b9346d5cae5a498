"""Report pages: report.md, report.html and figures, all made from `report.json`."""

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from matplotlib.figure import Figure

from hf_lesion.evaluation.report import figures, tables
from hf_lesion.evaluation.report.record import format_title, say_images
from hf_lesion.evaluation.report.tables import Table
from hf_lesion.evaluation.subgroups import SKIN_TONE
from hf_lesion.io.figures import write_figure
from hf_lesion.io.files import write_text
from hf_lesion.labels import CODES, NOTICE

MARKDOWN, PAGE, FIGURES = "report.md", "report.html", "figures"
# Name of a figure → how it is drawn, the beginning of its title, and its alternative text.
DRAWN: dict[str, tuple[Callable[..., Figure], str, str]] = {
    "subgroups": (
        figures.draw_subgroups,
        "Subgroups. ",
        "Two scores of every subgroup with intervals.",
    ),
    "confusion_matrix": (
        figures.draw_confusion,
        "",
        "Confusion matrix: the numbers of the table above.",
    ),
    "roc": (
        figures.draw_roc,
        "ROC curves. ",
        "ROC curves of the seven diagnoses and of malignant.",
    ),
    "precision_recall": (
        figures.draw_precision_recall,
        "Precision-recall curves. ",
        "Precision-recall curves of the same.",
    ),
    "reliability": (
        figures.draw_reliability,
        "Calibration. ",
        "Reliability diagram: accuracy by top probability.",
    ),
    "risk_coverage": (
        figures.draw_risk,
        "Risk and coverage. ",
        "Risk-coverage curve: error rate among the most confident images.",
    ),
}


class Picture(NamedTuple):
    """File of a figure and its alternative text."""

    file: str
    alt: str


class Section(NamedTuple):
    """A heading, paragraphs, tables and figures about one topic; `calculator` is for the page."""

    name: str
    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    calculator: Sequence[dict[str, Any]] = ()


def write_pages(
    folder: Path, report: Mapping[str, dict[str, Any]], *, fresh: Collection[str] | None = None
) -> None:
    """Write report.md, report.html and the figures of every split of a report.

    Records of earlier versions, which lack what the page shows, are left out. Figures that are
    there are drawn again for the splits in `fresh`; None draws all.
    """
    whole = {split: record for split, record in report.items() if "curves" in record}
    for split, record in whole.items():
        drawn = (folder / FIGURES / f"{list(DRAWN)[-1]}_{split}.png").is_file()
        if fresh is None or split in fresh or not drawn:
            for name, (draw, heading, _) in DRAWN.items():
                if name != "subgroups" or tables.list_groups(record):
                    figure = draw(record, title=f"{heading}{format_title(record)}")
                    write_figure(figure, folder / FIGURES / f"{name}_{split}.png")
    splits = [
        {"name": split, "title": format_title(record), "sections": build_sections(split, record)}
        for split, record in whole.items()
    ]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hf_lesion.evaluation"),
        autoescape=jinja2.select_autoescape(("html.jinja",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["embed"] = lambda file: (
        f"data:image/png;base64,{base64.b64encode((folder / file).read_bytes()).decode()}"
    )
    for name in (MARKDOWN, PAGE):
        template = environment.get_template(f"{name}.jinja")
        write_text(folder / name, template.render(splits=splits, notice=NOTICE))


def build_sections(split: str, record: dict[str, Any]) -> list[Section]:
    """Return the sections of one split, in reading order."""
    own = (_scores, _curves, _calibration, _operating_points, _unsure, _subgroups, _origin)
    return [section for build in own if (section := build(split, record)) is not None]


def say_fitted(record: dict[str, Any]) -> str:
    """Return a warning if temperature and thresholds were fitted on the same images."""
    fitted_on, data = record["calibration"].get("fitted_on") or {}, record["data"]
    keys = ("split", "fingerprint")
    if not all(fitted_on.get(key) == data.get(key) is not None for key in keys):
        return ""
    return (
        "Temperature, thresholds and reliability were fitted on these images; their scores here "
        "are optimistic."
    )


def _scores(split: str, record: dict[str, Any]) -> Section:
    counts = ", ".join(f"{code} {record['class_counts'][code]:,}" for code in CODES)
    say = [f"{format_title(record)} ({counts}). {say_images(record)}"]
    if record["data"].get("same_as_training") is False:
        say += [
            "The model was trained on another split of these data: this score is not comparable."
        ]
    shown = (tables.headlines(record), tables.classes(record), tables.confusion(record))
    return Section("scores", "Scores", say, shown, [_picture("confusion_matrix", split)])


def _curves(split: str, record: dict[str, Any]) -> Section:
    say = (
        "Threshold-free discrimination of two targets: malignant (the sum of the probabilities of "
        "mel, bcc and akiec) and melanoma (mel alone)."
    )
    pictures = [_picture(name, split) for name in ("roc", "precision_recall")]
    return Section("curves", "Ranking", [say], [tables.questions(record)], pictures)


def _calibration(split: str, record: dict[str, Any]) -> Section:
    say = list(filter(None, (tables.say_calibration(record), say_fitted(record))))
    pictures = [_picture("reliability", split)]
    return Section("calibration", "Calibration", say, [tables.calibration(record)], pictures)


def _operating_points(split: str, record: dict[str, Any]) -> Section | None:
    table = tables.operating_points(record)
    if table is None:
        return None
    say = (
        "Thresholds on the same sums, chosen on validation. PPV (the share of flagged cases that "
        "have the condition) and the counts per 1,000 people assume the prevalence in the table, "
        "with the same sensitivity and specificity."
    )
    calculator = [
        {
            "label": tables.QUESTIONS.get(name, name),
            "prevalence": point["prevalence"],
            "sensitivity": point["metrics"]["sensitivity"],
            "specificity": point["metrics"]["specificity"],
        }
        for name, point in record["operating_points"].items()
        if not np.isnan([point["metrics"][key] for key in ("sensitivity", "specificity")]).any()
    ]
    paragraphs = list(filter(None, (say, say_fitted(record))))
    return Section("points", "Operating points", paragraphs, [table], calculator=calculator)


def _unsure(split: str, record: dict[str, Any]) -> Section:
    found = record["risk_coverage"]
    at = dict(zip(found["coverage"], found["risk"], strict=True))
    say = (
        f"Error rate: {at[1.0]:.1%} of all images, {at[0.8]:.1%} of the most confident 80%, "
        f"{at[0.5]:.1%} of the most confident half. Area under the curve: {found['aurc']:.3f}."
    )
    pictures = [_picture("risk_coverage", split)]
    return Section("risk", "Risk and coverage", [say], pictures=pictures)


def _subgroups(split: str, record: dict[str, Any]) -> Section:
    table = tables.subgroups(record)
    if table is None:
        return Section("subgroups", "Subgroups", ["These images come without metadata.", SKIN_TONE])
    say = (
        "Balanced accuracy is averaged over the diagnoses present in a group; compare only groups "
        "with the same diagnoses."
    )
    pictures = [_picture("subgroups", split)]
    return Section("subgroups", "Subgroups", [say, SKIN_TONE], [table], pictures)


def _origin(split: str, record: dict[str, Any]) -> Section:
    data, model, made = record["data"], record["model"], record["provenance"]
    rows = (
        ("command", f"`{made['command']}`"),
        ("time", made["time"]),
        ("git revision", str(made["git_revision"])),
        ("images", f"{data['source']}, fingerprint {data.get('fingerprint')}"),
        ("weights", f"{model['name']}, SHA-256 {model.get('weights_sha256')}"),
        ("preprocessing", ", ".join(f"{k} {v}" for k, v in record["preprocessing"].items())),
        ("versions", ", ".join(f"{name} {version}" for name, version in made["versions"].items())),
    )
    return Section("origin", "Provenance", tables=(Table(("", ""), rows),))


def _picture(name: str, split: str) -> Picture:
    return Picture(f"{FIGURES}/{name}_{split}.png", DRAWN[name][2])
