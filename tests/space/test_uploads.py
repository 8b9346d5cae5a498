"""Uploads: valid images are read exactly, invalid ones are rejected with an explanation.

How a running page takes them is tested in test_running.py.
"""

import asyncio

import numpy as np
import pytest

from hf_lesion.errors import InputError
from space import zoo

# Must not appear in any response: local paths and internals of errors.
SECRETS = ("Traceback", "/tmp/", "/gradio", "site-packages", "root:", "hf_lesion_page_")


def check_secrets(text):
    assert not [secret for secret in SECRETS if secret in text], text


@pytest.mark.parametrize("name", zoo.GOOD)
def test_a_good_image_is_read_to_the_pixel(name):
    from uploads import decode_image

    found, expected = decode_image(name, zoo.GOOD[name][0]), zoo.reference_of(name)
    assert found.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("name", zoo.BAD)
def test_a_bad_one_is_refused_in_words(name):
    from uploads import clean_name, decode_image

    content, part = zoo.BAD[name]
    with pytest.raises(InputError) as caught:
        decode_image(clean_name(name), content)
    assert part in str(caught.value)
    check_secrets(str(caught.value))


@pytest.mark.parametrize("build", ["build_image_input", "build_files_input"])
@pytest.mark.parametrize("address", ["http://1.1.1.1/a.png", " HTTPS://example.org/a.png"])
def test_a_public_address_is_refused_in_words_before_anything_is_fetched(
    monkeypatch, build, address
):
    import gradio as gr
    import uploads
    from gradio import processing_utils

    async def fetch(*arguments, **options):
        raise AssertionError(arguments)

    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", fetch)
    component = getattr(uploads, build)(render=False)
    with pytest.raises(gr.Error) as caught:
        asyncio.run(component.async_move_resource_to_block_cache(address))
    assert caught.value.message == uploads.NO_ADDRESS


def test_an_image_that_was_deleted_meanwhile_is_asked_for_again(tmp_path):
    from gradio.data_classes import ImageData
    from uploads import build_image_input

    payload = ImageData(path=str(tmp_path / "gone.png"), orig_name="mole.png")
    assert str(build_image_input(render=False).preprocess(payload)) == (
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
    from uploads import clean_name

    assert clean_name(name) == clean
