"""A Space's app in a process of its own, as a Space runs it, and what it answers over its API."""

import contextlib
import os
import socket
import subprocess
import time
from dataclasses import dataclass

from gradio_client import Client, handle_file

LEFT_OUT = ("PYTHONPATH", "HF_HUB_OFFLINE", "HF_TOKEN")


@dataclass(frozen=True)
class Served:
    """An app that is being served.

    Attributes:
        url: Its address.
        lines: What it printed until then.
        seconds: How long that took.
    """

    url: str
    lines: list[str]
    seconds: float

    def classify(self, image, **options):
        """Return what it says of an image file."""
        client = Client(self.url, verbose=False)
        return client.predict(image=handle_file(image), api_name="/classify", **options)


@contextlib.contextmanager
def started(python, folder, *words, **environment):
    """Run the app of a folder, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"GRADIO_SERVER_PORT": str(port), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    kept = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    start = time.monotonic()
    process = subprocess.Popen(
        [str(python), "app.py", *map(str, words)],
        cwd=folder,
        env={**kept, **own, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    try:
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("Serving on"):
                break
        else:
            raise AssertionError("\n".join(lines))
        yield Served(f"http://127.0.0.1:{port}", lines, time.monotonic() - start)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
