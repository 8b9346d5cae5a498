"""Temporary folder: deleted at the end or by the next start, and only the page's own."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from space.bad_requests import SHOWN
from space.conftest import registry_of, served
from space.http_calls import as_file, call, event_numbers, press, upload
from space.running import SPACE, listen_to_ctrl_c, wait_until
from temporary import PREFIX, delete_leftovers, temporary_folder

from space import zoo

LONGEST_WAIT = 20  # seconds
# What the page does with the folder, without the seconds that the page itself takes.
HOLD = """
import sys, time, signal
sys.path.insert(0, sys.argv[1])
from app import _stop
from temporary import temporary_folder
from hf_lesion.errors import one_line_errors

@one_line_errors
def main():
    signal.signal(signal.SIGTERM, _stop)
    with temporary_folder() as folder:
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


def test_a_page_that_is_ended_leaves_nothing_behind(place):
    process, folder = hold(place)
    assert folder.stat().st_mode & 0o077 == 0
    process.send_signal(signal.SIGINT)  # for SIGTERM see test_running.py
    assert process.wait(20) == 130
    assert list(place.iterdir()) == []


def test_whatever_visitors_leave_is_deleted_while_the_page_runs(place, classifiers, monkeypatch):
    import server

    # Looks each second for what is older than a busy machine needs for one request.
    monkeypatch.setattr(server, "DELETE_CACHE", (1, 4))
    with (
        temporary_folder() as folder,
        served(server.build_page(registry_of(classifiers))) as url,
    ):
        numbers = event_numbers(url)

        def send(name, content=zoo.PNG):
            return as_file(upload(url, name, content), name)

        with watched(folder) as left:
            image = send("a.png")
            assert press(url, numbers, "show", [image, "tiny_cnn", *SHOWN])[0]
            many = [send("b.png"), send("c.png"), send("d.png", b"words")]
            assert press(url, numbers, "run", [many, "tiny_cnn"])[0]
            asked = [send("e.png"), "tiny_cnn", "mel", "gradcam"]
            assert call(url, "explain", asked)[0] == "complete"
            assert upload(url, "large.png", bytes(11 * 2**20)) == 413
        assert {f"{name}.png" for name in "abcde"} < {file.name for file in left}
        assert len(left) > 5
        wait_until(lambda: not list_visitors_files(folder), LONGEST_WAIT)
        page_says = press(url, numbers, "show", [image, "tiny_cnn", *SHOWN])[1][0]
        assert "a.png is no longer here: images are deleted after an hour." in page_says
    assert not folder.exists()


@contextlib.contextmanager
def watched(folder):
    """Yield the set of all visitors' files that lie in the folder until the block has ended."""
    seen, ended = set(), threading.Event()

    def watch():
        while not ended.wait(0.05):
            seen.update(list_visitors_files(folder))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
        seen.update(list_visitors_files(folder))  # those of the last moment


def list_visitors_files(folder):
    """List what visitors' requests left in the page's folder, which is all but its lock."""
    # Unlike `rglob`, `walk` takes no offence at folders that vanish meanwhile.
    walked = [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]
    return [file for file in walked if file.name != "lock"]


def test_a_killed_pages_folder_goes_with_the_next_start_and_a_living_ones_stays(place):
    process, folder = hold(place)
    try:
        assert delete_leftovers() == []
    finally:
        process.kill()
        process.wait(20)
    assert (folder / "upload" / "image.png").is_file()
    with temporary_folder() as own:
        assert not folder.exists()
        assert own.is_dir()
    assert list(place.iterdir()) == []


def test_a_link_that_looks_like_a_folder_is_not_followed(place, tmp_path_factory):
    precious = tmp_path_factory.mktemp("precious")
    (precious / "thesis.txt").write_text("years")
    (place / f"{PREFIX}link").symlink_to(precious)
    assert delete_leftovers() == []
    assert (precious / "thesis.txt").is_file()


@pytest.mark.parametrize("told", [None, "/somewhere/else"])
def test_gradio_is_told_where_to_put_its_files_until_the_end(place, monkeypatch, told):
    if told is not None:
        monkeypatch.setenv("GRADIO_TEMP_DIR", told)
    with temporary_folder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert Path(tempfile.mkdtemp()).parent == folder
    assert tempfile.gettempdir() == str(place)
    assert os.environ.get("GRADIO_TEMP_DIR") == told
