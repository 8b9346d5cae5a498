"""`--help` of every script: useful, and there before anyone thinks of waiting."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "scripts"
# Their flags are those of transformers' TrainingArguments.
HEAVY = [FOLDER / "train.py", FOLDER / "search.py", *(FOLDER / "experiments").glob("*.py")]
LIGHT = sorted({*FOLDER.rglob("*.py")} - {*HEAVY})
# All of them in one fresh process: the first that loads something heavy is named.
CODE = """
import contextlib, io, json, runpy, sys
HEAVY = {"torch", "transformers", "datasets", "gradio", "sklearn", "pandas"}
found = {}
for script in sys.argv[1:]:
    sys.argv, out, code = [script, "--help"], io.StringIO(), None
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as stop:
            code = stop.code or 0
    found[script] = [code, sorted(HEAVY & set(sys.modules)), out.getvalue()]
print(json.dumps(found))
"""


def test_help_tells_how_to_launch_and_loads_nothing_heavy():
    words = [sys.executable, "-c", CODE, *map(str, LIGHT)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    for script, (code, loaded, text) in json.loads(done.stdout).items():
        assert (code, loaded) == (0, []), script
        assert f"scripts/{Path(script).relative_to(FOLDER)}" in text


@pytest.mark.parametrize("script", HEAVY, ids=lambda script: script.name)
def test_help_of_what_trains_tells_how_to_launch(script, run_script):
    code, text, _ = run_script(script, "--help")
    assert code == 0
    assert f"scripts/{script.relative_to(FOLDER)}" in text
