"""HTTP requests to the page: API calls as by curl, and events as by the browser."""

import json
import re
import uuid

import httpx

SECONDS = 120
# One for all: each new one reads the machine's certificates first.
HTTP = httpx.Client(timeout=SECONDS, trust_env=False)


def upload(page_url, name, content):
    """Upload a file; return the path that the page gives it, or the status if it is refused."""
    files = {"files": (name, content)}
    reply = HTTP.post(f"{page_url}/gradio_api/upload", files=files)
    return reply.json()[0] if reply.status_code == 200 else reply.status_code


def call(page_url, name, data):
    """Call an endpoint; return the last event and its data."""
    address = f"{page_url}/gradio_api/call/{name}"
    reply = HTTP.post(address, json={"data": data})
    if reply.status_code >= 400:
        return "error", {"error": reply.text}
    stream = HTTP.get(f"{address}/{reply.json()['event_id']}").text
    event, data = re.findall(r"event: (\w+)\ndata: (.*)", stream)[-1]
    return event, json.loads(data)


def press(page_url, numbers, name, data):
    """Let one of the page's own events happen; return whether it succeeded and its output.

    Args:
        page_url: Of the page.
        numbers: As from `event_numbers`.
        name: Of the function behind the event.
        data: Its inputs.
    """
    session = uuid.uuid4().hex
    body = {"data": data, "fn_index": numbers[name], "session_hash": session}
    reply = HTTP.post(f"{page_url}/gradio_api/queue/join", json=body)
    if reply.status_code >= 400:
        return False, {"error": reply.text}
    address = f"{page_url}/gradio_api/queue/data?session_hash={session}"
    stream = HTTP.get(address).text
    messages = [json.loads(line) for line in re.findall(r"^data: (.*)$", stream, re.MULTILINE)]
    last = next(message for message in messages if message["msg"] == "process_completed")
    output = last["output"]
    return last["success"], output.get("data", output)


def event_numbers(page_url):
    """Return the number of the first of the page's events that calls a function of each name."""
    config = HTTP.get(f"{page_url}/config").json()
    found = {}
    for one in config["dependencies"]:
        found.setdefault(one["api_name"], one["id"])
    return found


def as_file(path, name=None):
    """Return an uploaded file as the page's events take it."""
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def classify(page_url, image, model="tiny_cnn"):
    """Call /classify with an image given as its fields."""
    payload = image and {**image, "meta": {"_type": "gradio.FileData"}}
    return call(page_url, "classify", [payload, model])


def classify_bytes(page_url, name, content):
    """Upload a file and classify it."""
    path = upload(page_url, name, content)
    if isinstance(path, int):
        return "refused", path
    return classify(page_url, {"path": path, "orig_name": name})
