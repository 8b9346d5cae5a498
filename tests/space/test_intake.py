"""A zoo of inputs, through functions and over HTTP: answered rightly or refused in words.

After every one of them the next request is answered: all of them go to one running page.
"""

import base64
import html
import io

import httpx
import numpy as np
import pytest
from PIL import Image
from space.http_calls import SECONDS, call, classify, classify_bytes, upload

from hf_lesion.errors import InputError
from hf_lesion.labels import CODES
from hf_lesion.pixels import load_image
from space import zoo

MEGABYTE = 2**20

# What no answer may hold: where things lie on this machine, or how it failed inside.
SECRETS = ("Traceback", "/tmp/", "/gradio", "site-packages", "root:", "hf_lesion_page_")
ADDRESSES = [
    "http://127.0.0.1:9/a.png",
    "http://localhost/a.png",
    "http://[::1]/a.png",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/a.png",
    "https://example.invalid/a.png",
    "ftp://127.0.0.1/a.png",
    "file:///etc/passwd",
    "/etc/passwd",
    "/proc/self/environ",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "C:\\Windows\\win.ini",
    "\\\\host\\share\\a.png",
    "",
    "\0",
]
WRONG_DATA = [
    None,
    [],
    [None],
    "text",
    ["text", "tiny_cnn"],
    [42, "tiny_cnn"],
    [[[float("nan")]], "tiny_cnn"],
    [[[[0, 0, 0]]], "tiny_cnn"],
    [{"path": 5}, "tiny_cnn"],
    [{"a": {"b": [1] * 1000}}, "tiny_cnn"],
    [None, None, None, None, None],
    [None, {"x": 1}],
    [True, "tiny_cnn"],
]


def reference_of(name):
    """Return the image that has to be classified, read without any code of ours."""
    content, image = zoo.GOOD[name]
    if image is not None:
        return image
    first = Image.open(io.BytesIO(content))
    if "alpha" in name:
        rgba = first.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return first.convert("RGB")


def check_secrets(text):
    assert not [secret for secret in SECRETS if secret in text], text


@pytest.mark.parametrize("name", zoo.GOOD)
def test_a_good_image_is_read_to_the_pixel(name):
    from intake import read_bytes

    found, expected = read_bytes(name, zoo.GOOD[name][0]), reference_of(name)
    assert found.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("name", zoo.BAD)
def test_a_bad_one_is_refused_in_words(name):
    from intake import clean_name, read_bytes

    content, part = zoo.BAD[name]
    with pytest.raises(InputError) as caught:
        read_bytes(clean_name(name), content)
    assert part in str(caught.value)
    check_secrets(str(caught.value))


@pytest.mark.parametrize("name", zoo.GOOD)
def test_a_good_image_is_classified_over_http(page_url, classifiers, name):
    event, data = classify_bytes(page_url, name, zoo.GOOD[name][0])
    assert event == "complete", data
    expected = classifiers["tiny_cnn"].predict([reference_of(name)])[0]
    np.testing.assert_allclose(list(data[0]["probabilities"].values()), expected, atol=1e-5)


@pytest.mark.parametrize("name", zoo.BAD)
def test_a_bad_one_is_refused_over_http(page_url, name):
    content, part = zoo.BAD[name]
    event, data = classify_bytes(page_url, name, content)
    assert event == "error"
    check_secrets(str(data))
    assert part in html.unescape(data["error"])
    assert "<script" not in data["error"]
    assert "<img" not in data["error"]


@pytest.mark.parametrize("megabytes", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_a_file_that_is_far_too_large_is_not_taken(page_url, megabytes):
    assert upload(page_url, "big.png", bytes(megabytes * MEGABYTE)) == 413
    assert classify_bytes(page_url, "next.png", zoo.PNG)[0] == "complete"


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("fields", [["path"], ["url"], ["path", "url"]])
def test_no_address_and_no_file_of_the_machine_is_read(page_url, address, fields):
    event, data = classify(page_url, dict.fromkeys(fields, address))
    assert event == "error"
    check_secrets(str(data))


@pytest.mark.parametrize("address", ["http://1.1.1.1/a.png", "https://example.org/a.png"])
def test_a_public_address_is_refused_in_words_before_anything_is_fetched(
    page_url, monkeypatch, address
):
    from gradio import processing_utils
    from intake import NO_ADDRESS

    asked = []

    async def fetch(*arguments, **options):
        asked.append(arguments)
        raise AssertionError(arguments)

    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", fetch)
    event, data = classify(page_url, {"path": address})
    assert event == "error"
    assert NO_ADDRESS in str(data)
    assert asked == []


@pytest.mark.parametrize("address", ["/etc/passwd", "../../etc/passwd", "http://127.0.0.1:9/a"])
def test_no_such_file_goes_into_a_batch(page_url, address):
    config = httpx.get(f"{page_url}/config", timeout=SECONDS).json()
    number = next(
        one["id"] for one in config["dependencies"] if one["api_name"] == "run" or "run" in str(one)
    )
    body = {
        "data": [[{"path": address, "meta": {"_type": "gradio.FileData"}}], "tiny_cnn"],
        "fn_index": number,
        "session_hash": "abc",
    }
    reply = httpx.post(f"{page_url}/gradio_api/queue/join", json=body, timeout=SECONDS)
    assert "root:" not in reply.text
    if reply.status_code == 200:
        stream = f"{page_url}/gradio_api/queue/data?session_hash=abc"
        text = httpx.get(stream, timeout=SECONDS).text
        assert '"success":false' in text.replace(" ", "")
        check_secrets(text)


@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd",
        "file=../../etc/passwd",
        "file=space/app.py",
        "file=http://127.0.0.1:9/a",
        "file=file:///etc/passwd",
        "file=",
        "static/../../../etc/passwd",
        "upload_progress?upload_id=x/../y",
    ],
)
def test_no_file_leaves_the_machine(page_url, path):
    for prefix in ("gradio_api/", ""):
        reply = httpx.get(f"{page_url}/{prefix}{path}", timeout=SECONDS, follow_redirects=False)
        assert reply.status_code >= 400 or "upload_progress" in path
        assert "root:" not in reply.text
        assert "argparse" not in reply.text


