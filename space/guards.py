"""Gradio's internals that the page replaces: checked at every start, before anything is served.

The page puts functions of its own in the place of some of gradio's. A later gradio that no longer
called them would fetch any web address, write visitors' values to the log, or show bare errors, and
nobody would notice. So a small page is asked what only those functions answer, and the real one
does not start unless they do.
"""

import asyncio
import contextlib
import functools
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi.testclient import TestClient
from gradio.routes import App
from gradio.state_holder import SessionState
from gradio.utils import get_upload_folder
from refusals import FAILED, HANDLERS, NOT_EXPECTED, NOT_FOUND, refuse_in_words
from uploads import NO_ADDRESS, Handed, build_files_input, build_image_input, take_as_sent

from hf_lesion.errors import InputError

WRITTEN_FOR = "gradio>=6.31,<6.32"
# Where nothing listens, so that even a gradio that fetches it finds nothing.
ADDRESS = "http://127.0.0.1:9/image.png"
UNKNOWN = "not a choice"
META = {"_type": "gradio.FileData"}


@functools.cache
def check_gradio() -> None:
    """Raise InputError unless gradio still calls what the page puts in the place of its own."""
    # A thread of its own: a notebook has a running event loop in this one.
    with ThreadPoolExecutor(1) as pool:
        try:
            broken = pool.submit(_find_broken).result()
        except Exception as error:  # noqa: BLE001 - whatever is no longer there
            broken = f"{type(error).__name__} ({error})"
    if broken:
        raise InputError(
            f"The page can't be served safely with gradio {gr.__version__}: {broken}. Install the "
            f"version that it was written for: pip install '{WRITTEN_FOR}'."
        )


def check_uploads(folder: Path) -> None:
    """Raise InputError unless gradio puts uploads into a folder."""
    if Path(get_upload_folder()) != folder:
        raise InputError(
            f"gradio {gr.__version__} puts uploads into {get_upload_folder()} instead of the "
            f"page's own folder. Install the version that it was written for: pip install "
            f"'{WRITTEN_FOR}'."
        )


@dataclass
class _Probe:
    """A page with one event that takes what the real one takes, and fails."""

    blocks: gr.Blocks
    seen: list[Any] = field(default_factory=list)

    def ask(self, *inputs: Any) -> str:
        """Return what a visitor is told who sends these inputs."""
        (number,) = self.blocks.fns
        state = SessionState(self.blocks)
        # Also files of this machine, as from gradio itself: what is uploaded is checked by gradio.
        answer = self.blocks.process_api(number, list(inputs), state, explicit_call=True)
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                asyncio.run(answer)
        except Exception as error:  # noqa: BLE001 - what is not ours is no word to a visitor
            return error.message if isinstance(error, gr.Error) else ""
        return ""


def _build_probe() -> _Probe:
    with gr.Blocks(analytics_enabled=False) as blocks:
        image, files = build_image_input(), build_files_input()
        choices = [
            take_as_sent(gr.Radio(["a"])),
            take_as_sent(gr.Dropdown(["a"])),
            take_as_sent(gr.Slider(0, 1)),
        ]
        probe = _Probe(blocks)

        def fail(*inputs: Any) -> None:
            probe.seen = list(inputs)
            raise RuntimeError(UNKNOWN)

        gr.Button().click(fail, [image, files, *choices], None)
    refuse_in_words(blocks)
    return probe


def _find_broken() -> str:
    """Return the first of gradio's habits that is not as it was; empty if all are."""
    return next((what for what, is_kept in _habits(_build_probe()) if not is_kept()), "")


def _habits(probe: _Probe) -> Iterator[tuple[str, Callable[[], bool]]]:
    chosen = (UNKNOWN, UNKNOWN, UNKNOWN)
    address = {"path": ADDRESS, "meta": META}

    def hands_over_choices() -> bool:
        probe.ask(None, None, *chosen)
        return probe.seen == [None, None, *chosen]

    yield "it checks choices itself", hands_over_choices
    yield (
        "it shows what a failed answer says",
        lambda: probe.ask(None, None, *chosen) == FAILED,
    )
    yield (
        "it fetches images from web addresses",
        lambda: probe.ask(address, None, *chosen) == NO_ADDRESS,
    )
    yield (
        "it fetches files from web addresses",
        lambda: probe.ask(None, [address], *chosen) == NO_ADDRESS,
    )
    yield (
        "it reads images itself",
        lambda: (
            probe.ask({"url": "data:image/png;base64,!", "meta": META}, None, *chosen) == FAILED
            and isinstance(probe.seen[0], InputError)
        ),
    )
    yield "it reads files itself", lambda: _hands_over_files(probe)
    yield (
        "it shows why a request can't be read",
        lambda: probe.ask(7, None, *chosen) == NOT_EXPECTED,
    )
    yield "events bring no data", lambda: gr.EventData(None, {"a": 1})._data == {"a": 1}
    yield "it shows why an address is unknown", lambda: _refuses_addresses(probe)


def _hands_over_files(probe: _Probe) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.png")
        file.touch()
        probe.ask(None, [{"path": str(file), "orig_name": "a.png", "meta": META}], *"abc")
        found = probe.seen[1]
        if not isinstance(found, list) or [type(one) for one in found] != [Handed]:
            return False
        # Gradio leaves a file of its own temporary folder where it lies, and copies any other.
        if (copy := found[0].path).resolve() != file.resolve():
            shutil.rmtree(copy.parent)
    return True


def _refuses_addresses(probe: _Probe) -> bool:
    app = App.create_app(probe.blocks, app_kwargs={"exception_handlers": HANDLERS})
    with contextlib.redirect_stderr(io.StringIO()):
        visitor = TestClient(app, raise_server_exceptions=False)
        reply = visitor.post("/gradio_api/call/nothing", json={"data": []})
    return reply.status_code == NOT_FOUND and reply.json() == {"detail": NOT_EXPECTED}
