"""A Dataverse on loopback that can cut, stall and send wrong bytes."""

import hashlib
import json
import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest


class Dataverse(ThreadingHTTPServer):
    """Answers for `files` by path; `faults` of a path are taken in turn before it answers well."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.faults = defaultdict(list)
        self.asked = []  # (path with query, Range or None) of each request
        self.released = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def offer(self, file_id, data, **description):
        """Offer a file with its description, as Dataverse does; keywords change the description."""
        file = {"id": file_id, "filesize": len(data), "md5": hashlib.md5(data).hexdigest()}
        answer = {"status": "OK", "data": {"dataFile": {**file, **description}}}
        self.files[f"/api/files/{file_id}"] = json.dumps(answer).encode()
        self.files[f"/api/access/datafile/{file_id}"] = data

    def spoil(self, path, *faults):
        self.faults[path] += faults

    def ranges(self, path):
        return [wanted for asked, wanted in self.asked if urlsplit(asked).path == path]

    def handle_error(self, request, client_address):
        """Clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        path, wanted = urlsplit(self.path).path, self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        faults = self.server.faults[path]
        fault = faults.pop(0) if faults else answer
        if path not in self.server.files:
            self.send_error(404)
        else:
            fault(self, self.server.files[path], start)


def head(handler, status, length, start=0, total=0, **headers):
    handler.send_response(status)
    handler.send_header("Content-Length", str(length))
    if status == 206:
        handler.send_header("Content-Range", f"bytes {start}-{start + length - 1}/{total}")
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def answer(handler, data, start, sent=None):
    """Answer well; `sent` bounds the bytes sent."""
    if start and start >= len(data):
        head(handler, 416, 0)
        return
    body = data[start:]
    head(handler, 206 if start else 200, len(body), start, len(data))
    handler.wfile.write(body[:sent])


def cut(sent):
    return lambda handler, data, start: answer(handler, data, start, sent=sent)


def stall(sent):
    def fault(handler, data, start):
        answer(handler, data, start, sent=sent)
        handler.wfile.flush()
        handler.server.released.wait(10)

    return fault


def busy(status, **headers):
    return lambda handler, data, start: head(handler, status, 0, **headers)


def send(other):
    """Send other bytes than asked for, as if they were right."""
    return lambda handler, data, start: answer(handler, other, start)


def send_whole(sent=None):
    """Pass over the Range."""
    return lambda handler, data, start: answer(handler, data, 0, sent=sent)


def redirect(path):
    return lambda handler, data, start: head(handler, 303, 0, Location=path)


@pytest.fixture
def faults():
    """The ways in which the server can answer."""
    names = (cut, stall, busy, send, send_whole, redirect)
    return type("Faults", (), {fault.__name__: staticmethod(fault) for fault in names})


@pytest.fixture
def dataverse(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Dataverse() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()
