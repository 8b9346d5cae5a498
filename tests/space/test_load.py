"""Many visitors at once: each gets the answer that it would get alone, and a full queue says so."""

import socket
from pathlib import Path

import pytest

from hf_lesion.benchmark.clients import ask, ask_all, build_questions, overfill
from hf_lesion.benchmark.serve import resident_megabytes, serving

ROOT = Path(__file__).resolve().parents[2]
MODELS = sorted(file.parent for file in (ROOT / "space" / "models").glob("*/config.json"))
MOST_GROWTH = 50  # MiB


@pytest.fixture(scope="module")
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_clients_at_once_get_what_each_would_get_alone(page_url, classifiers):
    questions = build_questions(list(classifiers), images=2)
    expected = [ask(page_url, question) for question in questions]
    assert len({reply.probabilities for reply in expected}) == 2 * len(classifiers)
    assert sum(reply.picture != "" for reply in expected) == 2 * len(classifiers)
    load = ask_all(page_url, questions, expected, clients=8, count=24)
    assert (len(load.seconds), load.failed, load.wrong) == (24, (), 0)


def test_an_answer_that_differs_is_noticed(page_url, classifiers):
    questions = build_questions(list(classifiers), images=2)[:2]
    expected = [ask(page_url, question) for question in questions]
    load = ask_all(page_url, questions, expected[::-1], clients=2, count=2)
    assert load.wrong == 2


def test_a_full_queue_says_so_and_goes_on(classifiers):
    from page import build_page, launch_options
    from shelf import Shelf

    demo = build_page(Shelf.of(classifiers), max_concurrency=1, queue_size=2)
    _app, url, _share = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    try:
        question = build_questions(["tiny_cnn"], images=1)[0]
        told = overfill(url.rstrip("/"), question, clients=16)
        refused = [text for text in told if text]
        assert refused
        assert all("Queue is full. Max size is 2" in text for text in refused), refused
        assert len(refused) < len(told)
        assert ask(url.rstrip("/"), question).probabilities
    finally:
        demo.close()


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_fifty_clients_and_two_thousand_requests(free_port):
    questions = build_questions([folder.name for folder in MODELS])
    app = ROOT / "space" / "app.py"
    with serving(app, MODELS, port=free_port) as (url, process, _seconds):
        expected = [ask(url, question) for question in questions]
        load = ask_all(url, questions, expected, clients=50, count=500)
        assert (len(load.seconds), load.failed, load.wrong) == (500, (), 0)
        before = resident_megabytes(process)
        load = ask_all(url, questions, expected, clients=50, count=2000)
        assert (len(load.seconds), load.failed, load.wrong) == (2000, (), 0)
        assert resident_megabytes(process) - before < MOST_GROWTH
