"""Tiny runs of each benchmark; that `serve` asks a real page is tested in tests/space."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"
SPEC = importlib.util.spec_from_file_location("benchmark", SCRIPT)
benchmark = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)
COLUMNS = ["ms_per_image", "images_per_s", "times_first", "lowest", "highest"]


@pytest.mark.parametrize("source", ["drawn", "dataset"])
def test_data_compares_augmentations_with_evaluation(call, source, sample_dataset, tmp_path):
    options = ["--images", 4, "--rounds", 1, "--json", tmp_path / "data.json"]
    options += ["--dataset", sample_dataset] if source == "dataset" else []
    code, out, err = call("data", *options)
    assert code == 0, err
    record = json.loads((tmp_path / "data.json").read_text())
    found = record["data"]["data"]
    kinds = ("none", "student", "standard", "strong")
    assert set(found) >= {"evaluation", *(f"augmentation {name}" for name in kinds)}
    assert all(list(row) == COLUMNS for row in found.values())
    assert found["evaluation"]["times_first"] == 1
    assert f"{found['augmentation strong']['images_per_s']:,.2f}" in out
    assert record["provenance"]["command"].startswith("benchmark.py data")
    assert {"versions", "git_revision"} <= record["provenance"].keys()


def test_train_times_steps_with_and_without_loading(call, tmp_path):
    options = ["--model", "test_resnet", "cnn", "--image_size", 32, "--batch_size", 2]
    code, _, err = call(
        "train", *options, "--images", 4, "--rounds", 1, "--json", tmp_path / "train.json"
    )
    assert code == 0, err
    found = json.loads((tmp_path / "train.json").read_text())["train"]
    assert list(found) == ["test_resnet, 32 px, batch of 2", "cnn, 32 px, batch of 2"]
    for rows in found.values():
        assert list(rows) == ["in memory", "training"]
        assert all(0 < row["ms_per_image"] < 60_000 for row in rows.values())


def test_explain_is_told_in_forward_passes(call, tiny_cnn_model, tmp_path):
    options = ["--images", 1, "--rounds", 2, "--json", tmp_path / "explain.json"]
    code, _, err = call("explain", "--model", tiny_cnn_model, *options)
    assert code == 0, err
    (rows,) = json.loads((tmp_path / "explain.json").read_text())["explain"].values()
    assert list(rows) == ["forward pass", "with gate and Grad-CAM"]
    explained = rows["with gate and Grad-CAM"]
    assert 0.5 < explained["lowest"] <= explained["times_first"] <= explained["highest"]


def test_explain_measures_the_shipped_models_by_default(monkeypatch):
    monkeypatch.chdir(SCRIPT.parents[1])
    monkeypatch.setattr("sys.argv", ["benchmark.py", "explain"])
    shipped = sorted(str(file.parent) for file in Path("space/models").glob("*/config.json"))
    assert shipped
    assert benchmark.parse_arguments().model == shipped


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


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"seconds": 9.0}, True),
        ({"probabilities": (0.4 + 1e-8, 0.6)}, True),
        ({"probabilities": (0.4 + 1e-4, 0.6)}, False),
        ({"heatmap": b"other"}, False),
    ],
)
def test_responses_differ_in_numbers_or_pixels_and_not_in_time(change, same):
    response = benchmark.Response((0.4, 0.6), b"pixels", 1.0)
    assert response.equals(response._replace(**change)) is same
