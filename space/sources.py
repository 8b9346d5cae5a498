"""Model sources: folders and Hub ids, resolved to folders that hold a complete model."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_lesion.errors import InputError
from hf_lesion.io.checksums import CONFIG, WEIGHTS, list_models
from hf_lesion.io.files import parse_json
from hf_lesion.labels import CODES

if TYPE_CHECKING:
    from hf_lesion.models.snapshot import Snapshot

MODELS = Path(__file__).with_name("models")
# Written by scripts/publish.py: one "owner/name@commit" per line.
HUB_MODELS = Path(__file__).with_name("hub_models.txt")
SHORT_COMMIT = 7  # characters of a commit that are shown
SKIPPED = " was skipped: "  # between a model's source and the reason, in every such line


def default_sources() -> list[str]:
    """Return the models next to the app, and those on the Hub that were published with it."""
    lines = HUB_MODELS.read_text(encoding="utf-8").split() if HUB_MODELS.is_file() else []
    return [*([str(MODELS)] if MODELS.is_dir() else []), *lines]


def fetch_models(sources: Sequence[str]) -> tuple[list[Path], dict[Path, str], list[str]]:
    """Resolve model folders and Hub ids to local folders.

    If none of the requested models is available, the models next to the app are used instead.

    Returns:
        The folders; the display names of those from the Hub; and one line for each commit that was
        fetched, each model that was skipped, and the fallback.
    """
    snapshots = _fetch_all([source for source in sources if is_hub_id(source)])
    folders, names, lines = [], {}, []
    for source in sources:
        snapshot = snapshots.get(source)
        if snapshot is None:
            folders.append(Path(source))
        elif isinstance(snapshot, InputError):
            lines.append(f"{source}{SKIPPED}{snapshot}")
        else:
            repo_id, at, revision = source.partition("@")
            name = f"{repo_id}{at}{revision[:SHORT_COMMIT] if len(revision) == 40 else revision}"
            folders.append(snapshot.folder)
            names[snapshot.folder] = name
            lines.append(f"{name}: commit {snapshot.revision}")
    if not folders and MODELS.is_dir():
        lines.append("None of the requested models is available: serving those next to the app.")
        folders.append(MODELS)
    return folders, names, lines


def is_hub_id(source: str) -> bool:
    """Return whether a source has the form of a Hub id and is not a local path."""
    is_id = source.partition("@")[0].count("/") == 1 and not source.startswith((".", "/", "~"))
    return is_id and not Path(source).exists()


def find_models(folders: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the model folders among some folders and inside them, and a line for each without."""
    found: list[Path] = []
    lines = []
    for folder in folders:
        models = [folder] if (folder / CONFIG).is_file() else list_models(folder)
        if not models:
            reason = f"no {CONFIG} in it or its subfolders" if folder.is_dir() else "no such folder"
            lines.append(f"{folder}{SKIPPED}{reason}.")
        found += [model for model in models if model not in found]
    return found, lines


def check_folder(folder: Path) -> None:
    """Raise InputError if a model folder is damaged, incomplete, or has other classes.

    Reads no weights, since the page is served before any model is loaded; other problems are
    reported when the model is loaded.
    """
    from safetensors import SafetensorError, safe_open

    config = parse_json(
        (folder / CONFIG).read_bytes(), source=f"its {CONFIG}", fix="Copy it again."
    )
    if (classes := _read_classes(config)) != CODES:
        raise InputError(
            f"its classes are {', '.join(map(str, classes))}; expected {', '.join(CODES)}."
        )
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise InputError(f"it has no {WEIGHTS}. Only safetensors are loaded.")
    try:
        with safe_open(weights, framework="numpy"):
            pass
    except SafetensorError as error:
        raise InputError(
            f"its {WEIGHTS} is incomplete or not a safetensors file ({error}). Copy it again."
        ) from error


def _read_classes(config: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the classes that a config names, in order."""
    if names := config.get("label_names"):  # of a timm network
        return tuple(names)
    numbered = config.get("id2label") or {}
    return tuple(numbered[key] for key in sorted(numbered, key=int))


def _fetch_all(sources: Sequence[str]) -> Mapping[str, "Snapshot | InputError"]:
    """Fetch models from the Hub in parallel, so that an unreachable Hub is waited for only once."""
    if not sources:
        return {}
    from hf_lesion.models.snapshot import open_snapshot

    def fetch(source: str) -> "Snapshot | InputError":
        try:
            return open_snapshot(source)
        except InputError as error:
            return error

    with ThreadPoolExecutor() as pool:
        return dict(zip(sources, pool.map(fetch, sources), strict=True))
