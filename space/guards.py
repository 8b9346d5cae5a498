"""Startup checks of the gradio internals that the page overrides.

With a later version of gradio that no longer calls the overriding functions, the page would fetch
any web address, log visitors' values, or show bare errors. So before anything is served, a small
page is sent requests that only those functions answer as expected, and startup fails if they do
not.
"""

import asyncio
import contextlib
import functools
import io
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi.testclient import TestClient
from gradio.routes import App
from gradio.state_holder import SessionState
from gradio.utils import get_upload_folder
from refusals import FAILED, HANDLERS, INVALID, NOT_FOUND, explain_errors
from uploads import (
    NO_ADDRESS,
    UploadedFile,
    build_files_input,
    build_image_input,
    pass_unchecked,
)

from hf_lesion.errors import InputError

WRITTEN_FOR = "gradio>=6.31,<6.32"
# Nothing listens there, in case gradio does fetch it.
ADDRESS = "http://127.0.0.1:9/image.png"
UNKNOWN = "not a choice"
META = {"_type": "gradio.FileData"}


@functools.cache
def check_gradio() -> None:
    """Raise InputError unless gradio calls the functions that override its own."""
    # In a thread, since a notebook has a running event loop in this one.
    with ThreadPoolExecutor(1) as pool:
        try:
            failure = pool.submit(_find_failure).result()
        except Exception as error:  # noqa: BLE001 - any internal may be missing
            failure = f"{type(error).__name__} ({error})"
    if failure:
        raise InputError(
            f"The page can't be served safely with gradio {gr.__version__}: {failure}. Install a "
            f"supported version: pip install '{WRITTEN_FOR}'."
        )


def check_uploads(folder: Path) -> None:
    """Raise InputError unless gradio stores uploads in a folder."""
    if Path(get_upload_folder()) != folder:
        raise InputError(
            f"gradio {gr.__version__} stores uploads in {get_upload_folder()} instead of the "
            f"page's own folder. Install a supported version: pip install '{WRITTEN_FOR}'."
        )


@dataclass
class _TestPage:
    """A page with one event that has the inputs of the real page, and fails."""

    blocks: gr.Blocks
    received: list[Any] = field(default_factory=list)

    def send(self, *inputs: Any) -> str:
        """Send inputs to the event and return the error message that a visitor would see."""
        (number,) = self.blocks.fns
        state = SessionState(self.blocks)
        # An explicit call, so that local files are accepted without an upload.
        event = self.blocks.process_api(number, list(inputs), state, explicit_call=True)
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                asyncio.run(event)
        except Exception as error:  # noqa: BLE001 - other errors are not shown to visitors
            return error.message if isinstance(error, gr.Error) else ""
        return ""


def _build_test_page() -> _TestPage:
    with gr.Blocks(analytics_enabled=False) as blocks:
        image, files = build_image_input(), build_files_input()
        choices = [
            pass_unchecked(gr.Radio(["a"])),
            pass_unchecked(gr.Dropdown(["a"])),
            pass_unchecked(gr.Slider(0, 1)),
        ]
        page = _TestPage(blocks)

        def fail(*inputs: Any) -> None:
            page.received = list(inputs)
            raise RuntimeError(UNKNOWN)

        gr.Button().click(fail, [image, files, *choices], None)
    explain_errors(blocks)
    return page


def _find_failure() -> str:
    """Return the first check that fails; empty if all pass."""
    return next((text for text, passed in _run_checks(_build_test_page()) if not passed), "")


def _run_checks(page: _TestPage) -> Iterator[tuple[str, bool]]:
    """Run the checks one by one; yield gradio's behaviour on failure, and whether it passed."""
    choices = (UNKNOWN, UNKNOWN, UNKNOWN)
    message = page.send(None, None, *choices)
    yield "it checks choices itself", page.received == [None, None, *choices]
    yield "it does not explain failed requests", message == FAILED
    address = {"path": ADDRESS, "meta": META}
    message = page.send(address, None, *choices)
    yield "it fetches images from web addresses", message == NO_ADDRESS
    message = page.send(None, [address], *choices)
    yield "it fetches files from web addresses", message == NO_ADDRESS
    message = page.send({"url": "data:image/png;base64,!", "meta": META}, None, *choices)
    is_ours = message == FAILED and isinstance(page.received[0], InputError)
    yield "it reads images itself", is_ours
    yield "it reads files itself", _passes_files(page)
    yield "it does not explain invalid requests", page.send(7, None, *choices) == INVALID
    yield "events have no data", gr.EventData(None, {"a": 1})._data == {"a": 1}
    yield "it does not explain unknown endpoints", _explains_unknown_endpoints(page)


def _passes_files(page: _TestPage) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.png")
        file.touch()
        page.send(None, [{"path": str(file), "orig_name": "a.png", "meta": META}], *"abc")
        found = page.received[1]
        if not isinstance(found, list) or [type(one) for one in found] != [UploadedFile]:
            return False
        # Gradio copies files that are not in its own temporary folder.
        if (copy := found[0].path).resolve() != file.resolve():
            shutil.rmtree(copy.parent)
    return True


def _explains_unknown_endpoints(page: _TestPage) -> bool:
    app = App.create_app(page.blocks, app_kwargs={"exception_handlers": HANDLERS})
    with contextlib.redirect_stderr(io.StringIO()):
        client = TestClient(app, raise_server_exceptions=False)
        reply = client.post("/gradio_api/call/nothing", json={"data": []})
    return reply.status_code == NOT_FOUND and reply.json() == {"detail": INVALID}
