"""Mistakes and comparisons of the benchmark; tests/space/test_load.py runs it on a real page."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"
SPEC = importlib.util.spec_from_file_location("benchmark", SCRIPT)
benchmark = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)


def test_a_page_that_is_not_there_is_one_line(call):
    code, out, err = call("serve", "--url", "http://127.0.0.1:9")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "No page found at http://127.0.0.1:9. Start one with `make demo`" in err


def test_responses_differ_in_numbers_or_pixels_and_not_in_time():
    response = benchmark.Response((0.4, 0.6), b"pixels", 1.0)
    for change, same in (
        ({"seconds": 9.0, "probabilities": (0.4 + 1e-8, 0.6)}, True),
        ({"probabilities": (0.4 + 1e-4, 0.6)}, False),
        ({"heatmap": b"other"}, False),
    ):
        assert response.equals(response._replace(**change)) is same