@pytest.mark.parametrize("data", WRONG_DATA, ids=lambda data: str(data)[:30])
def test_wrong_json_is_refused(page_url, data):
    import json

    address = f"{page_url}/gradio_api/call/classify"
    body = json.dumps({} if data is None else {"data": data})
    reply = httpx.post(
        address, content=body, headers={"content-type": "application/json"}, timeout=SECONDS
    )
    text = reply.text
    if reply.status_code == 200:
        stream = httpx.get(f"{address}/{reply.json()['event_id']}", timeout=SECONDS).text
        assert "event: error" in stream
        text += stream
    check_secrets(text)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b'{"data": NaN}', b"[" * 100_000])
def test_what_is_no_json_is_refused(page_url, body):
    reply = httpx.post(
        f"{page_url}/gradio_api/call/classify",
        content=body,
        headers={"content-type": "application/json"},
        timeout=SECONDS,
    )
    assert reply.status_code >= 400
    check_secrets(reply.text)


@pytest.mark.parametrize("model", ["../secret", "", "TINY_CNN", None, 7, ["tiny_cnn"], "a" * 9999])
def test_a_model_that_is_not_there_is_refused(page_url, model):
    path = upload(page_url, "x.png", zoo.PNG)
    event, data = classify(page_url, {"path": path}, model)
    assert event == "error"
    check_secrets(str(data))


@pytest.mark.parametrize("extra", [["cold", "gradcam"], ["mel", "tea"], [None, None], [["mel"], 1]])
def test_a_class_or_method_that_is_not_there_is_refused(page_url, extra):
    path = upload(page_url, "x.png", zoo.PNG)
    image = {"path": path, "meta": {"_type": "gradio.FileData"}}
    event, data = call(page_url, "explain", [image, "tiny_cnn", *extra])
    assert event == "error"
    check_secrets(str(data))


def test_a_data_url_is_read_like_a_file(page_url, classifiers):
    url = f"data:image/png;base64,{base64.b64encode(zoo.PNG).decode()}"
    event, data = classify(page_url, {"path": None, "url": url})
    assert event == "complete"
    expected = classifiers["tiny_cnn"].predict([zoo.PLAIN])[0]
    np.testing.assert_allclose(list(data[0]["probabilities"].values()), expected, atol=1e-5)
    assert tuple(data[0]["probabilities"]) == CODES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("@@@@", "The image is not valid base64. Send the image as a file."),
        (
            "QUJD",
            "The image can't be read as an image: the file is damaged or not an image. "
            "Pass a JPEG or PNG.",
        ),
        ("", "The image is empty. Upload it again."),
        ("QUJD" * 4 * MEGABYTE, "The image is larger than 10 MB. Make it smaller."),
    ],
    ids=["not base64", "no image", "empty", "too large"],
)
def test_a_broken_data_url_is_refused(page_url, content, message):
    url = f"data:image/png;base64,{content}"
    event, data = classify(page_url, {"path": None, "url": url})
    assert (event, data["error"]) == ("error", message)


def test_an_image_that_was_deleted_meanwhile_is_asked_for_again(tmp_path):
    from gradio.data_classes import ImageData
    from intake import build_image_input

    payload = ImageData(path=str(tmp_path / "gone.png"), orig_name="mole.png")
    assert str(build_image_input(render=False).preprocess(payload)) == (
        "mole.png is no longer here: images are deleted after an hour. Upload it again."
    )


def test_after_all_of_them_the_next_request_is_answered(page_url):
    assert classify_bytes(page_url, "next.png", zoo.PNG)[0] == "complete"


def test_there_are_at_least_sixty_bad_inputs():
    others = 3 * len(ADDRESSES) + len(WRONG_DATA)
    assert len(zoo.BAD) + others >= 60
    assert load_image(zoo.PLAIN).size == zoo.PLAIN.size


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
    from intake import clean_name

    assert clean_name(name) == clean
