"""Tables of a report record: those of the report pages and the model card, and the terminal's."""

import textwrap
from dataclasses import dataclass
from typing import Any

from hf_lesion.evaluation.report.record import (
    format_metric,
    format_title,
    headline_names,
    say_images,
)
from hf_lesion.evaluation.subgroups import COLUMNS, FEWEST
from hf_lesion.io import markdown
from hf_lesion.io.numbers import format_interval
from hf_lesion.labels import CODES, MALIGNANT, NAMES, NOTICE

TERMINAL_WIDTH = 90
MARK = " †"
MARK_NOTE = f"† fewer than {FEWEST} images: not reliable."
LABELS = {
    "auroc": "AUROC",
    "macro_auroc": "macro AUROC",
    "macro_f1": "macro F1",
    "macro_average_precision": "macro average precision",
    "ppv": "PPV",
    "misses_per_1000": "misses per 1,000",
    "false_alarms_per_1000": "false alarms per 1,000",
}
QUESTIONS = {"malignant": "malignant (mel, bcc or akiec)", "melanoma": "melanoma"}
ANSWERS = {
    "uncalibrated": "scores before calibration",
    "answers": "the scores",
    "reliability": "reliability (shown on the page)",
}
GROUP_METRICS = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "sensitivity_mel": "melanoma sensitivity",
    "malignant_auroc": "AUROC, malignant",
    "malignant_sensitivity": "sensitivity, malignant threshold",
    "malignant_specificity": "specificity, malignant threshold",
}


