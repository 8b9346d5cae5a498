import json
import runpy
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.training.arguments import build_parser, parse_arguments
from hf_lesion.training.run import train
from hf_lesion.training.search import read_space, search

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "search.py"
SPACE = """
learning_rate: {low: 3e-3, high: 1e-1, log: true}
imbalance: [none, sqrt_sampler]
model_args.dropout: [0.0, 0.3]
"""
PLOTS = (
    "optimization_history",
    "slice",
    "intermediate_values",
    "parallel_coordinate",
    "param_importances",
)


def settings_of(folder, dataset, **more):
    shape = {"widths": [4, 8], "pooling": "average", "hidden_sizes": []}
    return {
        "image_size": 32,
        "model_args": shape,
        "dataset": str(dataset),
        "output_dir": str(folder),
        "num_train_epochs": 2,
        "disable_tqdm": True,
        # Unlike balanced accuracy it differs between networks that have hardly learned.
        "metric_for_best_model": "macro_auroc",
        "mixup": 0.2,
        "ema_decay": 0.5,
        **more,
    }


def space_of(text, tmp_path):
    (tmp_path / "space.yaml").write_text(text)
    return read_space(tmp_path / "space.yaml")


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    return space_of(SPACE, tmp_path_factory.mktemp("space"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("search") / "study"


@pytest.fixture(scope="module")
def found(folder, sample_dataset, space):
    return search(settings_of(folder, sample_dataset), space, 3)


def states_of(study):
    return sorted(trial.state.name for trial in study.trials)


def test_trials_differ_and_the_best_is_recorded_with_plots_but_without_weights(found, folder):
    assert states_of(found) == ["COMPLETE"] * 3
    assert len({trial.params["learning_rate"] for trial in found.trials}) == 3
    # Each epoch is evaluated, so that a weak trial can be pruned after the first.
    assert {len(trial.intermediate_values) for trial in found.trials} == {2}
    for trial in found.trials:
        assert trial.value == max(trial.intermediate_values.values())
    record = json.loads((folder / "search.json").read_text())
    assert record["best"]["settings"] == found.best_params
    assert record["best"]["value"] == max(trial.value for trial in found.trials)
    assert "versions" in record["provenance"]
    for name in PLOTS:
        assert Image.open(folder / f"{name}.png").size[0] > 500
    assert (folder / "trials.csv").read_text().count("\n") == 4
    assert not list(folder.rglob("checkpoint-*"))
    assert not list(folder.rglob("*.safetensors"))


def test_the_best_recipe_trains_to_the_value_of_the_search(found, folder, tmp_path):
    recipe = yaml.safe_load((folder / "best.yaml").read_text())
    assert recipe["learning_rate"] == found.best_params["learning_rate"]
    assert recipe["model_args"]["dropout"] == found.best_params["model_args.dropout"]
    assert recipe["model_args"]["widths"] == [4, 8]
    argv = ["--config", str(folder / "best.yaml"), "--output_dir", str(tmp_path / "run")]
    run = train(*parse_arguments(build_parser("test"), argv))
    assert run.record["best_metric"]["value"] == pytest.approx(found.best_value, abs=1e-12)


@pytest.fixture
def no_results(monkeypatch):
    """Leave out the plots, which take longer than the trials."""
    monkeypatch.setattr("hf_lesion.training.search._write_results", lambda *_: None)


def test_a_search_goes_on_and_repeats_the_trial_that_was_killed(
    found, folder, sample_dataset, space, no_results
):
    killed = found.ask(space)
    more = search(settings_of(folder, sample_dataset), space, 4)
    assert states_of(more).count("FAIL") == 1
    assert len(more.trials) == 5
    assert more.trials[-1].params == killed.params
    again = search(settings_of(folder, sample_dataset), space, 4)
    assert states_of(again) == states_of(more)
    message = r"contains a search with other settings \(weight_decay\)\. Pass another --output_dir"
    with pytest.raises(InputError, match=message):
        search(settings_of(folder, sample_dataset, weight_decay=0.2), space, 4)


def test_trials_that_diverge_end_alone(tmp_path, sample_dataset, no_results):
    space = space_of(
        "learning_rate: [1e-3, 1.0e+30]\nweight_decay: {low: 0.0, high: 0.1}", tmp_path
    )
    found = search(
        settings_of(tmp_path / "study", sample_dataset, seed=3, num_train_epochs=1), space, 4
    )
    assert float(found.best_params["learning_rate"]) == 1e-3
    assert "PRUNED" in states_of(found)


def test_the_script_reads_recipe_and_flags(sample_dataset, tmp_path, monkeypatch, capsys):
    (tmp_path / "space.yaml").write_text("weight_decay: [0.0, 0.1]")
    (tmp_path / "recipe.yaml").write_text("model: cnn\nimage_size: 48\nlearning_rate: 1e-3\n")
    words = ["--config", tmp_path / "recipe.yaml", "--space", tmp_path / "space.yaml"]
    words += ["--dataset", sample_dataset, "--output_dir", tmp_path / "study", "--trials", 1]
    words += ["--image_size", 32, "--max_steps", 1, "--disable_tqdm", "true"]
    monkeypatch.setattr(sys, "argv", ["search.py", *map(str, words)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "Best of 1 trials: " in capsys.readouterr().out
    best = yaml.safe_load((tmp_path / "study" / "best.yaml").read_text())
    assert (best["model"], best["image_size"], best["max_steps"]) == ("cnn", 32, 1)
    assert best["weight_decay"] in (0.0, 0.1)
    monkeypatch.setattr(sys, "argv", ["search.py", *map(str, words), "--lerning_rate", "1"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert caught.value.code == 2
    said = "error: unrecognized arguments: --lerning_rate 1. "
    assert capsys.readouterr().err == said + "See scripts/train.py --help.\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no settings to vary\\.$"),
        ("learning_rate: 3", "expected learning_rate to be a list of choices or .*, got 3\\.$"),
        ("weight_decay: {low: 1}", "expected weight_decay to be a list of choices or "),
        ("weight_decay: {low: a, high: 1}", "expected weight_decay to be a list of choices or "),
        ("weight_decay: {low: 2, high: 1}", "expected weight_decay to be a list of choices or "),
    ],
)
def test_a_space_that_is_none_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        space_of(text, tmp_path)


@pytest.mark.parametrize(
    ("space", "more", "message"),
    [
        ("lerning_rate: [1, 2]", {}, "^Unknown arguments: --lerning_rate=1\\. "),
        ("augmentation: [wild]", {}, "argument --augmentation: invalid choice: 'wild'"),
        ("label_smoothing: {low: 0, high: 1}", {}, "^Expected --label_smoothing from 0 to "),
        ("mixup: [0.1]", {"push_to_hub": True}, "does not publish: .* without --eval_strategy"),
        (
            "mixup: [0.1]",
            {"eval_strategy": "no", "load_best_model_at_end": False},
            "does not publish: .* without --eval_strategy",
        ),
        ("mixup: [0.1]", {"output_dir": None}, "^Pass --output_dir DIR"),
    ],
)
def test_what_cannot_be_searched_is_named(space, more, message, sample_dataset, tmp_path):
    settings = settings_of(tmp_path / "study", sample_dataset) | more
    with pytest.raises(InputError, match=message):
        search(settings, space_of(space, tmp_path), 2)
