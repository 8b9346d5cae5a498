"""How the tests of scripts run them."""

import runpy
import sys

import datasets
import pytest
import transformers


@pytest.fixture
def call(request, monkeypatch, capsys, tmp_path):
    """Return a function that runs the module's SCRIPT in an empty folder: (exit code, out, err).

    In this process, since each fresh one spends seconds on imports.
    """
    script = request.module.SCRIPT
    verbosity = transformers.utils.logging.get_verbosity()
    monkeypatch.chdir(tmp_path)

    def run_here(*arguments):
        monkeypatch.setattr(sys, "argv", [script.name, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr()
        return code, said.out, said.err

    yield run_here
    transformers.utils.logging.set_verbosity(verbosity)
    datasets.enable_progress_bars()
