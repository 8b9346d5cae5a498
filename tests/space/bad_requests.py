"""Invalid requests that a running page must reject, to the API and to the page's events.

`BAD_REQUESTS` gives for each what sends it, and a part of the words that have to come back (None
where any plain words will do). What sends it takes the page's address and the numbers of its
events, and returns whether it was refused and the text of the answer.
"""

import html
import json
import re
from functools import partial

from space.http_calls import HTTP, as_file, call, press, upload

from space import zoo

MODEL = "tiny_cnn"
SHOWN = ["gradcam", "inferno"]
ADDRESSES = [
    "http://127.0.0.1:9/a.png",
    "http://169.254.169.254/latest/meta-data",
    "https://example.org/a.png",
    "ftp://127.0.0.1/a.png",
    "file:///etc/passwd",
    "/etc/passwd",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "\\\\host\\share\\a.png",
    "",
    "\0",
]
WRONG_DATA = [
    [],
    [None],
    ["text", MODEL],
    [42, MODEL],
    [[[[0, 0, 0]]], MODEL],
    [{"path": 5}, MODEL],
    [None, None, None, None, None],
    [None, {"x": 1}],
]
WRONG_BODIES = [
    b"",
    b"{}",
    b"\xff\xfe",
    b'{"data": "text"}',
    b'{"data": [[[NaN, Infinity]], "tiny_cnn"]}',
    b"[" * 100_000,
]
BROKEN_URLS = {
    "not base64": ("@@@@", "The image is not valid base64. Send the image as a file."),
    "no image": ("QUJD", "The image isn't an image, or is damaged."),
    "nothing": ("", "The image is empty. Choose another file."),
    "too large": ("QUJD" * 4 * 2**20, "The image is larger than 10 MB. Make it smaller."),
}
UNKNOWN_CALLS = {
    "call/nothing": {"data": []},
    "run/nothing": {"data": []},
    "queue/join": {"data": [], "fn_index": 999, "session_hash": "a"},
    "call/v2/nothing": {"image": 1},
    "call/v2/classify": {"image": 1, "colour": 2},
}
WRONG_MODELS = ["../secret", None, 7, [MODEL], "a" * 9999]
WRONG_CHOICES = [["cold", "gradcam"], ["mel", "tea"], [None, None], [["mel"], 1]]


def as_text(data):
    """Return what a visitor reads of an answer."""
    return data["error"] if isinstance(data, dict) and set(data) > {"error"} else json.dumps(data)


def by_api(url, _numbers, *, image, name="classify", rest=(MODEL,)):
    event, data = call(url, name, [image(url), *rest])
    return event == "error", as_text(data)


def by_page(url, numbers, *, image, rest=(MODEL, *SHOWN)):
    succeeded, data = press(url, numbers, "show", [image(url), *rest])
    if not succeeded:
        return True, as_text(data)
    return 'role="alert"' in data[0], re.sub("<[^>]+>", " ", data[0])


def in_batch(url, numbers, *, image):
    succeeded, data = press(url, numbers, "run", [[image(url)], MODEL])
    if not succeeded:
        return True, as_text(data)
    return "0 of 1 images" in data[0], re.sub("<[^>]+>", " ", data[0])


def by_body(url, _numbers, *, body):
    address = f"{url}/gradio_api/call/classify"
    reply = HTTP.post(address, content=body, headers={"content-type": "application/json"})
    if reply.status_code != 200:
        return 400 <= reply.status_code < 500, reply.text
    stream = HTTP.get(f"{address}/{reply.json()['event_id']}").text
    return "event: error" in stream, stream


def by_unknown_call(url, _numbers, *, path, body):
    reply = HTTP.post(f"{url}/gradio_api/{path}", json=body)
    is_refused = reply.status_code in {404, 422} and set(reply.json()) == {"detail"}
    return is_refused, reply.text


def uploaded(url, *, name, content):
    return as_file(upload(url, name, content), name)


def given(_url, *, image):
    return image


def list_images():
    """Yield a name for each request with a bad image, what sends it, and a part of the answer."""
    for name, (content, part) in zoo.BAD.items():
        image = partial(uploaded, name=name, content=content)
        yield f"api: {name}", partial(by_api, image=image), part
        if name != "images.zip":  # in a batch that is none
            yield f"batch: {name}", partial(in_batch, image=image), part
    # Files and addresses that were never uploaded, in every field that may name one.
    for address in ADDRESSES:
        for field in ("path", "url"):
            image = partial(given, image={**as_file(None), field: address})
            yield f"api: {address!r} as {field}", partial(by_api, image=image), None
        image = partial(given, image=as_file(address))
        yield f"page: {address!r}", partial(by_page, image=image), None
        yield f"batch: {address!r}", partial(in_batch, image=image), None
    for name, (content, part) in BROKEN_URLS.items():
        image = partial(given, image={**as_file(None), "url": f"data:image/png;base64,{content}"})
        yield f"api: data url, {name}", partial(by_api, image=image), part


def list_nonsense():
    """Yield malformed requests, and requests for an unknown model, class or method."""
    for body in (*(json.dumps({"data": data}).encode() for data in WRONG_DATA), *WRONG_BODIES):
        yield f"body: {body[:40]}", partial(by_body, body=body), None
    for path, body in UNKNOWN_CALLS.items():
        send = partial(by_unknown_call, path=path, body=body)
        yield f"call: {path}", send, "This request is invalid."
    plain = partial(uploaded, name="x.png", content=zoo.PNG)
    for model in WRONG_MODELS:
        yield f"api: model {str(model)[:40]}", partial(by_api, image=plain, rest=[model]), None
        rest = [model, *SHOWN]
        yield f"page: model {str(model)[:40]}", partial(by_page, image=plain, rest=rest), None
    for choice in WRONG_CHOICES:
        send = partial(by_api, name="explain", image=plain, rest=[MODEL, *choice])
        yield f"api: explain {choice}", send, None
        send = partial(by_page, image=plain, rest=[MODEL, choice[1], choice[0]])
        yield f"page: heatmap {choice}", send, None


BAD_REQUESTS = {name: (send, part) for name, send, part in (*list_images(), *list_nonsense())}


def said(text):
    """Return an answer's text without HTML's and JSON's escapes."""
    return html.unescape(text)
