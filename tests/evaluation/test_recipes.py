import json
from pathlib import Path

import numpy as np
import pytest

from hf_lesion.errors import InputError
from hf_lesion.evaluation import recipes
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.recipes_figures import draw_results

COUNT = 70
ROOT = Path(__file__).resolve().parents[2]


def build_run(right, seed=0, ids=None):
    generator = np.random.default_rng(seed)
    references = np.arange(COUNT) % 7
    answers = np.where(generator.random(COUNT) < right, references, (references + 1) % 7)
    probabilities = np.full((COUNT, 7), 0.05)
    probabilities[np.arange(COUNT), answers] = 0.7
    names = tuple(ids or map(str, range(COUNT)))
    return Predictions(names, references, probabilities, tuple(str(i // 2) for i in range(COUNT)))


def build_cell(right, seed, share_seen=0.0):
    record = {
        "share_seen": share_seen,
        "train_images": 300,
        "steps": 9,
        "hours": 0.5,
        "dataset": "abc",
        "description": "HAM10000, 60 of its 10,015 images",
        "options": {"image_size": 64, "num_train_epochs": 8.0},
    }
    return build_run(right, seed), record


@pytest.fixture(scope="module")
def results():
    cells = {}
    for seed in (0, 1):
        cells[f"leak-resnet-without-{seed}"] = build_cell(0.6, seed)
        cells[f"leak-resnet-with-{seed}"] = build_cell(0.9, seed, 1.0)
    cells["protocols-resnet-copied-0"] = build_cell(0.95, 0, 0.94)
    cells["balance-cnn-original-0"] = build_cell(0.5, 0)
    return recipes.build_results(cells, seeds_wanted=3, resamples=100)


def test_seeds_are_averaged_within_an_interval_over_lesions():
    runs = [build_run(0.6, seed) for seed in (0, 1)]
    found = recipes.summarise(runs, resamples=200)["accuracy"]
    each = [(run.probabilities.argmax(1) == run.references).mean() for run in runs]
    assert found["seeds"] == pytest.approx(each)
    assert found["mean"] == pytest.approx(np.mean(each))
    assert found["interval"][0] < found["mean"] < found["interval"][1]


def test_runs_on_other_images_have_no_common_interval():
    runs = [build_run(0.6), build_run(0.6, 1, ids=[f"x{i}" for i in range(COUNT)])]
    assert np.isnan(recipes.summarise(runs, resamples=20)["accuracy"]["interval"]).all()


def test_a_difference_is_paired_and_signed():
    pairs = [(build_run(0.5, seed), build_run(0.9, seed)) for seed in (0, 1)]
    found = recipes.summarise_difference(pairs, resamples=200)["accuracy"]
    assert found["mean"] == pytest.approx(np.mean(found["seeds"]))
    assert 0 < found["interval"][0] < found["mean"] < found["interval"][1]
    same = recipes.summarise_difference([(pairs[0][0], pairs[0][0])], resamples=20)
    assert same["balanced_accuracy"] == {"mean": 0, "seeds": [0], "interval": [0, 0]}
    with pytest.raises(ValueError, match="paired"):
        recipes.summarise_difference([(pairs[0][0], build_run(0.5, ids=["x"] * COUNT))])


def test_what_was_not_run_is_said_to_be_missing(results):
    text = recipes.render_section(json.loads(json.dumps(results)))
    assert "| `densenet`, balanced data | not run yet | not run yet | 0 of 3 |" in text
    assert "| split by lesion, then copied (honest) | not run yet | not run yet | 0 of 3 |" in text
    assert "| 1 of 3 |" in text
    assert "points of balanced accuracy" in text
    value = 100 * results["leak"]["difference"]["accuracy"]["mean"]
    assert f"{value:+.1f} [" in text
    assert "94% of its test rows are in train" in text


def test_a_leak_with_one_arm_alone_has_no_difference():
    cells = {"leak-resnet-with-0": build_cell(0.9, 0, 1.0)}
    found = recipes.build_results(cells, seeds_wanted=1, resamples=20)
    assert found["leak"]["difference"] is None
    assert "What the leak adds: not run yet." in recipes.render_section(found)


@pytest.mark.parametrize("question", ["leak", "protocols"])
def test_two_networks_are_not_mixed_in_one_table(question):
    cells = {
        f"{question}-efficientnet-with-0": build_cell(0.9, 0),
        f"{question}-resnet-with-0": build_cell(0.6, 0),
    }
    with pytest.raises(InputError, match="are of two networks, efficientnet, resnet:"):
        recipes.build_results(cells, seeds_wanted=1, resamples=20)


def test_only_what_was_run_is_drawn(results):
    figure = draw_results(json.loads(json.dumps(results)))
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == [
        "cnn, original data",
        "copied, then split by row",
        "their other images in train",
        "tested lesions not in train",
    ]


def test_markers_are_needed():
    text = f"a\n{recipes.START}\nold\n{recipes.END}\nb\n"
    new = recipes.put_between_markers(text, "new", source="README.md")
    assert new == f"a\n{recipes.START}\nnew\n{recipes.END}\nb\n"
    with pytest.raises(InputError, match=r"^README\.md needs one line <!-- recipes"):
        recipes.put_between_markers("none", "new", source="README.md")


def test_the_readme_shows_the_results_that_are_kept_and_no_others():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    kept = json.loads((ROOT / "reports" / "recipes.json").read_text(encoding="utf-8"))
    assert kept["leak"]["difference"] is not None
    block = recipes.render_section(kept)
    assert recipes.put_between_markers(readme, block, source="README.md") == readme
