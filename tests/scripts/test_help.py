"""`--help` of every script: useful, and there before anyone thinks of waiting."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "scripts"
SCRIPTS = sorted(FOLDER.rglob("*.py"))
HEAVY = {"torch", "transformers", "datasets", "gradio", "sklearn", "pandas"}
# Their flags are those of transformers' TrainingArguments.
NEED_TRAINING_ARGUMENTS = ("train.py", "search.py")
CODE = """
import runpy, sys
sys.argv = [{script!r}, "--help"]
try:
    runpy.run_path({script!r}, run_name="__main__")
except SystemExit as stop:
    print("exit", stop.code or 0, *sorted({heavy!r} & set(sys.modules)))
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_help_tells_how_to_launch_and_loads_nothing_heavy(script):
    code = CODE.format(script=str(script), heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    *text, verdict = done.stdout.splitlines()
    assert f"scripts/{script.relative_to(FOLDER)}" in "\n".join(text)
    if script.name in NEED_TRAINING_ARGUMENTS or script.parent != FOLDER:
        assert verdict.startswith("exit 0")
    else:
        assert verdict == "exit 0"
