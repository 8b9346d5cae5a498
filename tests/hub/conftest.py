"""A Hub on loopback, and processes that know no other."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import types

import pytest
from hub.local_hub import LocalHub
from huggingface_hub import close_session, constants, file_download
from huggingface_hub.utils import _http

FORBIDDEN = {"HF_HUB_OFFLINE", "HF_TOKEN", "HF_TOKEN_PATH", "HTTP_PROXY", "http_proxy"}


@contextlib.contextmanager
def serving(port=0):
    with LocalHub(port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def run_folder(tiny_cnn_model, tmp_path_factory):
    """A finished run of our CNN."""
    folder = tmp_path_factory.mktemp("run") / "tiny_cnn"
    shutil.copytree(tiny_cnn_model, folder)
    (folder / "training.json").write_text(json.dumps({"dataset": {"synthetic": True}}))
    return folder


@pytest.fixture
def hub():
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def shared_hub():
    """One Hub for the tests of a module that build on one another's repositories."""
    with serving() as server:
        yield server


@pytest.fixture
def near(hub, monkeypatch, tmp_path):
    """Turn this process's client to the local Hub, for what needs no process of its own."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    close_session()
    yield hub
    close_session()


@pytest.fixture
def hurry(monkeypatch):
    """Let the client try twice at once, where it would try five times in half a minute."""
    defaults = {**_http.http_backoff.__kwdefaults__, "max_retries": 1}
    monkeypatch.setattr(_http.http_backoff, "__kwdefaults__", defaults)
    restless = types.SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    for module in (_http, file_download):
        monkeypatch.setattr(module, "time", restless)


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a program whose Hub is a local one: its finished process.

    Its cache is empty at first, and its own to the test.
    """

    def run_there(hub, *words, python=sys.executable, timeout=400, **environment):
        own = {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": "hf_me",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HOME": str(tmp_path / "hf_home"),
            "NO_PROXY": "127.0.0.1",
        }
        forbidden = FORBIDDEN | ({"PYTHONPATH"} if python != sys.executable else set())
        kept = {name: value for name, value in os.environ.items() if name not in forbidden}
        return subprocess.run(
            [str(python), *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            env={**kept, **own, **environment},
        )

    return run_there


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """A virtual environment that borrows this one's packages, but for the editable hf_lesion."""
    folder = tmp_path_factory.mktemp("stranger") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"
