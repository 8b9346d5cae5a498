"""Space folders: the web demo with package, models, requirements and front matter."""

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

import hf_lesion
from hf_lesion.errors import InputError
from hf_lesion.hub.checks import NON_COMMERCIAL, check_files, read_front_matter
from hf_lesion.hub.client import CARD
from hf_lesion.hub.model import build_model_folder
from hf_lesion.io.checksums import CONFIG, WEIGHTS, list_models, write_manifest
from hf_lesion.io.files import write_text
from hf_lesion.models.snapshot import open_snapshot

APP = "app.py"
MODELS = "models"
# One "owner/name@commit" per line: what the app serves in addition to models/.
HUB_MODELS = "hub_models.txt"
COPIED = ("*.py", "*/*.py", "*.css", "*.json", "requirements.txt", "examples/*.webp")
PACKAGE = ("*.py", "py.typed", "*.csv", "*.json", "*.md")
LICENCE = "LICENSE"


def build_space_folder(app: Path, folder: Path, *, models: Sequence[str]) -> None:
    """Write a self-contained Space into an empty folder, and check it.

    The app is that of a checkout. Models are model folders, folders of these, or Hub ids, which are
    pinned to their commit.
    """
    if not (app / APP).is_file():
        raise InputError(f"{app} has no {APP}. Run this from a checkout of hf_lesion.")
    _copy(app, COPIED, folder)
    package = Path(str(hf_lesion.__file__)).parent
    _copy(package, (f"**/{pattern}" for pattern in PACKAGE), folder / hf_lesion.__name__)
    licence = app.parent / LICENCE
    if licence.is_file():
        shutil.copyfile(licence, folder / LICENCE)
    pinned = _add_models(folder, models)
    write_readme(app, folder, pinned=pinned)
    write_manifest(folder)
    check_files(folder, "space")


def write_readme(source: Path, folder: Path, *, pinned: Sequence[str]) -> None:
    """Write a Space's README.md: that of `source`, with complete front matter."""
    front = complete_front_matter(read_front_matter(source), pinned)
    text = re.sub(r"\A---\n.*?\n---\n", "", (source / CARD).read_text("utf-8"), flags=re.DOTALL)
    shown = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=100)
    write_text(folder / CARD, f"---\n{shown}---\n{text}")


def list_sources(source: str) -> list[str]:
    """Return the model folders that an argument names, or the argument if it is a Hub id."""
    path = Path(source)
    if not path.is_dir() or (path / CONFIG).is_file():
        return [source]
    found = [str(model) for model in list_models(path)]
    if not found:
        raise InputError(f"{source} contains no model. Pack one with scripts/pack_model.py.")
    return found


def complete_front_matter(front: dict[str, Any], pinned: Sequence[str]) -> dict[str, Any]:
    """Return front matter with the models that a Space fetches and their licence.

    Each of `pinned` is "owner/name@commit".
    """
    files = f"{CONFIG},{WEIGHTS}"
    preload = [f"{name} {files} {commit}" for name, commit in (p.split("@") for p in pinned)]
    return {
        **front,
        # The code is Apache-2.0; what is served with it are weights for non-commercial use.
        "license": NON_COMMERCIAL,
        "models": [line.split("@")[0] for line in pinned],
        **({"preload_from_hub": preload} if preload else {}),
    }


def _copy(source: Path, patterns: Iterable[str], target: Path) -> None:
    for file in (file for pattern in patterns for file in source.glob(pattern)):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _add_models(folder: Path, models: Sequence[str]) -> list[str]:
    """Copy the models that are folders, and return the Hub ids of the others with their commits."""
    pinned = []
    for source in (source for name in models for source in list_sources(name)):
        if not Path(source).is_dir():
            snapshot = open_snapshot(source)
            pinned.append(f"{snapshot.name}@{snapshot.revision}")
            continue
        target = folder / MODELS / Path(source).resolve().name
        if target.exists():
            raise InputError(f"Two of the models are named {target.name}. Rename one of them.")
        target.mkdir(parents=True)
        build_model_folder(Path(source), target, name=None)
    if pinned:
        write_text(folder / HUB_MODELS, "".join(f"{line}\n" for line in pinned))
    return pinned
