"""Safety of a start: gradio obeys the page's overrides, its versions have no known advisory."""

import re
import tomllib
from pathlib import Path

import gradio as gr
import guards
import pytest
import uploads
from packaging.requirements import Requirement
from packaging.version import Version
from space.conftest import served
from space.http_calls import call

from hf_lesion.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| ((?:CVE|GHSA|gradio #).*) \|$", (ROOT / "SECURITY.md").read_text(), re.M)
OURS = ("gradio", "transformers", "torch")
NAMED = rf"({'|'.join(OURS)}) ([\d.]+\d)"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def check():
    """Return the check as a start runs it: the answer is kept for the process."""
    guards.check_gradio.cache_clear()
    yield guards.check_gradio
    guards.check_gradio.cache_clear()


def test_this_gradio_does_what_the_page_relies_on(check):
    check()
    assert guards.WRITTEN_FOR in PROJECT["optional-dependencies"]["space"]


def build_without(component):
    """Build an input that gradio itself reads."""

    def build(**options):
        found = component(**options)
        uploads._reject_addresses(found)
        return found

    return build


# What is put in place of gradio's own is not there: as if gradio did not call it any more.
@pytest.mark.parametrize(
    ("name", "instead", "what"),
    [
        ("uploads._reject_addresses", lambda component: None, "it fetches images from web addr"),
        ("guards.pass_unchecked", lambda component: component, "it checks choices itself"),
        ("guards.build_image_input", build_without(gr.Image), "it reads images itself"),
        ("guards.build_files_input", build_without(gr.File), "it reads files itself"),
        ("guards.explain_errors", lambda blocks: None, "it does not explain failed requests"),
        ("guards.HANDLERS", {}, "it does not explain unknown endpoints"),
        ("gradio.EventData", lambda *_: object(), "AttributeError ("),
        ("gradio.Blocks.preprocess_data", None, "it checks choices itself"),
    ],
)
def test_the_page_does_not_start_and_says_why(check, classifiers, monkeypatch, name, instead, what):
    from app import build_demo

    monkeypatch.setattr(name, instead)
    with pytest.raises(InputError) as caught:
        build_demo(classifiers)
    text = str(caught.value)
    assert text.startswith(f"The page can't be served safely with gradio {gr.__version__}: {what}")
    assert text.endswith("Install a supported version: pip install 'gradio>=6.31,<6.32'.")


def test_uploads_that_go_elsewhere_stop_the_start(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    guards.check_uploads(tmp_path)
    with pytest.raises(InputError, match="instead of the page's own folder"):
        guards.check_uploads(tmp_path / "other")


def test_a_failure_of_the_page_is_said_and_its_reason_kept(capsys):
    from refusals import FAILED, explain_errors

    def fail(text):
        raise RuntimeError(f"patient {text}")

    with gr.Blocks(analytics_enabled=False) as blocks:
        text = gr.Textbox()
        text.submit(fail, text, text, api_name="fail")
    explain_errors(blocks)
    with served(blocks) as url:
        event, found = call(url, "fail", ["smith.jpg"])
    assert (event, found["error"]) == ("error", FAILED)
    written = "".join(capsys.readouterr())
    assert "Request failed: RuntimeError in test_guards.py, line " in written
    assert "smith" not in written


def floors():
    """Return the lowest versions that the project accepts."""
    needs = map(Requirement, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["space"])
    return {
        need.name: Version(next(one.version for one in need.specifier if one.operator == ">="))
        for need in needs
        if need.name in OURS
    }


def test_what_is_needed_is_above_what_was_mended():
    assert len(ROWS) > 10
    lowest = floors()
    for row in ROWS:
        _advisory, _what, fixed, we_do = row.split(" | ")
        assert all(Version(version) <= lowest[name] for name, version in re.findall(NAMED, fixed))
        assert all(Version(version) == lowest[name] for name, version in re.findall(NAMED, we_do))
        assert "not known" in fixed or re.search(NAMED, fixed), row


def test_the_spaces_pins_are_above_the_floors():
    lines = (ROOT / "space" / "requirements.txt").read_text()
    pins = dict(re.findall(r"^([\w-]+)==([\w.]+)$", lines, re.M))
    readme = (ROOT / "space" / "README.md").read_text()
    pins["gradio"] = re.search(r"^sdk_version: (.+)$", readme, re.M)[1]
    assert all(Version(pins[name]) >= version for name, version in floors().items())
