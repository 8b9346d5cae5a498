"""Uploads: what is rejected before an image is read. test_running.py sends images to a page."""

import asyncio

import gradio as gr
import pytest
import uploads
from gradio import processing_utils
from gradio.data_classes import ImageData


@pytest.mark.parametrize("build", ["build_image_input", "build_files_input"])
@pytest.mark.parametrize("address", ["http://1.1.1.1/a.png", " HTTPS://example.org/a.png"])
def test_a_public_address_is_refused_in_words_before_anything_is_fetched(
    monkeypatch, build, address
):
    async def fetch(*arguments, **options):
        raise AssertionError(arguments)

    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", fetch)
    component = getattr(uploads, build)(render=False)
    with pytest.raises(gr.Error) as caught:
        asyncio.run(component.async_move_resource_to_block_cache(address))
    assert caught.value.message == uploads.NO_ADDRESS


def test_an_image_that_was_deleted_meanwhile_is_asked_for_again(tmp_path):
    payload = ImageData(path=str(tmp_path / "gone.png"), orig_name="mole.png")
    assert str(uploads.build_image_input(render=False).preprocess(payload)) == (
        "mole.png is no longer here: images are deleted after an hour. Upload it again."
    )


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("a/b.png", "b.png"),
        ("..\\..\\b.png", "b.png"),
        ("\x00\x1b[31m.png", "[31m.png"),
        ("", "The image"),
        ("..", ".."),
        ("x" * 200, "x" * 40 + "…" + "x" * 40),
    ],
)
def test_names_are_labels(name, clean):
    assert uploads.clean_name(name) == clean
