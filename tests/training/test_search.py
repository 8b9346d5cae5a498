import json

import optuna
import pytest
import yaml
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.training.arguments import build_parser, parse_arguments
from hf_lesion.training.run import train
from hf_lesion.training.search import SearchArguments, _storage, search

SPACE = {
    "learning_rate": {"low": 3e-3, "high": 1e-1, "log": True},
    "imbalance": ["none", "sqrt_sampler"],
    "model_args.dropout": [0.0, 0.3],
}
PLOTS = ("history", "slices", "intermediate", "parallel", "importances")


def parse(folder, dataset, *words):
    shape = '{"widths": [4, 8], "pooling": "average", "hidden_sizes": []}'
    argv = ["--image_size", "32", "--model_args", shape, "--dataset", str(dataset)]
    argv += ["--output_dir", str(folder), "--num_train_epochs", "2", "--disable_tqdm", "true"]
    # Unlike balanced accuracy it differs between networks that have hardly learned.
    argv += ["--metric_for_best_model", "macro_auroc"]
    return parse_arguments(build_parser("test"), [*argv, "--mixup", "0.2", *words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("search") / "a?b%41[1]"


@pytest.fixture(scope="module")
def found(folder, sample_dataset):
    return search(*parse(folder, sample_dataset, "--ema_decay", "0.5"), SPACE, 3)


def open_study(folder):
    return optuna.load_study(study_name="search", storage=_storage(folder))


def test_trials_differ_and_the_best_of_them_is_told(found, folder):
    study = open_study(folder)
    assert len(study.trials) == 3
    assert len({trial.params["learning_rate"] for trial in study.trials}) == 3
    assert found.value == max(trial.value for trial in study.trials)
    assert found.settings == study.best_trial.params
    assert found.states["complete"] == 3
    # Each epoch was evaluated, so that a weak trial can be pruned after the first.
    assert {len(trial.intermediate_values) for trial in study.trials} == {2}
    record = json.loads((folder / "search.json").read_text())
    assert record["best"]["settings"] == found.settings
    assert "versions" in record["provenance"]


def test_a_study_lies_in_its_folder_whatever_that_is_called(found, folder):
    assert (folder / "study.sqlite3").is_file()
    assert [file.name for file in folder.parent.iterdir()] == [folder.name]


def test_plots_and_a_table_lie_beside_the_study_and_no_weights(found, folder):
    for name in PLOTS:
        assert Image.open(folder / f"{name}.png").size[0] > 500
    assert (folder / "trials.csv").read_text().count("\n") == 4
    assert not list(folder.rglob("checkpoint-*"))
    assert not list(folder.rglob("*.safetensors"))


def test_the_best_recipe_trains_to_the_value_that_the_search_saw(found, folder, tmp_path):
    recipe = yaml.safe_load((folder / "best.yaml").read_text())
    assert recipe["learning_rate"] == found.settings["learning_rate"]
    assert recipe["model_args"]["dropout"] == found.settings["model_args.dropout"]
    assert recipe["model_args"]["widths"] == [4, 8]
    argv = ["--config", str(folder / "best.yaml"), "--output_dir", str(tmp_path / "run")]
    run = train(*parse_arguments(build_parser("test"), [*argv, "--disable_tqdm", "true"]))
    values = [entry["eval_macro_auroc"] for entry in run.record["history"] if "eval_loss" in entry]
    assert values[-1] == pytest.approx(found.value, abs=1e-12)


def test_a_search_goes_on_and_repeats_the_trial_that_was_killed(found, folder, sample_dataset):
    study = open_study(folder)
    # As an earlier version left it, which had a flag more.
    study.set_user_attr("identity", {**study.user_attrs["identity"], "balance_copies": True})
    killed = study.ask()
    killed.suggest_float("learning_rate", 3e-3, 1e-1, log=True)
    killed.suggest_categorical("imbalance", ["none", "sqrt_sampler"])
    killed.suggest_categorical("model_args.dropout", [0.0, 0.3])
    more = search(*parse(folder, sample_dataset, "--ema_decay", "0.5"), SPACE, 4)
    assert more.states["complete"] + more.states["pruned"] == 4
    assert more.states["fail"] == 1
    assert open_study(folder).trials[-1].params == killed.params
    again = search(*parse(folder, sample_dataset, "--ema_decay", "0.5"), SPACE, 4)
    assert again.states == more.states


def test_another_search_in_the_folder_is_refused(found, folder, sample_dataset):
    arguments = parse(folder, sample_dataset, "--ema_decay", "0.5", "--weight_decay", "0.2")
    message = "holds a search with other settings \\(weight_decay\\)\\. Pass another --output_dir"
    with pytest.raises(InputError, match=message):
        search(*arguments, SPACE, 4)


def test_trials_that_diverge_end_alone(tmp_path, sample_dataset):
    space = {"learning_rate": [1e-3, 1e30], "weight_decay": {"low": 0.0, "high": 0.1}}
    found = search(*parse(tmp_path / "study", sample_dataset, "--seed", "3"), space, 4)
    assert found.settings["learning_rate"] == 1e-3
    assert found.states["fail"] >= 1


def test_what_a_search_cannot_honour_is_refused(tmp_path, sample_dataset):
    arguments = parse(tmp_path, sample_dataset, "--backbone_lr_factor", "0.1")
    with pytest.raises(InputError, match=r"leave it out of the recipe that is searched\.$"):
        search(*arguments, SPACE, 2)
    arguments = parse(tmp_path, sample_dataset, "--push_to_hub", "true")
    with pytest.raises(InputError, match=r"^A search keeps no weights to publish: "):
        search(*arguments, SPACE, 2)
    with pytest.raises(InputError, match=r"^Expected --trials of 1 or above, got 0\.$"):
        SearchArguments(space="x", trials=0)


def test_what_is_varied_need_not_be_said(sample_dataset, tmp_path):
    words = ["--dataset", str(sample_dataset), "--output_dir", str(tmp_path)]
    what = parse_arguments(build_parser("test", SearchArguments), words)[-1]
    assert (what.space, what.trials) == (None, 20)
