"""Load: concurrent visitors get correct results, and a full queue is reported."""

import json
import re
import sys
from pathlib import Path

import pytest
from space.conftest import registry_of, served
from space.running import SPACE, start_app

sys.path.insert(0, str(SPACE.parent / "scripts"))

import benchmark
from benchmark import build_requests, connect, send, send_all

MODELS = sorted(file.parent for file in (SPACE / "models").glob("*/config.json"))
MOST_GROWTH = 50  # MiB


@pytest.fixture(scope="module")
def questions(classifiers, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "IMAGE_SIZE", (80, 60))
        yield build_requests(list(classifiers), tmp_path_factory.mktemp("load"), images=2)


@pytest.fixture(scope="module")
def expected(page_url, questions):
    """What a single client gets."""
    return ask_each(page_url, questions)


def ask_each(url, questions):
    client = connect(url)
    return [send(client, question) for question in questions]


def resident_megabytes(process):
    """Return the memory that a process holds, in MiB (Linux only)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


def test_clients_at_once_get_what_each_would_get_alone(page_url, questions, expected, classifiers):
    assert len({response.probabilities for response in expected}) == 2 * len(classifiers)
    assert sum(response.heatmap != b"" for response in expected) == 2 * len(classifiers)
    seconds, wrong, refused = send_all(page_url, questions, expected, clients=8, count=24)
    assert (len(seconds), wrong, refused) == (24, 0, [])
    # One that differs is noticed.
    _, wrong, _ = send_all(page_url, questions[:2], expected[1::-1], clients=2, count=2)
    assert wrong == 2


def test_the_script_writes_a_record_of_the_load(
    page_url, questions, classifiers, monkeypatch, tmp_path
):
    options = ["--clients", 2, "--requests", 5, "--json", tmp_path / "load.json"]
    words = ["serve", "--url", page_url, "--models", *classifiers, *options]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *map(str, words)])
    benchmark.main()
    (found,) = json.loads((tmp_path / "load.json").read_text())["serve"].values()
    assert (found["answered"], found["refused"], found["wrong"]) == (5, 0, 0)
    assert 0 < found["p50_s"] <= found["p95_s"]


def test_a_full_queue_says_so_and_goes_on(classifiers, questions, expected):
    from server import build_page

    with served(build_page(registry_of(classifiers), max_concurrency=1, queue_size=2)) as url:
        _, _, refused = send_all(url, questions[:1], expected[:1], clients=16, count=16)
        assert set(refused) == {"Queue is full! Please try again."}
        assert len(refused) < 16
        assert ask_each(url, questions[:1])[0].equals(expected[0])


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_fifty_clients_and_two_thousand_requests(tmp_path):
    questions = build_requests([folder.name for folder in MODELS], tmp_path)
    app = start_app(tmp_path, "--models", *MODELS)
    try:
        expected = ask_each(app.url, questions)
        seconds, wrong, refused = send_all(app.url, questions, expected, clients=50, count=500)
        assert (len(seconds), wrong, refused) == (500, 0, [])
        before = resident_megabytes(app.process.pid)
        seconds, wrong, refused = send_all(app.url, questions, expected, clients=50, count=2000)
        assert (len(seconds), wrong, refused) == (2000, 0, [])
        assert resident_megabytes(app.process.pid) - before < MOST_GROWTH
    finally:
        app.stop()
