"""Startup checks: a gradio that ignores the page's overrides is rejected, with the reason."""

import tomllib
from pathlib import Path

import gradio as gr
import pytest

from hf_lesion.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def check():
    """Return the check as a start runs it: the answer is kept for the process."""
    from guards import check_gradio

    check_gradio.cache_clear()
    yield check_gradio
    check_gradio.cache_clear()


def test_this_gradio_does_what_the_page_relies_on(check):
    check()


def build_without(preprocess):
    """Build an image input that gradio itself reads."""

    def build(**options):
        from uploads import _reject_addresses

        component = gr.Image(**options) if preprocess == "image" else gr.File(**options)
        _reject_addresses(component)
        return component

    return build


# What is put in place of gradio's own is not there: as if gradio did not call it any more.
@pytest.mark.parametrize(
    ("name", "instead", "what"),
    [
        ("uploads._reject_addresses", lambda component: None, "it fetches images from web addr"),
        ("guards.pass_unchecked", lambda component: component, "it checks choices itself"),
        ("guards.build_image_input", build_without("image"), "it reads images itself"),
        ("guards.build_files_input", build_without("files"), "it reads files itself"),
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
    from guards import check_uploads

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    check_uploads(tmp_path)
    with pytest.raises(InputError, match="instead of the page's own folder"):
        check_uploads(tmp_path / "other")


def test_the_version_is_the_one_that_is_installed_with_the_project():
    from guards import WRITTEN_FOR

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert WRITTEN_FOR in project["optional-dependencies"]["space"]
