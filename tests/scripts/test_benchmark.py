"""Tiny runs of each benchmark; `serve` is tested with a real page in tests/space."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"
SPEC = importlib.util.spec_from_file_location("benchmark", SCRIPT)
benchmark = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)


@pytest.mark.parametrize(
    ("command", "options", "title", "candidates"),
    [
        ("data", [], "data", {"evaluation", "augmentation strong"}),
        (
            "train",
            ["--model", "test_resnet", "--image_size", 32, "--batch_size", 2],
            "training, 32 px, batch of 2",
            {"test_resnet"},
        ),
        ("explain", [], "64 px", {"forward pass", "with gate and Grad-CAM"}),
    ],
)
def test_candidates_are_measured_and_recorded(
    call, tiny_cnn_model, sample_dataset, tmp_path, command, options, title, candidates
):
    file = tmp_path / "record.json"
    subject = ["--model", tiny_cnn_model] if command == "explain" else ["--dataset", sample_dataset]
    more = ["--images", 4, "--rounds", 1, "--json", file]
    code, out, err = call(command, *subject, *options, *more)
    assert code == 0, err
    record = json.loads(file.read_text())
    ((found_title, found),) = record[command].items()
    assert found_title.endswith(title)
    assert candidates <= set(found)
    for row in found.values():
        assert f"{row['images_per_s']:,.2f}" in out
        assert 0 < row["lowest"] <= row["times_first"] <= row["highest"]
    assert record["provenance"]["command"].startswith(f"benchmark.py {command}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("data", "--rounds", 0),
            "argument --rounds: expected an integer of at least 1, got 0. See benchmark.py data "
            "--help.",
        ),
        (
            ("serve", "--url", "http://127.0.0.1:9"),
            "No page found at http://127.0.0.1:9. Start one with `make demo`, or pass --url.",
        ),
    ],
)
def test_a_mistake_is_one_line(call, options, message):
    assert call(*options) == (2, "", f"error: {message}\n")


def test_candidates_take_turns_and_the_first_round_is_not_counted():
    order = []
    # The machine halves its speed after the first counted round: no ratio changes.
    seconds = {"a": iter([9.0, 1.0, 2.0]), "b": iter([9.0, 0.5, 1.0])}

    def run(name):
        order.append(name)
        return next(seconds[name])

    candidates = {name: lambda name=name: run(name) for name in seconds}
    found = benchmark.compare("title", candidates, rounds=2, images=10)["title"]
    assert "".join(order) == "abbaab"
    assert found["b"]["times_first"] == found["b"]["lowest"] == found["b"]["highest"] == 0.5
    assert found["a"]["ms_per_image"] == pytest.approx(150)
    assert found["a"]["images_per_s"] == pytest.approx(10 / 1.5)


def test_responses_differ_in_numbers_or_pixels_and_not_in_time():
    response = benchmark.Response((0.4, 0.6), b"pixels", 1.0)
    for change, same in (
        ({"seconds": 9.0, "probabilities": (0.4 + 1e-8, 0.6)}, True),
        ({"probabilities": (0.4 + 1e-4, 0.6)}, False),
        ({"heatmap": b"other"}, False),
    ):
        assert response.equals(response._replace(**change)) is same
