"""What a search varies: a YAML file of choices and ranges, and one trial's draw from it."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.training.arguments import (
    LesionTrainingArguments,
    ModelArguments,
    RecipeArguments,
    read_recipe,
)

# Setting → a list of choices, or {low, high} with log: true or a step.
Space = dict[str, list[Any] | dict[str, Any]]
RANGE_KEYS = {"low", "high", "log", "step"}
MODEL_ARGS = "model_args."
# The data and the folder belong to the search.
NOT_SEARCHED = {
    "dataset",
    "leave_out_source",
    "teacher",
    "checkpoint_minutes",
    "channels_last",
    "output_dir",
    "seed",
    "data_seed",
}

# Of the Trainer's settings, those that belong into a recipe.
IN_RECIPE = (
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
)


@dataclass(frozen=True)
class Chosen:
    """A trial's settings, by whose they are."""

    model_args: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)


def read_space(file: Path) -> Space:
    """Read what a search varies.

    Raises:
        InputError: If the file is missing, or an entry is neither a list nor a range.
    """
    space = read_recipe(file)
    if not space:
        raise InputError(f"{file} names nothing to vary.")
    for key, entry in space.items():
        if isinstance(entry, list) and entry:
            continue
        if not isinstance(entry, dict) or not {"low", "high"} <= set(entry) <= RANGE_KEYS:
            raise InputError(
                f"{file}: {key} must be a list of choices, or {{low: 1e-4, high: 1e-2, log: true}} "
                f"(or with a step), got {entry!r}."
            )
        # YAML reads 1e-3, without a point, as text.
        entry["low"], entry["high"] = (_number(entry[end], key, file) for end in ("low", "high"))
        if not entry["low"] < entry["high"]:
            raise InputError(f"{file}: {key} must have a low below its high, got {entry!r}.")
    return space


def check_space(
    space: Space,
    model_arguments: ModelArguments,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
) -> None:
    """Check that every setting is one that can be searched, and every end and choice allowed.

    Raises:
        InputError: If one is not, naming it.
    """
    known = set(_names(RecipeArguments)) | set(_names(LesionTrainingArguments))
    unknown = [
        key
        for key in space
        if (key not in known or key in NOT_SEARCHED) and not key.startswith(MODEL_ARGS)
    ]
    if unknown:
        raise InputError(
            f"Can't search {list_offenders(unknown)}: expected settings of the recipe or the "
            "Trainer (scripts/train.py --help), or model_args.NAME."
        )
    for key, entry in space.items():
        if key in _names(RecipeArguments):
            ends = entry if isinstance(entry, list) else [entry["low"], entry["high"]]
            for value in ends:
                _check_choice(recipe, key, value)


def suggest(trial: optuna.trial.BaseTrial, space: Space) -> dict[str, Any]:
    """Draw one value of each setting; drawn twice for a trial, they are the same."""
    return {key: _suggest(trial, key, entry) for key, entry in space.items()}


def split_key(settings: dict[str, Any]) -> Chosen:
    """Return settings by whose they are: the model's, the recipe's or the Trainer's."""
    chosen = Chosen()
    recipe_names = _names(RecipeArguments)
    for key, value in settings.items():
        if key.startswith(MODEL_ARGS):
            chosen.model_args[key.removeprefix(MODEL_ARGS)] = value
        else:
            (chosen.recipe if key in recipe_names else chosen.trainer)[key] = value
    return chosen


def recipe_of(
    chosen: dict[str, Any],
    model_arguments: ModelArguments,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
) -> dict[str, Any]:
    """Return a recipe that `scripts/train.py --config` takes: what differs from the defaults.

    Args:
        chosen: A trial's settings, which win over the shared ones.
        model_arguments: Shared by all trials.
        recipe: Shared by all trials.
        arguments: Shared by all trials.
    """
    parts = split_key(chosen)
    settings: dict[str, Any] = {}
    for group in (model_arguments, recipe, arguments):
        for entry in dataclasses.fields(group):
            value = getattr(group, entry.name)
            value = getattr(value, "value", value)
            is_ours = group is not arguments or entry.name in IN_RECIPE
            if is_ours and value != entry.default:
                settings[entry.name] = value
    settings |= {**parts.recipe, **parts.trainer}
    if parts.model_args:
        settings["model_args"] = {**settings.get("model_args", {}), **parts.model_args}
    return settings


def _suggest(trial: optuna.trial.BaseTrial, key: str, entry: list[Any] | dict[str, Any]) -> Any:
    if isinstance(entry, list):
        return trial.suggest_categorical(key, entry)
    options = {name: entry[name] for name in ("log", "step") if name in entry}
    low, high = entry["low"], entry["high"]
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high, **options)
    return trial.suggest_float(key, low, high, **options)


def _number(value: Any, key: str, file: Path) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{file}: {key} runs between numbers, got {value!r}.") from error


def _names(kind: type) -> list[str]:
    return [entry.name for entry in dataclasses.fields(kind)]


def _check_choice(recipe: RecipeArguments, key: str, value: Any) -> None:
    allowed = RecipeArguments.__dataclass_fields__[key].type
    choices = getattr(allowed, "__args__", None) if isinstance(value, str) else None
    if choices and value not in choices:
        raise InputError(f"Unknown {key} {value!r}: expected one of {', '.join(choices)}.")
    dataclasses.replace(recipe, **{key: value})
