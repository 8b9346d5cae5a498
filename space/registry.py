"""Registry of the page's models: their records, and their classifiers once they are loaded."""

import contextlib
import json
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from predictions import ExplainableResult, ResultCache, check_choice, classify_explainable
from sources import SKIPPED, check_folder, find_models

from hf_lesion.calibration.thresholds import FILE as POINTS
from hf_lesion.calibration.thresholds import OperatingPoint, read_operating_points
from hf_lesion.errors import InputError
from hf_lesion.io.checksums import TRAINING, WEIGHTS, file_sha256
from hf_lesion.models.names import TITLES

if TYPE_CHECKING:
    from uploads import UploadedImage

    from hf_lesion.classifier import LesionClassifier

REPORT = "report.json"
GATE = "gate.json"
# In order of preference: the validation split was used to choose the epoch.
SPLITS = ("test", "validation")
DAMAGED = "its files are damaged"
TOKEN_PLACE = " It is read from "  # precedes the location of a token, see hf_lesion.io.tokens
MAX_WAIT = 120.0  # seconds that a request waits for its model
WARM_UP_PIXELS = (64, 48)


@dataclass(frozen=True)
class Entry:
    """One model of the page: what is known before it is loaded. Missing records are empty."""

    name: str  # that a visitor chooses
    source: Path
    report: Mapping[str, Any] = field(default_factory=dict)  # `report.json`, by split
    record: Mapping[str, Any] = field(default_factory=dict)  # `training.json`
    gate: Mapping[str, Any] = field(default_factory=dict)  # `gate.json`
    points: Mapping[str, OperatingPoint] = field(default_factory=dict)  # thresholds by name
    weights_sha256: str | None = None  # None if the weights can't be read
    stale: tuple[str, ...] = ()  # records that are ignored: measured on other weights

    @property
    def balanced_accuracy(self) -> tuple[float, str] | None:
        """The balanced accuracy in [0, 1] and the split it was measured on; None if unmeasured."""
        for split in SPLITS:
            value = get_nested(self.report, split, "metrics", "balanced_accuracy")
            if isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1:
                return float(value), split
        return None

    @property
    def title(self) -> str:
        """The usual name of the architecture; the model's own name if that is unknown."""
        return TITLES.get(str(self.record.get("architecture")), self.name)

    @property
    def accuracy_text(self) -> str:
        """The balanced accuracy in words; empty if unmeasured."""
        if self.balanced_accuracy is None:
            return ""
        value, split = self.balanced_accuracy
        return f"balanced accuracy {value:.2f}{'' if split == SPLITS[0] else f' ({split})'}"

    @property
    def drawn_only(self) -> bool:
        """Whether the model was trained on drawn lesions only, according to its record."""
        return get_nested(self.record, "dataset", "synthetic") is True


def read_entries(
    folders: Sequence[Path], *, names: Mapping[Path, str] | None = None
) -> tuple[list[Entry], list[str]]:
    """Read the records of every complete model, without loading the models.

    `names` are those of models from the Hub; others are named after their folder.

    Returns:
        The entries, with unique names, best first; and one line for each folder or record that is
        ignored.

    Raises:
        InputError: If no model is left.
    """
    found, lines = find_models(folders)
    entries: dict[str, Entry] = {}
    for folder in found:
        try:
            check_folder(folder)
        except (ValueError, OSError) as error:
            lines.append(f"{folder}{SKIPPED}{_one_line(error)}")
            continue
        name = (names or {}).get(folder) or _unique_name(folder, entries)
        entries[name] = entry = read_entry(name, folder)
        lines += [
            f"{folder / record} was ignored: it was measured on other weights. Measure it again."
            for record in entry.stale
        ]
    if not entries:
        raise InputError(
            " ".join([*lines, "There is no model to serve."])
            + " Train one with scripts/train.py, then pass its folder: --models FOLDER."
        )
    return best_first(list(entries.values())), lines


def read_entry(name: str, source: Path) -> Entry:
    """Read the records next to a model's weights.

    Damaged records, and records or splits that were measured on other weights, are ignored.
    """
    try:
        own = file_sha256(source / WEIGHTS)
    except OSError:
        own = None
    # Read here rather than by hf_lesion.evaluation, whose packages a Space does not need.
    found = {file: _read_record(source / file) for file in (REPORT, GATE)}
    kept = {file: _select_own(record, own) for file, record in found.items()}
    stale = [file for file in found if kept[file] != found[file]]
    points: Mapping[str, OperatingPoint] = {}
    with contextlib.suppress(InputError, OSError):
        if (read := read_operating_points(source)) and read.weights_sha256 == own:
            points = read.points
        elif read:
            stale.append(POINTS)
    record = _read_record(source / TRAINING)
    return Entry(name, source, kept[REPORT], record, kept[GATE], points, own, tuple(stale))


