"""Many clients of the web demo over real HTTP, each answer compared with that of a quiet page."""

import hashlib
import io
import json
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests
from PIL import Image

from hf_lesion.labels import CODES
from hf_lesion.synthetic.lesions import draw_lesion

CLASSIFY, EXPLAIN = "classify", "explain"
SECONDS = 300  # that one request may take: it waits for those before it
EVENT = re.compile(r"event: (\w+)\ndata: (.*)")
IMAGE_SIZE = (600, 450)  # HAM10000's
CLOSE = 1e-6  # of two probabilities


class RefusedError(Exception):
    """The page did not answer; what it said instead."""


@dataclass(frozen=True)
class Question:
    """One request: what is asked of which model about which image."""

    endpoint: str
    model: str
    image: bytes
    target: str = "predicted"


@dataclass(frozen=True)
class Reply:
    """An answer without what differs from time to time.

    Attributes:
        probabilities: (C,) as they were sent.
        picture: SHA-256 of the heatmap's pixels; empty for /classify.
        seconds: From the upload to the last byte.
    """

    probabilities: tuple[float, ...]
    picture: str
    seconds: float

    def equals(self, other: "Reply") -> bool:
        """Whether both say the same."""
        near = np.allclose(self.probabilities, other.probabilities, rtol=0, atol=CLOSE)
        return bool(near) and self.picture == other.picture


@dataclass(frozen=True)
class Load:
    """What came of many requests at once.

    Attributes:
        seconds: Of each that was answered.
        failed: What the others were told.
        wrong: How many answers were not those of a quiet page.
        wall: Seconds from the first request to the last answer.
    """

    seconds: tuple[float, ...]
    failed: tuple[str, ...]
    wrong: int
    wall: float

    def summarise(self) -> dict[str, Any]:
        """Return counts, p50 and p95 in seconds, and requests per second."""
        p50, p95 = np.percentile(self.seconds, [50, 95]) if self.seconds else (np.nan, np.nan)
        return {
            "answered": len(self.seconds),
            "failed": len(self.failed),
            "wrong": self.wrong,
            "p50": float(p50),
            "p95": float(p95),
            "per_second": len(self.seconds) / self.wall,
            "told": sorted(set(self.failed))[:5],
        }


def build_questions(models: Sequence[str], *, images: int = 7) -> list[Question]:
    """Return every model asked about every image, with and without a heatmap.

    Args:
        models: Their names on the page.
        images: How many lesions to draw.
    """
    pictures = []
    for seed in range(images):
        stream = io.BytesIO()
        lesion, _ = draw_lesion(CODES[seed % len(CODES)], seed=seed, size=IMAGE_SIZE)
        lesion.save(stream, "JPEG", quality=95)
        pictures.append(stream.getvalue())
    return [
        Question(endpoint, model, picture, target)
        for picture in pictures
        for model in models
        for endpoint, target in ((CLASSIFY, "predicted"), (EXPLAIN, "mel"))
    ]


def ask(url: str, question: Question, session: requests.Session | None = None) -> Reply:
    """Upload the image, call the endpoint, wait for the answer and fetch its heatmap.

    Raises:
        RefusedError: If the page did not answer, with what it said.
    """
    web = session or requests
    start = time.perf_counter()
    files = {"files": ("lesion.jpg", question.image)}
    path = _json(web.post(f"{url}/gradio_api/upload", files=files, timeout=SECONDS))[0]
    image = {"path": path, "orig_name": "lesion.jpg", "meta": {"_type": "gradio.FileData"}}
    explains = question.endpoint == EXPLAIN
    data = [image, question.model, *([question.target, "gradcam"] if explains else [])]
    call = f"{url}/gradio_api/call/{question.endpoint}"
    event = _json(web.post(call, json={"data": data}, timeout=SECONDS))["event_id"]
    stream = web.get(f"{call}/{event}", timeout=SECONDS).text
    found = EVENT.findall(stream)
    if not found or found[-1][0] != "complete":
        raise RefusedError(stream.strip()[-200:] or "nothing")
    answer = json.loads(found[-1][1])
    picture = ""
    if explains and answer[0] is not None:
        content = web.get(f"{url}/gradio_api/file={answer[0]['path']}", timeout=SECONDS).content
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        picture = hashlib.sha256(pixels.tobytes()).hexdigest()
    probabilities = tuple(answer[-1]["probabilities"][code] for code in CODES)
    return Reply(probabilities, picture, time.perf_counter() - start)


def ask_all(
    url: str,
    questions: Sequence[Question],
    expected: Sequence[Reply],
    *,
    clients: int,
    count: int,
) -> Load:
    """Ask from many clients at once, and compare each answer with the expected one.

    Args:
        url: Of the page.
        questions: Asked in turn.
        expected: What a quiet page answered to each.
        clients: How many ask at the same time.
        count: How many requests in all.
    """
    seconds, failed, wrong = [], [], []
    local = threading.local()

    def one(number: int) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        place = number % len(questions)
        try:
            reply = ask(url, questions[place], local.session)
        except (RefusedError, requests.RequestException) as error:
            failed.append(str(error) or type(error).__name__)
            return
        seconds.append(reply.seconds)
        if not reply.equals(expected[place]):
            wrong.append(place)

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, range(count)))
    return Load(tuple(seconds), tuple(failed), len(wrong), time.perf_counter() - start)


def overfill(url: str, question: Question, *, clients: int) -> list[str]:
    """Ask from more clients than may wait; return what each was told, "" for an answer."""

    def one(_: int) -> str:
        try:
            ask(url, question)
        except (RefusedError, requests.RequestException) as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(one, range(clients)))


def _json(reply: requests.Response) -> Any:
    if reply.status_code != requests.codes.ok:
        raise RefusedError(f"HTTP {reply.status_code}: {reply.text[:200]}")
    return reply.json()
