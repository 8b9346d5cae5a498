"""The web demo measured: how soon it serves, under load, against a bare pass, and its memory."""

import io
import itertools
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import requests
from PIL import Image

from hf_lesion.benchmark.clients import (
    CLASSIFY,
    EXPLAIN,
    Question,
    ask,
    ask_all,
    build_questions,
    overfill,
)
from hf_lesion.errors import InputError

START_SECONDS = 120
POLL = 0.05
MEGABYTE = 2**20
# Far more than may wait or be computed at once.
CROWD = 150
# Requests before memory is looked at: pools and caches fill first.
WARM_UP = 200


def time_bare(folders: Sequence[Path], questions: Sequence[Question]) -> dict[str, float]:
    """Return the median seconds of a bare forward pass and of one with a heatmap, unserved.

    Args:
        folders: The models', by whose names the questions ask.
        questions: Each is answered once to warm up and once timed.
    """
    from hf_lesion.classifier import LesionClassifier

    models = {folder.name: LesionClassifier.from_pretrained(folder) for folder in folders}
    seconds: dict[str, list[float]] = {CLASSIFY: [], EXPLAIN: []}
    for is_timed, question in itertools.product((False, True), questions):
        classifier = models[question.model]
        image = Image.open(io.BytesIO(question.image)).convert("RGB")
        pixel_values = classifier.preprocess([image])
        start = time.perf_counter()
        if question.endpoint == CLASSIFY:
            classifier.model(pixel_values=pixel_values)
        else:
            classifier.explain([image], [question.target])
        if is_timed:
            seconds[question.endpoint].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items() if values}


@contextmanager
def serving(
    app: Path, models: Sequence[Path], *, port: int, options: Sequence[str] = ()
) -> Iterator[tuple[str, int, float]]:
    """Start the page in a process of its own and end it with SIGTERM.

    Yields:
        Its address, its process id, and the seconds from the command to the served page.

    Raises:
        InputError: If it does not come up.
    """
    command = [sys.executable, app, "--port", port, "--models", *models, *options]
    url = f"http://127.0.0.1:{port}"
    start = time.perf_counter()
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL) as process:
        try:
            while not _is_up(url):
                if process.poll() is not None or time.perf_counter() - start > START_SECONDS:
                    raise InputError(f"{app} does not come up: start it by hand to see why.")
                time.sleep(POLL)
            yield url, process.pid, time.perf_counter() - start
        finally:
            process.terminate()


def resident_megabytes(process: int) -> float:
    """Return the memory that a process holds, in MiB (Linux only; NaN elsewhere)."""
    status = Path(f"/proc/{process}/status")
    if not status.is_file():
        return float("nan")
    kilobytes = re.search(r"VmRSS:\s+(\d+) kB", status.read_text(encoding="ascii"))
    return int(kilobytes[1]) * 1024 / MEGABYTE if kilobytes else float("nan")


def measure(
    app: Path, models: Sequence[Path], *, port: int, clients: int, count: int, lasting: int
) -> dict[str, Any]:
    """Measure one page, started for this.

    Args:
        app: `space/app.py`.
        models: Their folders.
        port: To serve on.
        clients: How many ask at the same time.
        count: How many requests they make in all.
        lasting: How many more requests to make while memory is watched.

    Returns:
        `start` (seconds to the served page and from there to the first answer), `bare` and `quiet`
        (seconds by endpoint), `load`, `memory` (MiB before and after), `full` (what a crowd is
        told).
    """
    questions = build_questions([folder.name for folder in models])
    bare = time_bare(models, questions)
    with serving(app, models, port=port) as (url, process, served):
        start = time.perf_counter()
        ask(url, questions[0])
        first = time.perf_counter() - start
        expected = [ask(url, question) for question in questions]
        load = ask_all(url, questions, expected, clients=clients, count=count)
        ask_all(url, questions, expected, clients=clients, count=min(WARM_UP, lasting))
        before = resident_megabytes(process)
        long = ask_all(url, questions, expected, clients=clients, count=lasting)
        after = resident_megabytes(process)
        told = overfill(url, questions[0], clients=CROWD)
        ask(url, questions[0])
    return {
        "start": {"served": served, "first_answer": first},
        "bare": bare,
        "quiet": {
            endpoint: float(
                np.median(
                    [
                        reply.seconds
                        for question, reply in zip(questions, expected, strict=True)
                        if question.endpoint == endpoint
                    ]
                )
            )
            for endpoint in (CLASSIFY, EXPLAIN)
        },
        "load": load.summarise(),
        "memory": {"before": before, "after": after, "requests": lasting, **long.summarise()},
        "full": {
            "asked": CROWD,
            "answered": told.count(""),
            "told": sorted({text for text in told if text})[:3],
        },
    }


def format_measures(found: dict[str, Any], clients: int) -> str:
    """Return what `measure` found as text for a terminal."""
    start, bare, quiet = found["start"], found["bare"], found["quiet"]
    load, memory, full = found["load"], found["memory"], found["full"]
    lines = [
        f"served after {start['served']:.1f} s, first answer {start['first_answer']:.1f} s later",
        *(
            f"{name}: bare {1000 * bare[name]:.0f} ms, over HTTP {1000 * quiet[name]:.0f} ms"
            for name in (CLASSIFY, EXPLAIN)
        ),
        f"{clients} clients: {load['answered']} answered, {load['failed']} failed, "
        f"{load['wrong']} other than alone; p50 {load['p50']:.2f} s, p95 {load['p95']:.2f} s, "
        f"{load['per_second']:.1f} a second",
        f"memory over {memory['requests']} requests: {memory['before']:.0f} to "
        f"{memory['after']:.0f} MiB; {memory['failed']} failed, {memory['wrong']} other than alone",
        f"a crowd of {full['asked']}: {full['answered']} answered, the others told "
        f"{full['told'] or 'nothing'}",
    ]
    return "\n".join(lines)


def _is_up(url: str) -> bool:
    try:
        return requests.get(url, timeout=POLL * 20).status_code == requests.codes.ok
    except requests.RequestException:
        return False
