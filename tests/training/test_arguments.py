import os
from pathlib import Path

import pytest

from hf_lesion.errors import InputError
from hf_lesion.training.arguments import build_parser, parse_arguments, parse_settings

CONFIGS = Path(__file__).parents[2] / "scripts" / "configs"
SPACE = CONFIGS / "search_space.yaml"  # says what a search varies: no recipe
RECIPES = sorted(set(CONFIGS.glob("*.yaml")) - {SPACE})


def parse(*words, tmp_path):
    return parse_arguments(build_parser("test"), [*words, "--output_dir", str(tmp_path / "out")])


def write_recipe(tmp_path, text):
    file = tmp_path / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_flags_win_over_the_recipe_and_the_recipe_over_the_defaults(tmp_path):
    text = "model: resnet18\nlearning_rate: 1e-2\nseed: 7\nmodel_args: {drop_rate: 0.1}\n"
    text += "teacher: [runs/a, runs/b]\nimage_size:\nbf16: true\nmax_steps: -1\n"
    recipe = write_recipe(tmp_path, text + "lr_scheduler_kwargs: {num_cycles: 0.4}\n")
    model, chosen, training = parse("--config", recipe, "--seed", "9", tmp_path=tmp_path)
    assert (model.model, model.model_args) == ("resnet18", {"drop_rate": 0.1})
    assert (training.seed, training.learning_rate) == (9, 0.01)
    assert (chosen.augmentation, chosen.teacher) == ("standard", ["runs/a", "runs/b"])
    assert (model.image_size, training.bf16, training.max_steps) == (None, True, -1)
    assert training.lr_scheduler_kwargs == {"num_cycles": 0.4}
    one = write_recipe(tmp_path, "teacher: runs/a\n")
    assert parse("--config", one, tmp_path=tmp_path)[1].teacher == ["runs/a"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda file: file.stem)
def test_every_recipe_of_ours_is_understood(recipe, tmp_path):
    # bf16 needs a GPU that has it; whether it is asked for is not the question here.
    model, _, training = parse("--config", str(recipe), "--bf16", "false", tmp_path=tmp_path)
    assert model.model
    assert training.metric_for_best_model == "balanced_accuracy"


def test_save_steps_alone_switches_to_steps(tmp_path):
    _, _, training = parse("--save_steps", "3", tmp_path=tmp_path)
    assert (training.save_strategy, training.eval_strategy) == ("steps", "steps")
    assert training.eval_steps == 3
    _, _, training = parse("--save_steps", "8", "--eval_steps", "4", tmp_path=tmp_path)
    assert (training.save_steps, training.eval_steps) == (8, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "modle: cnn\nlr: 1\n",
            r"recipe\.yaml has unknown keys: lr, modle\. See scripts/train\.py --help\.$",
        ),
        ("- cnn\n", r"got a list\.$"),
        ("seed: 1.5\n", r"^argument --seed: invalid int value: '1\.5'"),
        ("learning_rate: [1]\n", r"^argument --learning_rate/--learning-rate: invalid float"),
        ("imbalance: 3\n", r"^argument --imbalance: invalid choice: '3'"),
        ("bf16: perhaps\n", r"^argument --bf16: Truthy value expected: got perhaps"),
    ],
)
def test_a_wrong_recipe_is_explained(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        parse("--config", write_recipe(tmp_path, text), tmp_path=tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--output_dir", "out", "--config=no.yaml"],
            r"^Recipe no\.yaml not found\. Recipes are i",
        ),
        (
            ["--output_dir", "out", "--model_args", "widths=4"],
            r'^Expected JSON such as {"drop_rate',
        ),
        (["--output_dir", os.fsdecode(b"caf\xe9")], r"caf\\udce9 is not UTF-8"),
        (
            ["--output_dir", "out", "--learning_rat", "1"],
            r"^Unknown arguments: --learning_rat 1\. ",
        ),
        ([], r"^Pass --output_dir DIR"),
    ],
)
def test_wrong_flags_are_explained(words, message):
    with pytest.raises(InputError, match=message):
        parse_arguments(build_parser("test"), words)


def test_the_precision_that_accelerate_launch_was_given_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert parse(tmp_path=tmp_path)[2].bf16 is True


def test_the_trainer_itself_never_pushes(tmp_path):
    *_, training = parse("--push_to_hub", "true", tmp_path=tmp_path)
    assert training.publish
    assert not training.push_to_hub
    *_, training = parse(tmp_path=tmp_path)
    assert not training.publish


def test_settings_are_parsed_like_flags(tmp_path):
    settings = {
        "model": "resnet18",
        "model_args": {"drop_rate": 0.1},
        "image_size": None,
        "learning_rate": "1e-2",
        "output_dir": tmp_path,
        "report_to": "tensorboard",
    }
    model, _, training = parse_settings(settings)
    assert (model.model, model.model_args, model.image_size) == (
        "resnet18",
        {"drop_rate": 0.1},
        None,
    )
    assert (training.learning_rate, training.report_to) == (0.01, ["tensorboard"])
    with pytest.raises(InputError, match=r"^argument --augmentation: invalid choice: 'wild'"):
        parse_settings({**settings, "augmentation": "wild"})
