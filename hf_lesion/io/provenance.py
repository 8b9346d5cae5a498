"""Provenance of a result: command, versions, git revision, machine and time."""

import datetime
import importlib.metadata
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

SECRETS = ("token", "password", "secret")
PACKAGES = (
    "hf-lesion",
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "datasets",
    "accelerate",
    "evaluate",
    "scikit-learn",
    "grad-cam",
    "imagehash",
)


def provenance() -> dict[str, Any]:
    """Return the command, package versions, git revision, machine and UTC time of this process."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *mask_secrets(sys.argv[1:])]),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git_revision": git_revision(),
        "versions": package_versions(),
        "machine": {"platform": platform.platform(), "python": platform.python_version()},
    }


def mask_secrets(words: list[str]) -> list[str]:
    """Return a command line's words without the values of flags that name a token or password."""
    masked = []
    hide_next = False
    for word in words:
        flag, sign, _ = word.partition("=")
        is_secret = flag.startswith("-") and any(part in flag.lower() for part in SECRETS)
        masked.append("***" if hide_next else f"{flag}=***" if is_secret and sign else word)
        hide_next = is_secret and not sign
    return masked


def package_versions() -> dict[str, str]:
    """Return the installed version of each package that can change a result."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_revision() -> str | None:
    """Return the commit of this checkout, with "-dirty" if files differ; None outside of git."""
    folder = Path(__file__).resolve().parent.parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
