"""How the tests of scripts run them."""

import contextlib
import io
import runpy
import sys

import datasets
import pytest
import transformers


class Terminal(io.TextIOWrapper):
    """Standard output that is kept, as the text of a file."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="utf-8", newline="", write_through=True)

    def text(self):
        return self.buffer.getvalue().decode()


def run_in_process(script, *arguments):
    """Return exit code, standard output and standard error of a script.

    In this process, since each fresh one spends seconds on imports.
    """
    out, err, code = Terminal(), Terminal(), 0
    verbosity = transformers.utils.logging.get_verbosity()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script.name, *map(str, arguments)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_path(str(script), run_name="__main__")
            except SystemExit as stop:
                code = stop.code or 0
    transformers.utils.logging.set_verbosity(verbosity)
    datasets.enable_progress_bars()
    return code, out.text(), err.text()


@pytest.fixture(scope="session")
def run_script():
    """Return `run_in_process`."""
    return run_in_process


@pytest.fixture
def call(request, monkeypatch, tmp_path):
    """Return a function that runs the module's SCRIPT in an empty folder: (exit code, out, err)."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_in_process(request.module.SCRIPT, *arguments)


@pytest.fixture
def refusal(call):
    """Return a function that runs the script and returns the one line of its refusal."""

    def refuse(*arguments):
        code, out, err = call(*arguments)
        assert (code, out) == (2, ""), err
        assert err.count("\n") == 1, err
        return err.rstrip("\n")

    return refuse
