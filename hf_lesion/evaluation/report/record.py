"""The report record, `report.json`: one entry for each evaluation set."""

import json
import math
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.files import without_nan, write_text
from hf_lesion.io.numbers import format_interval
from hf_lesion.labels import CODES, NAMES, NOTICE

REPORT = "report.json"
SCHEMA_VERSION = 1
TERMINAL_WIDTH = 90
FIX = "Delete the file and run scripts/score.py again."
# What a record must hold for its readers (card, Space, tables), and of which type. A later issue
# may add entries under the same version; changing or removing one needs a new version.
ENTRIES: dict[str, type | tuple[type, ...]] = {
    "images": int,
    "lesions": (int, type(None)),
    "classes": list,
    "class_counts": dict,
    "metrics": dict,
    "intervals": dict,
    "confusion_matrix": list,
    "data": dict,
    "model": dict,
    "preprocessing": dict,
    "provenance": dict,
}
# What records have had since the evaluation grew; those of earlier ones are read without.
LATER_ENTRIES = ("questions", "operating_points", "calibration", "risk_coverage", "curves")


def write_record(folder: Path, split: str, record: dict[str, Any]) -> Path:
    """Write one record under the split's name into `report.json`; the other entries stay.

    Raises:
        InputError: If there is a `report.json` that can't be read.
    """
    path = folder / REPORT
    report = read_report(path) if path.exists() else {}
    report[split] = record
    text = json.dumps(without_nan(report), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, _join_lists(text) + "\n")
    return path


def read_report(path: Path) -> dict[str, Any]:
    """Read `report.json`, given as the file or as the folder that holds it.

    Raises:
        InputError: If it is not there, or as `parse_report`.
    """
    file = path / REPORT if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"There is no {file}. Make it with scripts/score.py.")
    with file.open(encoding="utf-8") as stream:
        return parse_report(stream, source=str(file))


def parse_report(stream: TextIO, *, source: str = REPORT) -> dict[str, Any]:
    """Parse and check a report.

    Args:
        stream: JSON text.
        source: Its name, for messages.

    Returns:
        One record for each split's name, as `build_record` gives it; null metrics are NaN again.

    Raises:
        InputError: If it is not JSON, or a record is of another version, lacks an entry or
            contradicts itself.
    """
    try:
        report = json.load(stream)
    except ValueError as error:
        raise InputError(f"{source} is not JSON: {error}. {FIX}") from error
    if not isinstance(report, dict):
        raise InputError(f"{source} should hold one record for each split. {FIX}")
    for split, record in report.items():
        _check_record(record, f"{source}, split {split!r},")
        _restore_nan(record)
    return report


def headline_names(record: dict[str, Any]) -> list[str]:
    """Return the names of the metrics that are not of one class, in the record's order."""
    return [name for name in record["metrics"] if name.rpartition("_")[2] not in CODES]


def format_title(record: dict[str, Any]) -> str:
    """Return one line that names the model and the images."""
    lesions = record["lesions"]
    of_lesions = "" if lesions is None else f" of {_format_count(lesions, 'lesion')}"
    return (
        f"{record['model']['name']} on {record['data']['source']} ({record['data']['split']}): "
        f"{_format_count(record['images'], 'image')}{of_lesions}"
    )


def say_images(record: Mapping[str, Any]) -> str:
    """Return a sentence on the images: dataset, resolution and geometry.

    Args:
        record: Of a model on one evaluation set; any with "data" as from `EvaluationSet.origin`.
    """
    data = record["data"]
    described = data.get("description") or (
        f"{data.get('source')}, whose resolution and geometry were not recorded"
    )
    unscored = data.get("left_out")
    return f"Images: {described}." + (
        f" Left out, since the challenge does not score it: {', '.join(unscored)}."
        if unscored
        else ""
    )


