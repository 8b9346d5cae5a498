import errno
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


def run_main(main, capsys):
    with pytest.raises(SystemExit) as exit_:
        one_line_errors(main)()
    return exit_.value.code, capsys.readouterr().err


def test_an_input_error_is_one_line_and_exit_code_two(capsys):
    def main():
        raise InputError("Expected a dog,\n  got a cat.")

    assert run_main(main, capsys) == (2, "error: Expected a dog, got a cat.\n")


def test_a_run_that_was_stopped_says_how_to_go_on(capsys):
    def main():
        raise StoppedError("stopped by SIGTERM. Go on.", 143)

    assert run_main(main, capsys) == (143, "stopped by SIGTERM. Go on.\n")


def test_a_missing_file_is_named(capsys, tmp_path):
    def main():
        (tmp_path / "none").read_text()

    code, line = run_main(main, capsys)
    assert (code, line) == (2, f"error: No such file or directory: {tmp_path}/none\n")


def test_a_full_disk_needs_no_file_name(capsys):
    def main():
        raise OSError(errno.ENOSPC, "No space left on device")

    assert run_main(main, capsys) == (2, "error: No space left on device\n")


def test_a_cut_list_has_no_full_stop_after_its_ellipsis(capsys):
    def main():
        raise InputError(f"3 are missing: {list_offenders('abc', shown=2)}. Find them.")

    assert run_main(main, capsys) == (2, "error: 3 are missing: a, b, … Find them.\n")


def test_ctrl_c_ends_as_shells_expect(capsys):
    def main():
        raise KeyboardInterrupt

    assert run_main(main, capsys) == (130, "interrupted\n")


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
