"""Space folders: the web demo with package, models, requirements and front matter."""

import re
import shutil
from collections.abc import Sequence
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
# One "owner/name@commit" a line: what the app serves next to the folders in models/.
HUB_MODELS = "hub_models.txt"
COPIED = ("*.py", "*/*.py", "*.css", "*.json", "requirements.txt", "examples/*.webp")
PACKAGE = ("*.py", "py.typed", "*.csv", "*.json", "*.md")
LICENCE = "LICENSE"


def build_space_folder(app: Path, folder: Path, *, models: Sequence[str]) -> None:
    """Write a self-contained Space into an empty folder, and check it.

    Args:
        app: The folder of the web demo in a checkout, with app.py.
        folder: Empty.
        models: Model folders, folders of them, or Hub ids, which are pinned to their commit.

    Raises:
        InputError: If there is no app, a model is not available, or the result fails a check.
    """
    if not (app / APP).is_file():
        raise InputError(f"{app} has no {APP}. Run this from a checkout of hf_lesion.")
    for file in sorted(file for pattern in COPIED for file in app.glob(pattern)):
        copy = folder / file.relative_to(app)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)
    _copy_package(folder / hf_lesion.__name__)
    licence = app.parent / LICENCE
    if licence.is_file():
        shutil.copyfile(licence, folder / LICENCE)
    pinned = _add_models(folder, models)
    write_readme(app, folder, pinned=pinned)
    write_manifest(folder)
    check_files(folder, "space")


def write_readme(source: Path, folder: Path, *, pinned: Sequence[str]) -> None:
    """Write the README.md of a Space with complete front matter.

    Args:
        source: With the README.md to start from.
        folder: To write to.
        pinned: As for `complete_front_matter`.
    """
    front = complete_front_matter(read_front_matter(source), pinned)
    text = re.sub(r"\A---\n.*?\n---\n", "", (source / CARD).read_text("utf-8"), flags=re.DOTALL)
    shown = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=100)
    write_text(folder / CARD, f"---\n{shown}---\n{text}")


def list_sources(source: str) -> list[str]:
    """Return the models of one argument: folders, or the Hub id that it is.

    Raises:
        InputError: If it is a folder without a model.
    """
    path = Path(source)
    return [str(model) for model in _folders(path)] if path.is_dir() else [source]


def complete_front_matter(front: dict[str, Any], pinned: Sequence[str]) -> dict[str, Any]:
    """Return the front matter of a Space: the models it fetches and their licence.

    Args:
        front: Of the app's README.md.
        pinned: Each "owner/name@commit".
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


def _copy_package(target: Path) -> None:
    source = Path(str(hf_lesion.__file__)).parent
    for file in sorted(file for pattern in PACKAGE for file in source.rglob(pattern)):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _add_models(folder: Path, models: Sequence[str]) -> list[str]:
    """Copy the models that are folders, and return the Hub ids of the others with their commits."""
    pinned = []
    for source in models:
        if not Path(source).is_dir():
            snapshot = open_snapshot(source)
            pinned.append(f"{snapshot.name}@{snapshot.revision}")
            continue
        for model in _folders(Path(source)):
            target = folder / MODELS / model.resolve().name
            if target.exists():
                raise InputError(f"Two of the models are named {target.name}. Rename one of them.")
            target.mkdir(parents=True)
            build_model_folder(model, target, name=None)
    if pinned:
        write_text(folder / HUB_MODELS, "".join(f"{line}\n" for line in pinned))
    return pinned


def _folders(source: Path) -> list[Path]:
    if (source / CONFIG).is_file():
        return [source]
    found = list_models(source)
    if not found:
        raise InputError(f"{source} holds no model. Pack one with scripts/pack_model.py.")
    return found
