"""The page's temporary folder: gone at the end, swept up after a kill, never someone else's."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SPACE = Path(__file__).resolve().parents[2] / "space"
# What the page does with the folder, without the seconds that the page itself takes.
HOLD = """
import sys, time, signal
sys.path.insert(0, sys.argv[1])
from app import _stop
from temporary import own_folder
from hf_lesion.errors import one_line_errors

@one_line_errors
def main():
    signal.signal(signal.SIGTERM, _stop)
    with own_folder() as folder:
        (folder / "upload").mkdir()
        (folder / "upload" / "image.png").write_bytes(b"someone's skin")
        print(folder, flush=True)
        time.sleep(60)

main()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for temporary files of its own, as this process sees it too."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    return tmp_path


def listen_to_ctrl_c():
    """Undo what a shell does to whatever it starts in the background: it ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def hold(place):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(SPACE)],
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=listen_to_ctrl_c,
    )
    return process, Path(process.stdout.readline().strip())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_page_that_is_ended_leaves_nothing_behind(place, number, code):
    process, folder = hold(place)
    assert folder.stat().st_mode & 0o077 == 0
    process.send_signal(number)
    assert process.wait(20) == code
    assert list(place.iterdir()) == []


def test_what_a_killed_page_left_goes_with_the_next_start(place):
    from temporary import own_folder

    process, folder = hold(place)
    process.kill()
    process.wait(20)
    assert (folder / "upload" / "image.png").is_file()
    with own_folder() as own:
        assert not folder.exists()
        assert own.is_dir()
    assert list(place.iterdir()) == []


def test_a_page_that_lives_keeps_its_folder(place):
    from temporary import sweep

    process, folder = hold(place)
    try:
        assert sweep() == []
        assert (folder / "upload" / "image.png").is_file()
    finally:
        process.kill()
        process.wait(20)


def test_a_link_that_looks_like_a_folder_is_not_followed(place, tmp_path_factory):
    from temporary import PREFIX, sweep

    precious = tmp_path_factory.mktemp("precious")
    (precious / "thesis.txt").write_text("years")
    (place / f"{PREFIX}link").symlink_to(precious)
    assert sweep() == []
    assert (precious / "thesis.txt").is_file()


def test_gradio_is_told_where_to_put_its_files(place):
    from temporary import own_folder

    with own_folder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert Path(tempfile.mkdtemp()).parent == folder
    assert tempfile.gettempdir() == str(place)


@pytest.mark.parametrize("told", [None, "/somewhere/else"])
def test_what_gradio_was_told_before_holds_again(place, monkeypatch, told):
    from temporary import own_folder

    if told is not None:
        monkeypatch.setenv("GRADIO_TEMP_DIR", told)
    with own_folder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
    assert os.environ.get("GRADIO_TEMP_DIR") == told
