import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
from safetensors.torch import save_file

from hf_lesion.errors import InputError
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.io.markdown import fill_blocks
from hf_lesion.labels import CODES

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "experiments" / "compare_protocols.py"
COUNT = 70


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("compare_protocols", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def frame():
    """Each class with 12 lesions of one image and 8 of two or three."""
    lines = []
    for label in range(len(CODES)):
        for lesion in range(20):
            images = 1 if lesion < 12 else 2 + lesion % 2
            split = ("test", "validation", "train", "train")[lesion % 4]
            lines += [(f"L{label}-{lesion}", label, split)] * images
    frame = pd.DataFrame(lines, columns=["lesion_id", "label", "split"])
    return frame.assign(image_id=[f"I{number}" for number in range(len(frame))])


def share_seen(frame, train, test):
    return frame["lesion_id"][test].isin(set(frame["lesion_id"][train])).mean()


def counts_of(frame, rows):
    return frame["label"][rows].value_counts().sort_index().tolist()


def test_arms_differ_in_the_leak_alone(script, frame):
    found = script.build_protocols(frame)
    (clean, test), (leaky, other_test) = found["without"], found["with"]
    assert test.tolist() == other_test.tolist()
    assert len(test) == frame["lesion_id"][test].nunique() == 7 * 4
    assert share_seen(frame, clean, test) == 0
    assert share_seen(frame, leaky, test) == 1
    assert counts_of(frame, clean) == counts_of(frame, leaky)
    for rows in (clean, leaky):
        assert len(set(rows)) == len(rows)
        assert not set(rows) & set(test)
    draws = [script.build_protocols(frame, seed=seed)["with"][0].tolist() for seed in (0, 1)]
    assert draws[0] == leaky.tolist() != draws[1]


def test_other_arms_leak_only_where_rows_are_copied(script, frame):
    found = script.build_protocols(frame)
    (copied, copied_test), (honest, honest_test) = found["copied"], found["honest"]
    assert share_seen(frame, copied, copied_test) > 0.8
    assert share_seen(frame, honest, honest_test) == 0
    assert abs(len(copied) - len(honest)) <= 3
    assert len(set(honest)) * 3 == len(honest)
    single = set(frame.index[~frame["lesion_id"].duplicated(keep=False)])
    assert {*copied, *copied_test, *honest, *honest_test} <= single

    train, test = found["original"]
    assert set(frame["split"][test]) == {"test"}
    assert set(frame["split"][train]) == {"train", "validation"}
    assert share_seen(frame, train, test) == 0
    assert set(train) | set(test) == single
    assert found["balanced"][0].tolist() == train.tolist()


def build_run(right, seed=0, ids=None):
    generator = np.random.default_rng(seed)
    references = np.arange(COUNT) % 7
    answers = np.where(generator.random(COUNT) < right, references, (references + 1) % 7)
    probabilities = np.full((COUNT, 7), 0.05)
    probabilities[np.arange(COUNT), answers] = 0.7
    names = tuple(ids or map(str, range(COUNT)))
    return Predictions(names, references, probabilities, tuple(str(i // 2) for i in range(COUNT)))


def test_scores_are_means_over_seeds_and_differences_are_paired(script):
    worse, better = ([build_run(right, seed) for seed in (0, 1)] for right in (0.5, 0.9))
    found = script.score(worse)["accuracy"]
    each = [(run.probabilities.argmax(1) == run.references).mean() for run in worse]
    assert found["seeds"] == pytest.approx(each)
    assert found["mean"] == pytest.approx(np.mean(each))
    assert found["interval"][0] < found["mean"] < found["interval"][1]
    found = script.score(better, minus=worse)["accuracy"]
    assert found["mean"] == pytest.approx(np.mean(found["seeds"]))
    assert 0 < found["interval"][0] < found["mean"] < found["interval"][1]
    same = script.score(better, minus=better)["balanced_accuracy"]
    assert same == {"mean": 0, "seeds": [0, 0], "interval": [0, 0]}
    with pytest.raises(InputError, match="have different test images"):
        script.score([worse[0], build_run(0.5, ids=["x"] * COUNT)])


def test_the_documentation_shows_the_record_and_nothing_else(script):
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    record = json.loads((ROOT / "reports" / "recipes.json").read_text(encoding="utf-8"))
    blocks = {script.BLOCK: script.render(record)}
    assert fill_blocks(text, blocks, source="evaluation.md") == text


@pytest.fixture
def run(call, script, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Title\n<!-- protocols: by a test -->\n<!-- /protocols -->\n")

    def run(*arguments):
        return call("--output", tmp_path / "cells", "--markdown", page, "--seeds", 1, *arguments)

    return run


def test_cells_are_trained_once_and_rendered(run, sample_dataset, tmp_path):
    line = ("--dataset", sample_dataset, "--only", "leak", "--max_steps", 1, "--image_size", 32)
    code, _, err = run(*line)
    assert code == 0, err
    cells = tmp_path / "cells"
    names = ["leak-resnet-with-0.json", "leak-resnet-without-0.json"]
    with_leak, without = (json.loads((cells / name).read_text()) for name in names)
    assert (with_leak["share_seen"], without["share_seen"]) == (1, 0)
    assert with_leak["train_images"] == without["train_images"]
    assert {"command", "versions", "git_revision"} <= with_leak["provenance"].keys()
    results = json.loads((cells / "recipes.json").read_text())
    assert list(results["cells"]) == ["leak-resnet-without", "leak-resnet-with"]
    assert results["cells"]["leak-resnet-with"]["difference"]["accuracy"]["seeds"]
    assert (
        "| other images of the tested lesions in train | `resnet` | 0."
        in (tmp_path / "page.md").read_text()
    )
    assert not list(tmp_path.rglob("*.safetensors"))
    times = [(cells / name).stat().st_mtime_ns for name in names]
    assert run(*line)[0] == 0
    assert [(cells / name).stat().st_mtime_ns for name in names] == times
    code, _, err = run(*line[:-1], 48)
    assert code == 2
    assert err.endswith("without-0.json has other data or settings. Pass another --output.\n")


@pytest.mark.slow
def test_weights_to_start_from_are_used_and_named(run, sample_dataset, tmp_path):
    network = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    save_file(network.state_dict(), tmp_path / "lite0.safetensors")
    ours = ("--network", "efficientnet", "--init_weights", tmp_path / "lite0.safetensors")
    line = ("--dataset", sample_dataset, "--only", "leak", "--max_steps", 1, "--image_size", 32)
    code, _, err = run(*line, *ours)
    assert code == 0, err
    record = json.loads((tmp_path / "cells" / "leak-efficientnet-with-0.json").read_text())
    assert record["options"]["init_weights"] == "lite0.safetensors"
    said = "in the first two tables from `lite0.safetensors`"
    assert said in (tmp_path / "page.md").read_text()


def test_nothing_to_render_and_a_page_without_a_block_are_one_line(run, tmp_path):
    missing = tmp_path / "cells" / "recipes.json"
    assert run() == (2, "", f"error: No such file or directory: {missing}\n")
    (tmp_path / "page.md").write_text("# Title")
    code, _, err = run("--dataset", tmp_path / "nowhere")  # before anything is trained
    assert code == 2
    assert "has no block to fill" in err
