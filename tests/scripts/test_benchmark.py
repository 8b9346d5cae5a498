import json
import runpy
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"


def test_a_table_and_a_record(call, tmp_path):
    options = ["--images", 4, "--rounds", 1, "--json", tmp_path / "data.json"]
    code, out, err = call("data", *options)
    assert code == 0, err
    record = json.loads((tmp_path / "data.json").read_text())
    assert list(record["data"]) == [
        "train, 600x450 to 128", "eval, 600x450 to 128",
        "train, 200x150 to 128", "eval, 200x150 to 128",
    ]  # fmt: skip
    first = record["data"]["train, 600x450 to 128"]
    assert first["PIL: crop, flip"]["ratio"] == 1
    assert f"{first['ours, strong']['items_per_second']:,.1f}" in out
    assert record["provenance"]["command"].startswith("benchmark.py data")


def test_senseless_counts_are_refused(call):
    code, out, err = call("data", "--rounds", 0)
    assert (code, out, err) == (2, "", "error: --rounds and --images are at least 1.\n")


def test_explain_measures_the_models_that_ship_by_default(monkeypatch):
    monkeypatch.chdir(SCRIPT.parents[1])
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "explain", "--json", "e.json"])
    found = runpy.run_path(str(SCRIPT))["parse_arguments"]()
    shipped = sorted(str(file.parent) for file in Path("space/models").glob("*/config.json"))
    assert found.model == ["resnet18", "resnet50", "densenet121", *shipped]
    assert shipped
    assert found.json == Path("e.json")
