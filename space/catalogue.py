"""The models of the page: found, checked before they are loaded, and what was measured of each."""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_lesion.calibration.thresholds import FILE as POINTS
from hf_lesion.calibration.thresholds import (
    OperatingPoint,
    OperatingPoints,
    read_operating_points,
)
from hf_lesion.errors import InputError
from hf_lesion.io.checksums import CONFIG, TRAINING, WEIGHTS, file_sha256, list_models
from hf_lesion.labels import CODES

ENSEMBLE_RECORD = "ensemble.json"
REPORT = "report.json"
EXPLANATIONS = "explanations.json"
GATE = "gate.json"
ROBUSTNESS = "robustness.json"
MEASURED = (REPORT, EXPLANATIONS, GATE, ROBUSTNESS)
# What was measured on the test split counts more than on the validation split, which chose epochs.
SPLITS = ("test", "validation")
# safetensors: 8 bytes with the length of a JSON header, the header, then the numbers.
HEADER_BYTES = 8
LONGEST_HEADER = 100_000_000  # what the library itself accepts


@dataclass(frozen=True)
class Measure:
    """A model's balanced accuracy in [0, 1], its interval if known, and the split it comes from."""

    balanced_accuracy: float
    split: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Entry:
    """One model of the page: what can be known of it before it is loaded.

    Attributes:
        name: By which a visitor chooses it.
        source: Its folder.
        report: What `report.json` says of each split; empty if there is none.
        record: What `training.json` says; empty if there is none.
        explanations: What `explanations.json` says of each split; empty if there is none.
        gate: What `gate.json` says of the weights' gate; empty if there is none.
        robustness: What `robustness.json` says; empty if there is none.
        points: The thresholds of `operating_points.json` by name; empty if there are none.
        weights_sha256: Of the weights beside them; None if they can't be read.
        stale: The records that are left out, because they are not of these weights.
    """

    name: str
    source: Path
    report: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    explanations: Mapping[str, Any] = field(default_factory=dict)
    gate: Mapping[str, Any] = field(default_factory=dict)
    robustness: Mapping[str, Any] = field(default_factory=dict)
    points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    weights_sha256: str | None = None
    stale: tuple[str, ...] = ()

    @property
    def measure(self) -> Measure | None:
        """The measured balanced accuracy, if there is one."""
        return next((found for s in SPLITS if (found := _measure(self.report, s))), None)

    @property
    def drawn_only(self) -> bool:
        """Whether the training record says that the model saw the drawn sample set only."""
        dataset = self.record.get("dataset")
        return isinstance(dataset, Mapping) and dataset.get("synthetic") is True


