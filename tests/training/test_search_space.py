import optuna
import pytest

from hf_lesion.errors import InputError
from hf_lesion.training.arguments import LesionTrainingArguments, ModelArguments, RecipeArguments
from hf_lesion.training.search_space import check_space, read_space, split_key, suggest

SPACE = """
learning_rate: {low: 1e-4, high: 1e-2, log: true}
label_smoothing: {low: 0.0, high: 0.2, step: 0.1}
num_train_epochs: {low: 1, high: 3}
augmentation: [standard, strong]
model_args.dropout: [0.0, 0.5]
"""


@pytest.fixture
def space(tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE)
    return read_space(tmp_path / "space.yaml")


def check(space, tmp_path):
    arguments = LesionTrainingArguments(output_dir=str(tmp_path))
    check_space(space, ModelArguments(), RecipeArguments(), arguments)


def test_a_trial_draws_from_the_space_and_its_settings_find_their_owners(space, tmp_path):
    check(space, tmp_path)
    fixed = {
        "learning_rate": 1e-3,
        "label_smoothing": 0.1,
        "num_train_epochs": 2,
        "augmentation": "strong",
        "model_args.dropout": 0.5,
    }
    assert suggest(optuna.trial.FixedTrial(fixed), space) == fixed
    chosen = split_key(fixed)
    assert chosen.model_args == {"dropout": 0.5}
    assert chosen.recipe == {"label_smoothing": 0.1, "augmentation": "strong"}
    assert chosen.trainer == {"learning_rate": 1e-3, "num_train_epochs": 2}


def test_draws_keep_to_their_ranges(space):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [suggest(study.ask(), space) for _ in range(40)]
    assert all(1e-4 <= draw["learning_rate"] <= 1e-2 for draw in drawn)
    assert {round(draw["label_smoothing"], 6) for draw in drawn} == {0.0, 0.1, 0.2}
    assert {draw["num_train_epochs"] for draw in drawn} == {1, 2, 3}
    assert sum(draw["learning_rate"] < 1e-3 for draw in drawn) in range(10, 31)  # log: half of them


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names nothing to vary\\.$"),
        ("learning_rate: 3", "learning_rate must be a list of choices, or .*, got 3\\.$"),
        ("weight_decay: {low: 1}", "weight_decay must be a list of choices, or .*"),
        ("weight_decay: {low: a, high: 1}", "weight_decay runs between numbers, got 'a'\\.$"),
        ("weight_decay: {low: 2, high: 1}", "weight_decay must have a low below its high, got "),
    ],
)
def test_a_space_that_is_none_is_refused(tmp_path, text, message):
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_space(file)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"lerning_rate": [1, 2]}, "^Can't search lerning_rate: expected settings of the recipe"),
        ({"leave_out_source": ["rosendahl"]}, "^Can't search leave_out_source: "),
        ({"augmentation": ["wild"]}, "^Unknown augmentation 'wild': expected one of none, "),
        ({"label_smoothing": {"low": 0, "high": 1}}, "^Expected --label_smoothing from 0 to "),
    ],
)
def test_what_cannot_be_searched_is_named(space, message, tmp_path):
    with pytest.raises(InputError, match=message):
        check(space, tmp_path)
