"""What the load benchmark counts; that it asks a real page is tested beside the page."""

import http.server
import subprocess
import sys
import threading

import pytest

from hf_lesion.benchmark.clients import (
    Load,
    Question,
    RefusedError,
    Reply,
    ask,
    build_questions,
    overfill,
)
from hf_lesion.benchmark.serve import format_measures, resident_megabytes, serving
from hf_lesion.errors import InputError

PROBABILITIES = (0.1, 0.2, 0.3, 0.1, 0.1, 0.1, 0.1)
SUMMARY = Load((0.1, 0.2, 0.3), ("full",), 1, 2.0).summarise()


@pytest.fixture
def closed_page():
    """A server that refuses whatever it is asked."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b"Queue is full.")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_counts_and_percentiles_are_those_of_the_answers():
    assert (SUMMARY["answered"], SUMMARY["failed"], SUMMARY["wrong"]) == (3, 1, 1)
    assert SUMMARY["p50"] == pytest.approx(0.2)
    assert SUMMARY["p95"] == pytest.approx(0.29)
    assert SUMMARY["per_second"] == pytest.approx(1.5)
    assert SUMMARY["told"] == ["full"]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Reply(PROBABILITIES, "a", 9.0), True),
        (Reply(tuple(p + 1e-8 for p in PROBABILITIES), "a", 1.0), True),
        (Reply(tuple(p + 1e-4 for p in PROBABILITIES), "a", 1.0), False),
        (Reply(PROBABILITIES, "b", 1.0), False),
    ],
)
def test_replies_differ_in_numbers_or_pixels_and_not_in_time(other, same):
    assert Reply(PROBABILITIES, "a", 1.0).equals(other) is same


def test_every_model_is_asked_about_every_image_with_and_without_a_map():
    questions = build_questions(["a", "b"], images=3)
    assert len(questions) == len({(q.endpoint, q.model, q.image) for q in questions}) == 12


def test_a_refusal_is_told_in_the_pages_words(closed_page):
    question = Question("classify", "m", b"image")
    with pytest.raises(RefusedError, match=r"^HTTP 503: Queue is full\.$"):
        ask(closed_page, question)
    assert overfill(closed_page, question, clients=3) == ["HTTP 503: Queue is full."] * 3


def test_memory_is_that_of_the_process():
    # A process of its own: this one may have pages to spare from tests before.
    program = f"block = b'x' * {64 * 2**20}; print(len(block), flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-S", "-c", program], **pipes) as process:
        assert int(process.stdout.readline()) == 64 * 2**20
        assert 64 < resident_megabytes(process.pid) < 128
        process.communicate(b"\n")


def test_a_page_that_does_not_come_up_is_said(tmp_path):
    app = tmp_path / "app.py"
    app.write_text("raise SystemExit(2)")
    with pytest.raises(InputError, match="does not come up"), serving(app, [], port=9):
        pass


def test_the_text_holds_what_was_found():
    found = {
        "start": {"served": 4.2, "first_answer": 1.1},
        "bare": {"classify": 0.02, "explain": 0.03},
        "quiet": {"classify": 0.05, "explain": 0.09},
        "load": SUMMARY,
        "memory": {"before": 900.0, "after": 910.0, "requests": 2000, **SUMMARY},
        "full": {"asked": 150, "answered": 66, "told": ["Queue is full."]},
    }
    text = format_measures(found, 50)
    for part in ("4.2 s", "bare 20 ms", "p95 0.29 s", "900 to 910 MiB", "Queue is full."):
        assert part in text