def find_models(folders: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """List the model folders among these folders and right inside them.

    Args:
        folders: Model folders (with config.json), or folders of model folders.

    Returns:
        The model folders, and one line for each folder that holds none.
    """
    found: list[Path] = []
    lines = []
    for folder in folders:
        models = [folder] if (folder / CONFIG).is_file() else list_models(folder)
        if not models:
            reason = f"no {CONFIG} in it or right below" if folder.is_dir() else "no such folder"
            lines.append(f"{folder} is left out: {reason}.")
        found += [model for model in models if model not in found]
    return found, lines


def read_entries(
    folders: Sequence[Path], *, names: Mapping[Path, str] | None = None
) -> tuple[list[Entry], list[str]]:
    """Read what there is to know of every model that looks whole, without loading it.

    Args:
        folders: Model folders, or folders of model folders.
        names: What those from the Hub are called; the others go by their folders' names.

    Returns:
        The entries with names that tell them apart, best first, and one line for each folder or
        record that is left out.

    Raises:
        InputError: If not one is left.
    """
    found, lines = find_models(folders)
    entries: dict[str, Entry] = {}
    for folder in found:
        try:
            check_folder(folder)
        except (InputError, OSError) as error:
            lines.append(f"{folder} is left out: {one_line(error)}")
            continue
        name = (names or {}).get(folder) or _unique_name(folder, entries)
        entry = read_entry(name, folder)
        entries[entry.name] = entry
        lines += [
            f"{folder / record} is not of the weights beside it and is not used. Measure it again."
            for record in entry.stale
        ]
    if not entries:
        raise InputError(
            " ".join([*lines, "There is no model to show."])
            + " Train one with scripts/train.py, then pass its folder: --models FOLDER."
        )
    return best_first(list(entries.values())), lines


def read_entry(name: str, source: Path) -> Entry:
    """Read the records beside a model's weights.

    A damaged one counts as none, and so does one of other weights, or what it says of a split.
    """
    own = _sha256_of(source / WEIGHTS)
    # Read here rather than by hf_lesion.evaluation, whose packages a Space does not need.
    found = {file: _read_record(source / file) for file in MEASURED}
    kept = {file: _of_weights(record, own) for file, record in found.items()}
    stale = [file for file in MEASURED if kept[file] != found[file]]
    points = _read_points(source)
    if points is not None and points.weights_sha256 != own:
        points = None
        stale.append(POINTS)
    return Entry(
        name,
        source,
        kept[REPORT],
        _read_record(source / TRAINING),
        kept[EXPLANATIONS],
        kept[GATE],
        kept[ROBUSTNESS],
        {} if points is None else points.points,
        own,
        tuple(stale),
    )


def measure_ensemble(entries: Sequence[Entry]) -> Measure | None:
    """Return what scripts/score_ensemble.py measured of these models' mean; None if of others.

    Its record lies beside the model folders and names the weights that it was measured with.
    """
    parents = {entry.source.resolve().parent for entry in entries}
    if len(parents) != 1:
        return None
    record = _read_record(parents.pop() / ENSEMBLE_RECORD)
    weights = {entry.name: entry.weights_sha256 for entry in entries}
    measured = [split for split in SPLITS if dig(record, split, "members") == weights]
    return _measure(record, measured[0]) if measured else None


def best_first(entries: Sequence[Entry]) -> list[Entry]:
    """Return the models in the order of their measured balanced accuracy, the unmeasured last.

    What was measured on the test split comes before what was measured on validation only.
    """

    def rank(entry: Entry) -> tuple[int, float]:
        measure = entry.measure
        if measure is None:
            return len(SPLITS), 0.0
        return SPLITS.index(measure.split), -measure.balanced_accuracy

    return sorted(entries, key=rank)


def check_folder(folder: Path) -> None:
    """Raise InputError if a model folder is damaged, half copied or of other classes.

    Quick, for the page is served before anything is loaded: what loading alone finds out is said
    when the model is loaded.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"its {CONFIG} is no JSON. Copy it again.") from error
    classes = _classes(config)
    if classes is not None and classes != CODES:
        raise InputError(
            f"its classes are {', '.join(map(str, classes))}; expected {', '.join(CODES)}."
        )
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise InputError(f"it has no {WEIGHTS}. Only safetensors are loaded.")
    expected, there = _expected_bytes(weights), weights.stat().st_size
    if expected != there:
        raise InputError(
            f"its {WEIGHTS} has {there:,} bytes where its header says {expected:,}: half copied? "
            "Copy it again."
        )


def one_line(error: Exception) -> str:
    """Return an error as one line; what is not ours with its kind."""
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


def _unique_name(folder: Path, taken: Mapping[str, object]) -> str:
    resolved = folder.resolve()
    name = resolved.name
    for parent in resolved.parents:
        if name not in taken:
            break
        name = f"{parent.name}/{name}"
    return name


def _read_record(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # The page can do without a record: the model itself is whole.
        return {}
    return found if isinstance(found, dict) else {}


def _sha256_of(weights: Path) -> str | None:
    try:
        return file_sha256(weights)
    except OSError:
        return None


def _of_weights(record: Mapping[str, Any], own: str | None) -> Mapping[str, Any]:
    """Return a record, or what it says of the splits, as far as it was measured on these weights.

    Each names the weights in its "model"; a record of splits does so for each of them.
    """

    def is_own(part: object) -> bool:
        return own is not None and dig(part, "model", "weights_sha256") == own

    if "model" in record:
        return record if is_own(record) else {}
    return {split: part for split, part in record.items() if is_own(part)}


def _read_points(source: Path) -> OperatingPoints | None:
    try:
        return read_operating_points(source)
    except (InputError, OSError):
        return None


def _classes(config: object) -> tuple[object, ...] | None:
    """Return the classes that a config names, in order; None where it names none."""
    if not isinstance(config, Mapping):
        raise InputError(f"its {CONFIG} holds no settings. Copy it again.")
    names = config.get("label_names")  # how timm networks are saved
    if isinstance(names, list):
        return tuple(names)
    numbered = config.get("id2label")
    if isinstance(numbered, Mapping):
        return tuple(numbered[key] for key in sorted(numbered, key=lambda key: (len(key), key)))
    return None


def _expected_bytes(weights: Path) -> int:
    """Return how long a safetensors file has to be, by its own header."""
    with weights.open("rb") as stream:
        start = stream.read(HEADER_BYTES)
        length = struct.unpack("<Q", start)[0] if len(start) == HEADER_BYTES else LONGEST_HEADER
        header = stream.read(length) if length < LONGEST_HEADER else b""
    try:
        parts = json.loads(header)
        ends = [int(part["data_offsets"][1]) for key, part in parts.items() if key[:2] != "__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InputError(f"its {WEIGHTS} holds no safetensors. Copy it again.") from error
    return HEADER_BYTES + length + max(ends, default=0)


def _measure(report: object, split: str) -> Measure | None:
    value = dig(report, split, "metrics", "balanced_accuracy")
    if not _is_share(value):
        return None
    bounds = dig(report, split, "intervals", "bounds", "balanced_accuracy")
    is_interval = isinstance(bounds, list) and len(bounds) == 2 and all(map(_is_share, bounds))
    interval = (float(bounds[0]), float(bounds[1])) if is_interval else None
    return Measure(float(value), split, interval)


def dig(record: object, *keys: str) -> Any:
    """Return what lies under these keys, one below the other; None where one is missing."""
    for key in keys:
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1
