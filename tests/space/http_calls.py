"""The page over plain HTTP, as curl would call it."""

import json
import re

import httpx

SECONDS = 120


def upload(page_url, name, content):
    """Upload a file; return the path that the page gives it, or the status if it is refused."""
    files = {"files": (name, content)}
    reply = httpx.post(f"{page_url}/gradio_api/upload", files=files, timeout=SECONDS)
    return reply.json()[0] if reply.status_code == 200 else reply.status_code


def call(page_url, name, data):
    """Call an endpoint; return the last event and its data."""
    address = f"{page_url}/gradio_api/call/{name}"
    reply = httpx.post(address, json={"data": data}, timeout=SECONDS)
    if reply.status_code >= 400:
        return "error", {"error": reply.text}
    stream = httpx.get(f"{address}/{reply.json()['event_id']}", timeout=SECONDS).text
    event, data = re.findall(r"event: (\w+)\ndata: (.*)", stream)[-1]
    return event, json.loads(data)


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
