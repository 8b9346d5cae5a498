"""The report record, `report.json`: one entry for each evaluation set."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, RootModel, model_validator

from hf_lesion.errors import InputError
from hf_lesion.io.files import without_nan, write_text
from hf_lesion.io.numbers import format_interval
from hf_lesion.io.records import parse_record
from hf_lesion.labels import CODES

REPORT = "report.json"
SCHEMA_VERSION = 1
FIX = "Delete the file and run scripts/score.py again."
# What records have had since the evaluation grew; those of earlier ones are read without.
LATER_ENTRIES = ("questions", "operating_points", "calibration", "risk_coverage", "curves")


# null where it is undefined
Value = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


class Part(BaseModel):
    """A part of a record: fields that are not named here are kept."""

    model_config = ConfigDict(extra="allow")


class Intervals(Part):
    """How intervals were computed, and each metric's lower and upper bound."""

    bounds: dict[str, list[Value]]


class Measured(Part):
    """Metrics of a question, an operating point or a subgroup, with their intervals."""

    metrics: dict[str, Value]
    intervals: Intervals


class Entry(Part):
    """One model on one evaluation set, as `build_record` makes it.

    Fields may be added without a new version; changing or removing one requires it.
    """

    schema_version: Literal[1]
    classes: list[str]
    images: int
    lesions: int | None
    class_counts: dict[str, int]
    metrics: dict[str, Value]
    intervals: Intervals
    confusion_matrix: list[list[int]]
    questions: dict[str, Measured] = {}
    operating_points: dict[str, Measured] = {}
    subgroups: dict[str, dict[str, Measured]] = {}
    data: dict[str, Any]
    model: dict[str, Any]
    preprocessing: dict[str, Any]
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _check_counts(self) -> "Entry":
        if tuple(self.classes) != CODES:
            raise ValueError(f"expected the classes {', '.join(CODES)}, got {self.classes}")
        counts = [self.class_counts.get(code) for code in CODES]
        is_square = all(len(row) == len(CODES) for row in self.confusion_matrix)
        if (
            not is_square
            or [sum(row) for row in self.confusion_matrix] != counts
            or sum(map(sum, self.confusion_matrix)) != self.images
        ):
            raise ValueError("the confusion matrix, class_counts and images do not add up")
        return self


class Report(RootModel[dict[str, Entry]]):
    """The records of all evaluation sets by split."""


def write_record(folder: Path, split: str, record: dict[str, Any]) -> Path:
    """Write one record under the split's name into `report.json`; the other entries stay."""
    path = folder / REPORT
    report = read_report(path) if path.exists() else {}
    report[split] = record
    write_text(path, compact_json(report))
    return path


def read_report(path: Path) -> dict[str, Any]:
    """Read `report.json`, given as the file or its folder; null metrics are NaN again."""
    file = path / REPORT if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{file} not found. Create it with scripts/score.py.")
    report = parse_record(file.read_bytes(), Report, source=str(file), fix=FIX)
    return report.model_dump(exclude_unset=True)


def compact_json(value: Any, indent: str = "") -> str:
    """Return indented JSON whose lists stand in one line each; NaN becomes null."""
    if not isinstance(value, dict):
        return json.dumps(without_nan(value), ensure_ascii=False, allow_nan=False)
    deeper = indent + "  "
    lines = [f"{deeper}{json.dumps(k)}: {compact_json(v, deeper)}" for k, v in value.items()]
    text = "{\n" + ",\n".join(lines) + f"\n{indent}}}" if lines else "{}"
    return text if indent else text + "\n"


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
    """Return a sentence on the images of a record: dataset, resolution and geometry."""
    data = record["data"]
    described = data.get("description") or (
        f"{data.get('source')}, whose resolution and geometry were not recorded"
    )
    said = f"Images: {described}."
    if unscored := data.get("left_out"):
        said += f" Left out, since the challenge does not score it: {', '.join(unscored)}."
    return said


def format_metric(record: dict[str, Any], name: str) -> str:
    """Return a metric of a record or of one of its subgroups, with its interval if it has one."""
    return format_interval(record["metrics"][name], record["intervals"]["bounds"].get(name))


def _format_count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
