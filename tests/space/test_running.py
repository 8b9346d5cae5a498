"""A page started by its command, with unusable models, under concurrent valid and invalid requests.

Over HTTP, through the queue: each request gets the correct result or an explanation; no log names
an image, no other file is served, and nothing is left behind.
"""

import base64
import hashlib
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from space.bad_requests import BAD_REQUESTS, MODEL, SHOWN, said
from space.http_calls import (
    HTTP,
    as_file,
    classify,
    classify_bytes,
    event_numbers,
    press,
    upload,
)
from space.running import SPACE, spoil, start_app, wait_until
from space.test_callbacks import pictures

from hf_lesion.classifier import LesionClassifier
from hf_lesion.labels import CODES
from space import zoo

CLIENTS = 8
LOADED = 60  # seconds
# Must not appear in any response: local paths and internals of errors.
SECRETS = ("Traceback", "/tmp/", "site-packages", "root:x", "PATH=", "hf_lesion_page_", "/home/")
NOT_SERVED = [
    "file=/etc/passwd",
    "file=../../etc/passwd",
    "file=space/app.py",
    "file=http://127.0.0.1:9/a",
    "static/..%2f..%2f..%2f..%2fetc/passwd",
]


@pytest.fixture(scope="module")
def spoilt(tiny_cnn_model, tmp_path_factory):
    """A folder with one whole model among spoilt ones, and what is said of each of these."""
    folder = tmp_path_factory.mktemp("among") / "models"
    shutil.copytree(tiny_cnn_model, folder / MODEL)
    return folder, spoil(tiny_cnn_model, folder)


@pytest.fixture(scope="module")
def app(spoilt, tmp_path_factory):
    folder = tmp_path_factory.mktemp("running")
    options = ["--share", "--models", spoilt[0], folder / "missing"]
    with start_app(folder, *options) as app:
        wait_until(lambda: "altered was skipped" in app.err.read_text(), LOADED)
        yield app


@pytest.fixture(scope="module")
def numbers(app):
    return event_numbers(app.url)


@pytest.fixture(scope="module")
def refused(app, numbers):
    """What came back for each of the bad requests, several of them at a time."""

    def send(request):
        return request[0](app.url, numbers)

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = dict(zip(BAD_REQUESTS, pool.map(send, BAD_REQUESTS.values()), strict=True))
    assert classify_bytes(app.url, "next.png", zoo.PNG)[0] == "complete"
    return answers


@pytest.fixture(scope="module")
def shown(app, numbers):
    """What the page shows of each good image, and what the API says of it."""

    def ask(name):
        image = as_file(upload(app.url, name, zoo.GOOD[name][0]), name)
        return press(app.url, numbers, "show", [image, MODEL, *SHOWN]), classify(app.url, image)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return dict(zip(zoo.GOOD, pool.map(ask, zoo.GOOD), strict=True))


@pytest.fixture(scope="module")
def classifier(tiny_cnn_model):
    return LesionClassifier.from_pretrained(tiny_cnn_model)


def check_secrets(text):
    assert not [secret for secret in SECRETS if secret in text], text


def test_it_serves_here_when_no_share_link_can_be_had_and_says_so_in_one_line(app):
    assert app.out.read_text().splitlines() == [
        f"Models: altered, {MODEL}",
        "The share link is public: anyone who has it can use this page.",
        "No share link could be created (no network?); serving on this machine only.",
        f"Serving on {app.url}/ (stop with Ctrl-C)",
    ]


def test_models_that_are_no_use_are_left_out_on_the_command_line_and_on_the_page(
    app, numbers, spoilt
):
    folder, reasons = spoilt
    lines = {line.partition(" was skipped: ")[0]: line for line in app.err.read_text().splitlines()}
    page = said(str(press(app.url, numbers, "describe", [])[1]))
    for name, reason in reasons.items():
        assert reason in lines[str(folder / name)]
        assert f"{name} was skipped: " in page
        assert reason in page
    assert "missing was skipped: no such folder." in page
    check_secrets(page)
    (selector,) = press(app.url, numbers, "update_models", ["altered"])[1]
    assert [choice[1] for choice in selector["choices"]] == [MODEL]


