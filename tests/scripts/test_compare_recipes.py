import json
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from hf_lesion.evaluation.recipes import END, START

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare_recipes.py"


@pytest.fixture
def run(call, sample_dataset, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n{START}\n{END}\n")

    def run(*arguments):
        return call(
            "--output", tmp_path / "cells", "--json", tmp_path / "recipes.json", "--readme", readme,
            "--seeds", 1, *arguments,
        )  # fmt: skip

    return run


def test_cells_are_trained_once_and_rendered(run, sample_dataset, tmp_path):
    line = ("--dataset", sample_dataset, "--only", "leak", "--max_steps", 1, "--image_size", 32)
    code, _, err = run(*line)
    assert code == 0, err
    cells = tmp_path / "cells"
    names = sorted(file.name for file in cells.glob("*.json"))
    assert names == ["leak-resnet-with-0.json", "leak-resnet-without-0.json"]
    with_leak, without = (json.loads((cells / name).read_text()) for name in names)
    assert (with_leak["share_seen"], without["share_seen"]) == (1, 0)
    assert with_leak["train_images"] == without["train_images"]
    results = json.loads((tmp_path / "recipes.json").read_text())
    assert results["leak"]["difference"]["accuracy"]["seeds"]
    assert results["balance"]["cnn"]["original"] is None
    assert "not run yet" in (tmp_path / "README.md").read_text()
    assert (cells / "recipes.png").is_file()
    times = [(cells / name).stat().st_mtime_ns for name in names]
    assert run(*line)[0] == 0
    assert [(cells / name).stat().st_mtime_ns for name in names] == times
    code, _, err = run(*line[:-1], 48)
    assert code == 2
    assert "is of other data or settings" in err


def test_a_readme_without_markers_is_refused_before_anything_is_trained(run, tmp_path):
    (tmp_path / "README.md").write_text("# Title")
    code, _, err = run("--dataset", tmp_path / "nowhere")
    assert code == 2
    assert "needs one line <!-- recipes" in err


def test_nothing_finished_is_one_line(run):
    code, out, err = run("--render")
    assert (code, out) == (2, "")
    assert err.startswith("error: No cell in ")
    assert run()[2].startswith("error: Pass --dataset DIR, or --render")


def test_weights_to_start_from_are_used_and_named(run, sample_dataset, tmp_path):
    network = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    save_file(network.state_dict(), tmp_path / "lite0.safetensors")
    ours = ("--network", "efficientnet", "--init_weights", tmp_path / "lite0.safetensors")
    line = ("--dataset", sample_dataset, "--only", "leak", "--max_steps", 1, "--image_size", 32)
    code, _, err = run(*line, *ours)
    assert code == 0, err
    record = json.loads((tmp_path / "cells" / "leak-efficientnet-with-0.json").read_text())
    assert record["options"]["init_weights"] == "lite0.safetensors"
    said = "the first two tables: `efficientnet` from `lite0.safetensors`"
    assert said in (tmp_path / "README.md").read_text()


def test_weights_for_another_network_are_refused(run, tmp_path):
    code, _, err = run("--dataset", tmp_path, "--init_weights", tmp_path / "some.safetensors")
    assert code == 2
    assert "--init_weights is of --network efficientnet, got resnet" in err
