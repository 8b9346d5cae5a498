"""The page in a process of its own, started by its command, with its output and files."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gradio_client import Client, handle_file

SPACE = Path(__file__).resolve().parents[2] / "space"
# A proxy that is not there: nothing outside can be reached, wherever this test runs.
NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
LONGEST_START, LONGEST_END = 120, 30  # seconds
READY = "Serving on "


@dataclass(frozen=True)
class App:
    """A running page.

    Attributes:
        url: Where it is served.
        process: Its process.
        temporary: The folder in which it makes its own.
        out: The file with what it prints.
        err: The file with what it writes to stderr.
    """

    url: str
    process: subprocess.Popen
    temporary: Path
    out: Path
    err: Path

    def said(self):
        """Return all that it said so far."""
        return self.out.read_text() + self.err.read_text()

    def classify(self, image, **options):
        """Return what it says of an image file."""
        client = Client(self.url, verbose=False)
        return client.predict(image=handle_file(image), api_name="/classify", **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self, number=signal.SIGTERM):
        """Send it a signal; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(LONGEST_END)


def start_app(folder, *options, space=SPACE, python=sys.executable, **environment):
    """Start the page's command with its words and temporary files in a folder.

    Variables that are None are taken out of its environment.
    """
    port = free_port()
    temporary, home = folder / "tmp", folder / "home"
    temporary.mkdir(exist_ok=True)
    home.mkdir(exist_ok=True)
    out, err = folder / "out.txt", folder / "err.txt"
    command = [python, space / "app.py", "--port", port, *options]
    own = {**os.environ, **NO_NETWORK, "HOME": str(home), "TMPDIR": str(temporary), **environment}
    with out.open("w") as stdout, err.open("w") as stderr:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=stdout,
            stderr=stderr,
            cwd=home,
            env={name: value for name, value in own.items() if value is not None},
            preexec_fn=listen_to_ctrl_c,
        )
    app = App(f"http://127.0.0.1:{port}", process, temporary, out, err)
    wait_until(lambda: READY in out.read_text() or process.poll() is not None, LONGEST_START)
    assert process.poll() is None, app.said()
    return app


def free_port():
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(is_so, seconds):
    """Wait until something is so; fail if it takes too long."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def listen_to_ctrl_c():
    """Undo what a shell does to whatever it starts in the background: it ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def spoil(model, folder):
    """Copy a model into a folder in every way that makes it useless; return what is said of each.

    Args:
        model: A whole one.
        folder: Where the copies go; each is named for what is wrong with it.
    """
    copies = {
        name: shutil.copytree(model, folder / name)
        for name in ("no_json", "half_copied", "no_weights", "pickled", "other_classes", "altered")
    }
    (copies["no_json"] / "config.json").write_text("{")
    weights = copies["half_copied"] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    (copies["no_weights"] / "model.safetensors").unlink()
    pickled = copies["pickled"] / "model.safetensors"
    pickled.rename(pickled.with_name("pytorch_model.bin"))
    config = json.loads((copies["other_classes"] / "config.json").read_text())
    config["id2label"] = {"0": "cat", "1": "dog"}
    config["label2id"] = {"cat": 0, "dog": 1}
    (copies["other_classes"] / "config.json").write_text(json.dumps(config))
    # What only reading all of it can tell, when it is loaded.
    (copies["altered"] / "SHA256SUMS").write_text(f"{'0' * 64}  model.safetensors\n")
    return {
        "no_json": "its config.json is not JSON",
        "half_copied": "its model.safetensors is incomplete",
        "no_weights": "it has no model.safetensors",
        "pickled": "it has no model.safetensors. Only safetensors are loaded.",
        "other_classes": "its classes are cat, dog; expected akiec, ",
        "altered": "model.safetensors",
    }
