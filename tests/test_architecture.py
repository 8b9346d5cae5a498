"""The house's plan as a test: which room may import which, and no room is a junk drawer."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BASE = {"io", "errors", "cli", "verbosity"}
# Room -> the rooms that it may import, next to those of BASE.
ALLOWED = {
    "errors": set(),
    "cli": {"errors"},
    "verbosity": set(),
    "io": {"errors"},
    "labels": set(),
    "synthetic": {"labels"},
    "data": {"labels", "synthetic"},
    "eda": {"labels", "data"},
    "models": {"labels"},
    "calibration": {"labels", "models"},
    "ood": {"labels", "models"},
    "explain": {"labels", "synthetic", "models"},
    "prediction": {"labels", "models", "explain", "ood"},
    "classifier": {"labels", "models", "calibration", "explain", "ood", "prediction"},
    "evaluation": {
        "labels",
        "data",
        "synthetic",
        "models",
        "calibration",
        "ood",
        "classifier",
        "explain",
    },
    "training": {"labels", "data", "synthetic", "models", "evaluation"},
    "hub": {
        "labels",
        "data",
        "synthetic",
        "models",
        "calibration",
        "ood",
        "classifier",
        "evaluation",
        "explain",
    },
}
MODULES = sorted((ROOT / "hf_lesion").rglob("*.py"))
JUNK_DRAWERS = {"utils", "util", "helpers", "common", "misc"}


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT / "hf_lesion").with_suffix("").parts)


def imported(file: Path) -> set[str]:
    """Return the modules of hf_lesion that a file imports, below the package's name."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add(node.module)
            if node.module == "hf_lesion":
                names |= {f"hf_lesion.{alias.name}" for alias in node.names}
    return {name.removeprefix("hf_lesion.") for name in names if name.startswith("hf_lesion.")}


def rooms_opened(file: Path) -> set[str]:
    room = module_name(file).split(".")[0]
    return {name for name in imported(file) if name.split(".")[0] != room}


def is_allowed(name: str, room: str) -> bool:
    allowed = ALLOWED[room] | (BASE if room not in BASE else set())
    return any(name == open_to or name.startswith(f"{open_to}.") for open_to in allowed)


@pytest.mark.parametrize("file", MODULES, ids=module_name)
def test_imports_follow_the_plan(file):
    name = module_name(file)
    if name == "__init__":
        assert rooms_opened(file) <= {"models.registration"}
        return
    room = name.split(".")[0]
    assert room in ALLOWED, f"{file} is in no room of the plan"
    forbidden = {other for other in rooms_opened(file) if not is_allowed(other, room)}
    assert not forbidden, f"{name} imports {forbidden}"


def test_the_plan_itself_has_no_circle():
    rooms = {room: {name.split(".")[0] for name in ALLOWED[room]} for room in ALLOWED}
    done: set[str] = set()
    while remaining := set(rooms) - done:
        free = {room for room in remaining if rooms[room] <= done}
        assert free, f"rooms in a circle: {remaining}"
        done |= free


def test_the_cnn_imports_nothing_of_ours():
    assert imported(ROOT / "hf_lesion" / "models" / "cnn.py") == set()


def test_nothing_imports_the_space_or_the_scripts():
    for file in MODULES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {name for name in froms if name and name.split(".")[0] in {"space", "scripts"}}


@pytest.mark.parametrize("file", MODULES, ids=module_name)
def test_no_module_is_a_junk_drawer(file):
    assert file.stem not in JUNK_DRAWERS


def test_scripts_do_not_shadow_what_they_import():
    taken = {"evaluate", "datasets", "transformers", "accelerate", "timm", "gradio", "torch"}
    assert not {file.stem for file in (ROOT / "scripts").glob("*.py")} & taken


def test_the_rules_find_an_offender(tmp_path):
    assert not is_allowed("training.losses", "models")
    assert not is_allowed("hub.card", "training")
    assert is_allowed("evaluation.metrics", "training")
    assert not is_allowed("evaluationandmore", "training")


def questions_answered() -> dict[str, str]:
    """Return the files that docs/architecture.md gives as answers to "Where is …?"."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("## Where is …?")[1].split("##")[0]
    rows = re.findall(r"^\| (.*\?) \| `([^`]+)` \|$", table, re.MULTILINE)
    return dict(rows)


def test_a_newcomer_finds_the_file():
    answers = questions_answered()
    assert len(answers) >= 10
    assert not [file for file in answers.values() if not (ROOT / file).is_file()]


def test_every_room_is_in_the_guide():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {
        name.strip("/") for name in re.findall(r"^\| `hf_lesion/([\w./]+)` \|", text, re.MULTILINE)
    }
    rooms = {module_name(file).split(".")[0] for file in MODULES} - {"__init__"}
    assert {name.removesuffix(".py") for name in named} | BASE >= rooms


def test_the_names_of_today_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    owners = re.findall(r"\| `(hf_lesion/[\w/]+\.py)` \|$", text, re.MULTILINE)
    assert len(owners) >= 15
    assert not [file for file in owners if not (ROOT / file).is_file()]
