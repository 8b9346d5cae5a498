"""Models of the page that lie on the Hub: fetched and checked before it opens, or left out."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from hf_lesion.errors import InputError

if TYPE_CHECKING:
    from hf_lesion.models.snapshot import Snapshot

MODELS = Path(__file__).with_name("models")
# Written by scripts/publish.py: one "owner/name@commit" a line.
HUB_MODELS = Path(__file__).with_name("hub_models.txt")
SHORT = 7  # characters of a commit that people read


def default_sources() -> list[str]:
    """Return what is served unless something else is asked for: what lies beside the app."""
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
        lines.append("None of them is to be had now: the models beside the app are served instead.")
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