def format_table(record: dict[str, Any]) -> str:
    """Return the record as text for a terminal of 90 columns.

    Headlines with their intervals come first, then a line for each diagnosis and for each subgroup,
    then the notice.
    """
    width = max(len(name) for name in NAMES.values())
    lines = [
        format_title(record),
        *textwrap.wrap(say_images(record), TERMINAL_WIDTH),
        "",
        *_format_headlines(record),
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
    return "\n".join(
        [*lines, *_format_subgroups(record), "", textwrap.fill(NOTICE, TERMINAL_WIDTH)]
    )


def format_metric(record: dict[str, Any], name: str) -> str:
    """Return a metric of a record or of one of its subgroups, with its interval if it has one."""
    return format_interval(record["metrics"][name], record["intervals"]["bounds"].get(name))


def _join_lists(text: str) -> str:
    """Return indented JSON with each list of plain values in one line: a curve would fill pages."""
    # No string has a raw line break, so a bracket at the end of a line opens a list.
    return re.sub(
        r"\[\n([^\[\]{}]*?)\n\s*\]",
        lambda found: "[" + re.sub(r",\n\s*", ", ", found[1].strip()) + "]",
        text,
    )


def _check_record(record: Any, where: str) -> None:
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{where} has schema_version {version!r}; this version of hf_lesion reads "
            f"{SCHEMA_VERSION}. {FIX}"
        )
    wrong = [name for name, kind in ENTRIES.items() if not isinstance(record.get(name), kind)]
    if wrong:
        raise InputError(
            f"{where} lacks {len(wrong)} entries or has them in another form: "
            f"{list_offenders(wrong)}. {FIX}"
        )
    if tuple(record["classes"]) != CODES:
        raise InputError(
            f"{where} is of the classes {', '.join(map(str, record['classes']))}; "
            f"{', '.join(CODES)} were expected. {FIX}"
        )
    _check_counts(record, where)


def _check_counts(record: dict[str, Any], where: str) -> None:
    confusion = np.asarray(record["confusion_matrix"])
    expected = [record["class_counts"].get(code) for code in CODES]
    is_whole = (
        confusion.shape == (len(CODES), len(CODES))
        and sum(count or 0 for count in expected) == record["images"]
    )
    if not is_whole or confusion.sum(axis=1).tolist() != expected:
        raise InputError(
            f"{where} contradicts itself: the confusion matrix, class_counts and images do not "
            f"add up. {FIX}"
        )


def _restore_nan(part: Any) -> None:
    """Make NaN of every null among the metrics and bounds of a record and of its parts."""
    if not isinstance(part, dict):
        return
    for name, entry in part.items():
        if name == "metrics" and isinstance(entry, dict):
            part[name] = {key: _to_nan(value) for key, value in entry.items()}
        elif name == "bounds" and isinstance(entry, dict):
            part[name] = {key: [_to_nan(v) for v in pair] for key, pair in entry.items()}
        else:
            _restore_nan(entry)


def _to_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _format_headlines(record: dict[str, Any]) -> list[str]:
    lines = []
    for name in headline_names(record):
        label = name.replace("_", " ").replace("auroc", "AUROC").replace("f1", "F1")
        lines.append(f"{label:<25}{format_metric(record, name)}")
    found = record["intervals"]
    unknown = "" if found["unit"] == "lesion" else ", since the lesions are unknown"
    lines.append(
        f"In brackets: {found['level']:.0%} interval, {found['resamples']:,} bootstrap resamples "
        f"of {found['unit']}s{unknown}."
    )
    return lines


def _format_subgroups(record: dict[str, Any]) -> list[str]:
    lines = []
    for column, group in record.get("subgroups", {}).items():
        lines += ["", f"{column:<20}images  balanced accuracy"]
        for value, measured in group.items():
            shown = format_metric(measured, "balanced_accuracy")
            lines.append(f"{value:<20}{measured['images']:>6,}  {shown}")
    return lines


def _format_count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