def best_first(entries: Sequence[Entry]) -> list[Entry]:
    """Sort models by balanced accuracy: on test, then on validation, then those unmeasured."""

    def rank(entry: Entry) -> tuple[int, float]:
        value, split = entry.balanced_accuracy or (0.0, None)
        return SPLITS.index(split) if split else len(SPLITS), -value

    return sorted(entries, key=rank)


def get_nested(record: object, *keys: str) -> Any:
    """Return the value under nested keys; None if one of them is missing."""
    for key in keys:
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def load_classifier(entry: Entry) -> "LesionClassifier":
    """Load a model and run it once, since the first prediction of a network is the slowest."""
    # Torch and transformers take seconds to import.
    import transformers
    from PIL import Image

    from hf_lesion.classifier import LesionClassifier

    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    classifier = LesionClassifier.from_pretrained(entry.source)
    classifier.predict([Image.new("RGB", WARM_UP_PIXELS)])
    return classifier


class Registry:
    """The models of one page by name; requests wait until their model is loaded.

    `entries` has the records of each model, best first; `skipped` has one line for each model that
    is not served, as shown to visitors: from the command line's messages in `lines`, and later from
    loading.
    """

    def __init__(self, entries: Sequence[Entry], *, lines: Sequence[str] = ()):
        self.entries = {entry.name: entry for entry in entries}
        self.skipped = [_public_line(line) for line in lines if SKIPPED in line]
        self._cache = ResultCache()
        self._loaded: dict[str, Future[LesionClassifier]] = {
            name: Future() for name in self.entries
        }

    def start(self) -> threading.Thread:
        """Load the models in a background thread, best first."""
        thread = threading.Thread(target=self.load, name="models", daemon=True)
        thread.start()
        return thread

    def load(self) -> None:
        """Load every model; report those that can't be loaded, with the reason."""
        for name, future in self._loaded.items():
            entry = self.entries[name]
            try:
                future.set_result(load_classifier(entry))
            except Exception as error:  # noqa: BLE001 - the other models must be served
                line = f"{entry.source}{SKIPPED}{_one_line(error)}"
                sys.stderr.write(f"{line}\n")
                is_public = isinstance(error, InputError)
                self.skipped.append(
                    _public_line(line) if is_public else f"{name}{SKIPPED}{DAMAGED}."
                )
                future.set_exception(error)
        if not self.names():
            sys.stderr.write("error: none of the models could be loaded.\n")

    def names(self) -> list[str]:
        """Return the models that are loaded or still to be loaded, best first."""
        return [name for name, future in self._loaded.items() if not _has_failed(future)]

    def titles(self) -> dict[str, str]:
        """Return the unique display title of each of `names`."""
        names = self.names()
        titles = [self.entries[name].title for name in names]
        return {
            name: title if titles.count(title) == 1 else f"{title} ({name})"
            for name, title in zip(names, titles, strict=True)
        }

    def get(self, name: str) -> "LesionClassifier":
        """Return a model by its name; wait until it is loaded, but not forever."""
        if not isinstance(name, str) or name not in self._loaded:
            check_choice("model", name, self.names())
        try:
            return self._loaded[name].result(timeout=MAX_WAIT)
        except TimeoutError as error:
            raise InputError(
                f"The model {name} is still being loaded. Try again in a few seconds."
            ) from error
        except Exception as error:
            raise InputError(
                f"The model {name} can't be used: {DAMAGED}. Choose another one."
            ) from error

    def classify(self, name: str, image: "UploadedImage") -> ExplainableResult:
        """Return a model's result for an image, from the cache if possible."""
        model = self.get(name)
        return self._cache.get(
            image.sha256, name, lambda: classify_explainable(model, image.decoded)
        )

    def classify_all(self, image: "UploadedImage") -> dict[str, ExplainableResult]:
        """Return the results for an image of every model that did not fail to load."""
        wait(self._loaded.values(), timeout=MAX_WAIT)
        return {name: self.classify(name, image) for name in self.names()}


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
        # Records are optional: the model itself is complete.
        return {}
    return found if isinstance(found, dict) else {}


def _select_own(record: Mapping[str, Any], own: str | None) -> Mapping[str, Any]:
    """Return a record, or those of its splits, that were measured on the model's own weights.

    The weights are named under "model", either of the record or of each split.
    """

    def is_own(part: object) -> bool:
        return own is not None and get_nested(part, "model", "weights_sha256") == own

    if "model" in record:
        return record if is_own(record) else {}
    return {split: part for split, part in record.items() if is_own(part)}


def _has_failed(future: "Future[LesionClassifier]") -> bool:
    return future.done() and future.exception() is not None


def _one_line(error: Exception) -> str:
    """Return an error on one line, with its type unless it is an InputError."""
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


def _public_line(line: str) -> str:
    """Return a line on a skipped model without paths of this machine."""
    source, _, reason = line.partition(SKIPPED)
    name = PurePath(source).name
    reason = reason.partition(TOKEN_PLACE)[0].replace(source, name)
    return f"{name}{SKIPPED}{reason}"