@pytest.mark.parametrize("name", zoo.GOOD)
def test_a_good_image_is_shown_and_classified(app, shown, classifier, name):
    (succeeded, page), (event, api) = shown[name]
    assert succeeded, page
    assert event == "complete", api
    reference = zoo.GOOD[name][1].copy()
    if all(high - low <= 8 for low, high in reference.getextrema()):
        assert "The image is blank" in page[0]
        assert (api[0]["label"], api[0]["gate"]) == (None, "strange")
        return
    expected = classifier.predict([reference])[0]
    np.testing.assert_allclose(list(api[0]["probabilities"].values()), expected, atol=1e-5)
    bars = dict(re.findall(r'data-dx="(\w+)" data-probability="([\d.]+)"', page[3]))
    np.testing.assert_allclose([float(bars[code]) for code in CODES], expected, atol=1e-5)
    shown_size = pictures(page[4])["image"].size
    assert max(shown_size) == 768
    assert shown_size[0] / shown_size[1] == pytest.approx(reference.width / reference.height, 0.01)


def test_a_data_url_is_read_like_a_file(app, classifier):
    url = f"data:image/png;base64,{base64.b64encode(zoo.PNG).decode()}"
    event, data = classify(app.url, {"path": None, "url": url})
    assert event == "complete"
    expected = classifier.predict([zoo.PLAIN])[0]
    np.testing.assert_allclose(list(data[0]["probabilities"].values()), expected, atol=1e-5)
    assert tuple(data[0]["probabilities"]) == CODES


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_refused_in_words(refused, name):
    is_refused, text = refused[name]
    assert is_refused, text
    check_secrets(text)
    assert len(re.findall(r"[a-z]{2,}", text)) > 3, text
    assert "<script" not in text
    assert "<img" not in text
    part = BAD_REQUESTS[name][1]
    if part is not None:
        assert part in said(text)


def test_a_file_that_is_far_too_large_is_not_taken(app):
    assert upload(app.url, "big.png", bytes(60 * 2**20)) == 413
    assert classify_bytes(app.url, "next.png", zoo.PNG)[0] == "complete"


@pytest.mark.parametrize("prefix", ["gradio_api/", ""])
@pytest.mark.parametrize("path", NOT_SERVED)
def test_no_file_leaves_the_machine(app, path, prefix):
    reply = HTTP.get(f"{app.url}/{prefix}{path}")
    assert reply.status_code >= 400
    check_secrets(reply.text)
    assert "argparse" not in reply.text


def test_the_log_names_no_image_and_holds_no_traceback(app, refused, shown):
    written = app.err.read_text().splitlines()
    later = [line for line in written if " was skipped: " not in line]
    assert later
    assert {re.sub(r": \w+$", "", line) for line in later} == {"Invalid request"}
    assert not [name for name in (*zoo.GOOD, *zoo.BAD) if name in "\n".join(later)]
    digests = [hashlib.sha256(content).hexdigest()[:8] for content, _ in zoo.GOOD.values()]
    assert not [digest for digest in digests if digest in app.said()]
    assert len(app.out.read_text().splitlines()) == 4


def test_no_file_is_written_beside_the_source(app, refused):
    assert {file.suffix for file in SPACE.iterdir() if file.is_file()} == {
        ".css",
        ".json",
        ".md",
        ".py",
        ".txt",
    }


# The last one: it ends the page.
def test_sigterm_ends_it_and_nothing_is_left_behind(app):
    assert [folder.name[:15] for folder in app.temporary.iterdir()] == ["hf_lesion_page_"]
    assert app.stop() == 143
    assert list(app.temporary.iterdir()) == []
    assert app.err.read_text().splitlines()[-1] == "stopped"
