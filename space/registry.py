"""The models of the page: found or fetched, checked, loaded, and what was measured of each."""

import json
import math
import struct
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from predictions import Reading, Recent, check_choice, read

from hf_lesion.calibration.thresholds import FILE as POINTS
from hf_lesion.calibration.thresholds import (
    OperatingPoint,
    OperatingPoints,
    read_operating_points,
)
from hf_lesion.errors import InputError
from hf_lesion.io.checksums import CONFIG, TRAINING, WEIGHTS, file_sha256, list_models
from hf_lesion.labels import CODES
from hf_lesion.models.names import TITLES

if TYPE_CHECKING:
    from uploads import Picture

    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.models.snapshot import Snapshot

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
        weights_sha256: Of the weights next to them; None if they can't be read.
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
    def title(self) -> str:
        """The network's usual name, or the model's own where that is not known."""
        architecture = str(self.record.get("architecture"))
        return TITLES.get(architecture, self.name)

    @property
    def measured(self) -> str:
        """The balanced accuracy in words; empty if it was not measured."""
        if self.measure is None:
            return ""
        split = "" if self.measure.split == SPLITS[0] else f" ({self.measure.split})"
        return f"balanced accuracy {self.measure.balanced_accuracy:.2f}{split}"

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
    """Read the records next to a model's weights.

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


MODELS = Path(__file__).with_name("models")
# Written by scripts/publish.py: one "owner/name@commit" a line.
HUB_MODELS = Path(__file__).with_name("hub_models.txt")
SHORT = 7  # characters of a commit that people read


def default_sources() -> list[str]:
    """Return the default sources: the models next to the app."""
    lines = HUB_MODELS.read_text(encoding="utf-8").split() if HUB_MODELS.is_file() else []
    return [*([str(MODELS)] if MODELS.is_dir() else []), *lines]


def fetch_models(
    sources: Sequence[str], *, meanwhile: Callable[[], object] = lambda: None
) -> tuple[list[Path], dict[Path, str], list[str]]:
    """Turn model folders and Hub ids into folders.

    Args:
        sources: Folders, or Hub ids such as "owner/name" and "owner/name@commit".
        meanwhile: Called while the Hub is waited for; not at all if none of them is there.

    Returns:
        The folders; for those from the Hub the names that they are shown by; and one line for each
        commit that was taken and each model that is left out. If nothing is left, the models beside
        the app are taken, and a line says so.
    """
    found = _fetch_all([source for source in sources if is_hub_id(source)], meanwhile)
    folders, names, lines = [], {}, []
    for source in sources:
        one = found.get(source)
        if one is None:
            folders.append(Path(source))
        elif isinstance(one, InputError):
            lines.append(f"{source} is left out: {one}")
        else:
            folders.append(one.folder)
            names[one.folder] = show_name(source)
            lines.append(f"{show_name(source)}: commit {one.revision}")
    if not folders and MODELS.is_dir():
        lines.append("None of the requested models is available: serving those next to the app.")
        folders.append(MODELS)
    return folders, names, lines


def is_hub_id(source: str) -> bool:
    """Tell whether a model has to be fetched: it has the form of a Hub id and is no folder here."""
    looks = source.partition("@")[0].count("/") == 1 and not source.startswith((".", "/", "~"))
    return looks and not Path(source).exists()


def show_name(source: str) -> str:
    """Return a Hub id as people read it: a pinned commit in short."""
    repo_id, at, revision = source.partition("@")
    return f"{repo_id}{at}{revision[:SHORT] if len(revision) == 40 else revision}"


def _fetch_all(
    sources: Sequence[str], meanwhile: Callable[[], object]
) -> Mapping[str, "Snapshot | InputError"]:
    """Fetch them at the same time: where the Hub does not answer, all wait for it together."""
    if not sources:
        return {}
    # Imports huggingface_hub: only where there is something to fetch, and before the threads
    # start, since `meanwhile` may import it too.
    from hf_lesion.models.snapshot import open_snapshot

    def fetch(source: str) -> "Snapshot | InputError":
        try:
            return open_snapshot(source)
        except InputError as error:
            return error

    with ThreadPoolExecutor() as pool:
        fetched = [pool.submit(fetch, source) for source in sources]
        meanwhile()
        return {source: one.result() for source, one in zip(sources, fetched, strict=True)}


LEFT_OUT = " is left out: "  # between a model's source and the reason, in every such line
DAMAGED = "its files are damaged"
TOKEN_PLACE = " It is read from "  # as hf_lesion.io.tokens says where a token of this machine lies
LONGEST_WAIT = 120.0  # seconds that a question waits for its model
WARM_UP_PIXELS = (64, 48)

Say = Callable[[str], None]


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


def load_entry(entry: Entry) -> "LesionClassifier":
    """Load one model and let it answer once: the first answer of a network takes longest."""
    # Torch and transformers take seconds to import: only once there is something to load.
    import transformers
    from PIL import Image

    from hf_lesion.classifier import LesionClassifier

    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    classifier = LesionClassifier.from_pretrained(entry.source)
    classifier.predict([Image.new("RGB", WARM_UP_PIXELS)])
    return classifier


class Registry:
    """The models of one page, by name; whoever asks for one waits until it is loaded.

    Attributes:
        entries: What is known of each model, best first.
        left_out: One line on each model that is not served, as visitors may read it.
        recent: Results of the last few images.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        *,
        lines: Sequence[str] = (),
        load: Callable[[Entry], "LesionClassifier"] = load_entry,
        say: Say = _to_stderr,
    ):
        self.entries = {entry.name: entry for entry in entries}
        self.left_out = [_publicly(line) for line in lines if LEFT_OUT in line]
        self.recent = Recent()
        self._load = load
        self._say = say
        self._loaded: dict[str, Future[LesionClassifier]] = {
            name: Future() for name in self.entries
        }

    @classmethod
    def of(cls, models: Mapping[str, "LesionClassifier"]) -> "Registry":
        """Return a registry of models that are loaded already."""
        entries = []
        for name, classifier in models.items():
            found = read_entry(name, Path(classifier.model.name_or_path))
            entries.append(replace(found, record=classifier.record))
        registry = cls(best_first(entries))
        for name, classifier in models.items():
            registry._loaded[name].set_result(classifier)
        return registry

    def start(self) -> threading.Thread:
        """Load the models, best first, in a thread of their own."""
        thread = threading.Thread(target=self.load, name="models", daemon=True)
        thread.start()
        return thread

    def load(self) -> None:
        """Load every model; say which can't be, and why."""
        for name, future in self._loaded.items():
            entry = self.entries[name]
            try:
                future.set_result(self._load(entry))
            except Exception as error:  # noqa: BLE001 - whatever one holds, the others are served
                line = f"{entry.source}{LEFT_OUT}{one_line(error)}"
                self._say(line)
                is_ours = isinstance(error, InputError)
                self.left_out.append(_publicly(line) if is_ours else f"{name}{LEFT_OUT}{DAMAGED}.")
                future.set_exception(error)
        if not self.names():
            self._say("error: not one of the models could be loaded.")

    def names(self) -> list[str]:
        """Return the models that are loaded or may still be, best first."""
        return [name for name, future in self._loaded.items() if not _failed(future)]

    def titles(self) -> dict[str, str]:
        """Return what each of `names` is called on the page; no two are called the same."""
        names = self.names()
        titles = [self.entries[name].title for name in names]
        return {
            name: title if titles.count(title) == 1 else f"{title} ({name})"
            for name, title in zip(names, titles, strict=True)
        }

    def get(self, name: str) -> "LesionClassifier":
        """Return a model by its name; waits until it is loaded.

        Raises:
            InputError: If there is no such model, it can't be used, or takes too long to load.
        """
        if not isinstance(name, str) or name not in self._loaded:
            check_choice("model", name, self.names())
        try:
            return self._loaded[name].result(timeout=LONGEST_WAIT)
        except NotYet as error:
            raise InputError(
                f"The model {name} is still being loaded. Try again in a few seconds."
            ) from error
        except Exception as error:
            raise InputError(
                f"The model {name} can't be used: {DAMAGED}. Choose another one."
            ) from error

    def read(self, name: str, picture: "Picture") -> Reading:
        """Return a model's result for an image, computed unless it is kept.

        Raises:
            InputError: As `get`, or if the image can't be read.
        """
        model = self.get(name)
        return self.recent.get(picture.sha256, name, partial(_read_picture, model, picture))

    def read_all(self, picture: "Picture") -> dict[str, Reading]:
        """Return every usable model's result for an image; errors as `read`."""
        found = {}
        for name in list(self._loaded):
            try:
                self.get(name)
            except InputError:
                if _failed(self._loaded[name]):
                    continue
                raise
            found[name] = self.read(name, picture)
        return found


def _read_picture(model: "LesionClassifier", picture: "Picture") -> Reading:
    return read(model, picture.image)


def _failed(future: "Future[LesionClassifier]") -> bool:
    return future.done() and future.exception() is not None


def _publicly(line: str) -> str:
    """Return a line on a model that is left out without where its folder lies on this machine."""
    source, _, reason = line.partition(LEFT_OUT)
    name = PurePath(source).name
    reason = reason.partition(TOKEN_PLACE)[0].replace(source, name)
    return f"{name}{LEFT_OUT}{reason}"
