"""Environments that hold only the packages that a requirements file names, and what those need."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


def make_environment(folder: Path, requirements: list[str]) -> Path:
    """Make a virtual environment of links into this one's packages; return its python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for distribution in find_distributions(requirements).values():
        for entry in {file.parts[0] for file in distribution.files or [] if ".." not in file.parts}:
            target = Path(str(distribution.locate_file(entry)))
            if target.exists() and entry != "__pycache__" and not (site / entry).exists():
                (site / entry).symlink_to(target)
    return folder / "bin" / "python"


def find_distributions(requirements: list[str]) -> dict[str, metadata.Distribution]:
    """Return the installed packages that these need, by name, theirs and so on."""
    found, seen = {}, set()
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        wanted = waiting.pop()
        key = (wanted.name.lower(), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        distribution = metadata.distribution(wanted.name)
        found[wanted.name.lower()] = distribution
        extras = ["", *wanted.extras]
        for line in distribution.requires or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return found


def read_requirements(file: Path) -> list[str]:
    """Return the lines of a requirements file that name packages."""
    lines = [line.partition("#")[0].strip() for line in file.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("-")]


def find_imports(start: Path, roots: list[Path]) -> dict[str, Path]:
    """Return the packages that a program imports, by itself or by modules below these folders.

    Returns:
        A file that imports it, by the package's name; without the standard library.
    """
    found, seen, waiting = {}, set(), [start]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for module in _imported(file):
            own = [path for root in roots for path in _files_of(root, module)]
            waiting += own
            package = module.partition(".")[0]
            if not any((root / package).is_dir() or _files_of(root, package) for root in roots):
                found.setdefault(package, file)
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names}


def _imported(file: Path) -> list[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in for_types:
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and id(node) not in for_types:
            names += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _files_of(root: Path, module: str) -> list[Path]:
    path = root / module.replace(".", "/")
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