@dataclass(frozen=True)
class Table:
    """Rows of text under a header, and a note below."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """Return the table as Markdown, with its note as a paragraph."""
        lines = markdown.table_lines(self.header, self.rows)
        return "\n".join([*lines, "", self.note] if self.note else lines)


def format_table(record: dict[str, Any]) -> str:
    """Return the record as text for a terminal of 90 columns.

    Headlines with their intervals come first, then a line for each diagnosis and for each subgroup,
    then the notice.
    """
    headline = headlines(record)
    width = max(len(name) for name in NAMES.values())
    lines = [
        format_title(record),
        *textwrap.wrap(say_images(record), TERMINAL_WIDTH),
        "",
        *(f"{label:<25}{value}" for label, value in headline.rows),
        headline.note,
        "",
        f"{'diagnosis':<{width}}  images  {'sensitivity':<20}  specificity  AUROC",
    ]
    for code in record["classes"]:
        specificity, auroc = (
            format_interval(record["metrics"][f"{name}_{code}"])
            for name in ("specificity", "auroc")
        )
        lines.append(
            f"{NAMES[code]:<{width}}  {record['class_counts'][code]:>6,}  "
            f"{format_metric(record, f'sensitivity_{code}'):<20}  {specificity:>11}  {auroc:>5}"
        )
    if groups := list_groups(record):
        lines += ["", f"{'subgroup':<{width}}  images  balanced accuracy"]
    for label, part in groups:
        shown = format_metric(part, "balanced_accuracy")
        lines.append(f"{label:<{width}}  {part['images']:>6,}  {shown}")
    return "\n".join([*lines, "", textwrap.fill(NOTICE, TERMINAL_WIDTH)])


def headlines(record: dict[str, Any]) -> Table:
    """Return the metrics that are not of one class, with their intervals."""
    found = record["intervals"]
    unit = found["unit"]
    unknown = "" if unit == "lesion" else ", since the lesions are unknown"
    rows = [(label_of(name), format_metric(record, name)) for name in headline_names(record)]
    note = (
        f"In brackets: {found['level']:.0%} intervals, {found['resamples']:,} bootstrap resamples "
        f"of {unit}s{unknown}."
    )
    return Table(("metric", "value"), tuple(rows), note)


def classes(record: dict[str, Any]) -> Table:
    """Return a row for each diagnosis: number of images, sensitivity, specificity, AUROC."""
    names = ("sensitivity", "specificity", "auroc", "average_precision")
    counts = record["class_counts"]
    rows = []
    for code in CODES:
        few = counts[code] < FEWEST
        cells = [
            format_metric(record, f"{name}_{code}") + MARK * (few and name != "specificity")
            for name in names
        ]
        rows.append((f"{NAMES[code]} (`{code}`)", f"{counts[code]:,}", *cells))
    few = any(counts[code] < FEWEST for code in CODES)
    header = ("diagnosis", "images", *(label_of(name) for name in names))
    return Table(header, tuple(rows), MARK_NOTE if few else "")


def confusion(record: dict[str, Any]) -> Table:
    """Return the confusion matrix: true diagnoses in rows, predictions in columns."""
    counts = record["confusion_matrix"]
    rows = [
        (f"`{code}`", *(f"{count:,}" for count in line))
        for code, line in zip(CODES, counts, strict=True)
    ]
    return Table(("true \\ predicted", *(f"`{code}`" for code in CODES)), tuple(rows))


def questions(record: dict[str, Any]) -> Table:
    """Return the threshold-free metrics of the two binary questions."""
    found = record["questions"]
    names = list(next(iter(found.values()))["metrics"])
    rows = []
    for name, one in found.items():
        cells = (format_metric(one, key) for key in names)
        rows.append((QUESTIONS.get(name, name), f"{one['positives']:,}", *cells))
    return Table(("target", "images", *map(_read_off, names)), tuple(rows))


def operating_points(record: dict[str, Any]) -> Table | None:
    """Return the rates at the stored thresholds, per 1,000 people too; None if there are none."""
    points = record.get("operating_points") or {}
    if not points:
        return None
    names = list(next(iter(points.values()))["metrics"])
    rows = []
    for name, point in points.items():
        bounds = point["intervals"]["bounds"]
        cells = [
            format_interval(
                point["metrics"][key], bounds[key], digits=1 if key.endswith("per_1000") else 3
            )
            for key in names
        ]
        chosen = (f"{point['threshold']:.4f}", f"{point['target_sensitivity']:.0%}")
        prevalence = f"{point['prevalence']:.1%}"
        rows.append((QUESTIONS.get(name, name), *chosen, *cells[:2], prevalence, *cells[2:]))
    header = ("is it …", "threshold", "chosen for", *map(label_of, names[:2]), "prevalence")
    return Table((*header, *map(label_of, names[2:])), tuple(rows))


def calibration(record: dict[str, Any]) -> Table:
    """Return the calibration errors with their chance levels."""
    found = record["calibration"]
    rows = [
        (
            label,
            *(_error(found[kind], name) for name in ("class_balanced_ece", "ece")),
            *(format_interval(found[kind]["metrics"].get(n)) for n in ("brier", "log_loss")),
        )
        for kind, label in ANSWERS.items()
        if kind in found
    ]
    note = (
        f"ECE: expected calibration error of the top class over {found['bins']} bins; "
        "class-balanced: all diagnoses weighted equally. In parentheses: the ECE of a perfectly "
        f"calibrated model on {record['images']:,} images (mean of {found['simulations']:,} "
        "simulations, and their 95th percentile). Brier score and log loss at the class "
        "frequencies of the dataset."
    )
    header = ("probabilities", "class-balanced ECE", "ECE, unweighted", "Brier", "log loss")
    return Table(header, tuple(rows), note)


def say_calibration(record: dict[str, Any]) -> str:
    """Return a sentence on the calibration of the scores and their meaning."""
    temperature = record["calibration"]["temperature"]
    if temperature is None:
        return "These weights are not calibrated."
    tau = record["calibration"].get("logit_adjustment")
    adjusted = (
        f"{tau:.2g} times the logarithm of each class's share of the training split is subtracted "
        "from the logits, and they are"
        if tau
        else "The logits are"
    )
    return (
        "A score is the probability if the seven diagnoses were equally common. "
        f"{adjusted} divided by a temperature of {temperature:.3f}; both are fitted on validation "
        "and folded into the last layer. In the dataset, where two of three images are nevi, the "
        "scores of rare diagnoses are therefore too high. Reliability states how often predictions "
        "with such a score are correct there."
    )


def subgroups(record: dict[str, Any]) -> Table | None:
    """Return the scores of every subgroup; None if there is none."""
    parts = list_groups(record)
    if not parts:
        return None
    shown = [name for name in GROUP_METRICS if name in parts[0][1]["metrics"]]
    rows = []
    for label, part in parts:
        cells = [_group_cell(part, name) for name in shown]
        count = f"{part['images']:,}{MARK if part['images'] < FEWEST else ''}"
        rows.append((label, count, *cells))
    few = any(MARK in cell for row in rows for cell in row)
    header = ("group", "images", *(GROUP_METRICS[name] for name in shown))
    return Table(header, tuple(rows), MARK_NOTE if few else "")


def list_groups(record: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return every subgroup's label and scores, columns in the order of `subgroups.COLUMNS`."""
    found = record.get("subgroups") or {}
    return [
        (f"{COLUMNS.get(column, column)}: {value}", part)
        for column in dict.fromkeys((*COLUMNS, *found))
        for value, part in found.get(column, {}).items()
    ]


def _group_cell(part: dict[str, Any], name: str) -> str:
    """Return a subgroup's score with its interval, marked if it is based on too few images."""
    text = format_metric(part, name)
    return text + MARK if text != "–" and behind(part, name) < FEWEST else text


def behind(part: dict[str, Any], name: str) -> int:
    """Return how many images a subgroup's score is based on; of two kinds, the smaller number."""
    counts = part["class_counts"]
    malignant = sum(counts[code] for code in MALIGNANT)
    benign = part["images"] - malignant
    return {
        "sensitivity_mel": counts["mel"],
        "malignant_sensitivity": malignant,
        "malignant_specificity": benign,
        "malignant_auroc": min(malignant, benign),
    }.get(name, part["images"])


def label_of(name: str) -> str:
    """Return the display name of a metric."""
    return LABELS.get(name, name.replace("_", " "))


def _read_off(name: str) -> str:
    if "_at_" not in name:
        return label_of(name)
    wanted, share, other = name.replace("_at_", "_").split("_")
    return f"{wanted} at {share}% {other}"


def _error(found: dict[str, Any], name: str) -> str:
    """Return a calibration error with its chance level; a dash where it was not measured."""
    if name not in found["metrics"]:
        return "–"
    chance = found["chance"][name]
    return f"{found['metrics'][name]:.4f} ({chance['mean']:.4f}, < {chance['upper']:.4f})"
