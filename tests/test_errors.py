import subprocess
import sys

import pytest

from hf_lesion.errors import InputError, StoppedError, list_offenders, one_line_errors


@pytest.mark.parametrize(
    ("offenders", "text"),
    [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, …")],
)
def test_list_offenders(offenders, text):
    assert list_offenders(offenders, shown=2) == text


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("Expected a dog,\n  got a cat."), 2, "error: Expected a dog, got a cat."),
        (
            InputError("3 are missing: a, b, …. Find them."),
            2,
            "error: 3 are missing: a, b, … Find them.",
        ),
        (StoppedError("stopped by SIGTERM. Go on.", 143), 143, "stopped by SIGTERM. Go on."),
        (FileNotFoundError(2, "No such file", "x/none"), 2, "error: No such file: x/none"),
        (OSError(28, "No space left on device"), 2, "error: No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_a_user_causes_is_one_line(error, code, line, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as caught:
        one_line_errors(main)()
    assert (caught.value.code, capsys.readouterr().err) == (code, f"{line}\n")


def test_a_defect_keeps_its_traceback():
    def main():
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match=r"^ours$"):
        one_line_errors(main)()


def test_importing_the_package_loads_no_heavy_library():
    code = "import sys, hf_lesion.errors; print({'torch', 'transformers'} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "set()\n"
