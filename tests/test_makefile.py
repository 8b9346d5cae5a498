"""`make demo` as a newcomer runs it: a clean clone, no environment, no models."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PORT = 7877
MINUTES = 25


def test_help_names_the_targets():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "make demo" in done.stdout
    assert "make test" in done.stdout


def test_demo_opens_with_the_shipped_models_and_trains_nothing():
    done = subprocess.run(
        ["make", "--dry-run", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "scripts/train" not in done.stdout
    assert done.stdout.count("space/app.py --models space/models") == 1


def page_at(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return answer.read().decode("utf-8")
    except (urllib.error.URLError, OSError):
        return None


@pytest.mark.slow
@pytest.mark.timeout(MINUTES * 60 + 120)
def test_a_newcomer_gets_from_clone_to_the_page(tmp_path):
    clone = tmp_path / "hf_lesion"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    with (tmp_path / "log").open("w") as log:
        demo = subprocess.Popen(
            ["make", "demo", f"PORT={PORT}"],
            cwd=clone,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HOME": str(tmp_path / "home")},
            start_new_session=True,
        )
    try:
        page = None
        deadline = time.monotonic() + MINUTES * 60
        while page is None and demo.poll() is None and time.monotonic() < deadline:
            time.sleep(2)
            page = page_at(PORT)
        assert page is not None, (tmp_path / "log").read_text()[-3000:]
        assert "gradio" in page
    finally:
        os.killpg(demo.pid, signal.SIGINT)
        demo.wait(timeout=60)
