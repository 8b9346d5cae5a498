"""Hyperparameter search: Optuna through the Trainer, trial after trial of one study on disk.

Source: Akiba, Sano, Yanase, Ohta, Koyama, "Optuna: A Next-generation Hyperparameter Optimization
Framework" (KDD 2019); its TPE sampler and median pruner.
"""

import dataclasses
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
import torch
import yaml
from transformers import PreTrainedModel, Trainer

from hf_lesion.errors import InputError
from hf_lesion.files import whole_file, without_nan, write_json, write_text
from hf_lesion.models.build import build_model
from hf_lesion.provenance import provenance
from hf_lesion.training.arguments import LesionTrainingArguments, ModelArguments, RecipeArguments
from hf_lesion.training.record import describe_identity
from hf_lesion.training.run import read_splits
from hf_lesion.training.search_figures import draw_study
from hf_lesion.training.search_space import (
    Space,
    check_space,
    recipe_of,
    split_key,
    suggest,
)
from hf_lesion.training.stopping import DivergedError, only_run, out_of_memory_explained
from hf_lesion.training.trainer import (
    build_compute_metrics,
    build_eval_samples,
    build_ingredients,
)

STUDY = "study.sqlite3"
NAME = "search"
IDENTITY = "identity"
BEST = "best.yaml"
TRIALS = "trials.csv"
RECORD = "search.json"
# Trials that run to their end before the first may be pruned.
FREE_TRIALS = 4
logger = logging.getLogger(__name__)


@dataclass
class SearchArguments:
    """What is searched, and for how long."""

    space: str | None = field(
        default=None,
        metadata={"help": "YAML file: what to vary, and from where to where. Default: ours."},
    )
    trials: int = field(default=20, metadata={"help": "Trials in all, those before a stop too."})

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise InputError(f"Expected --trials of 1 or above, got {self.trials}.")


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        folder: Where the study, its plots and the best recipe lie.
        value: The best trial's validation metric.
        settings: The best trial's settings.
        states: How many trials were completed, pruned, failed.
    """

    folder: Path
    value: float
    settings: dict[str, Any]
    states: dict[str, int]


def search(
    model_arguments: ModelArguments,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
    space: Space,
    trials: int,
) -> Found:
    """Run the trials that are still missing; write the study's plots and the best recipe.

    A trial that was killed is repeated with the same settings. Trials keep no weights: what is best
    is trained anew, with `scripts/train.py`.

    Args:
        model_arguments: The network that every trial starts from.
        recipe: What all trials share.
        arguments: The Trainer's settings that all trials share; `--output_dir` is the study's
            folder.
        space: From `read_space`.
        trials: How many trials there shall be in the end.

    Raises:
        InputError: If the folder holds another search, or a setting can't be searched.
    """
    if arguments.world_size > 1:
        raise InputError("A search runs in one process: start it with `python scripts/search.py`.")
    if arguments.publish:
        raise InputError(
            "A search keeps no weights to publish: leave --push_to_hub out, and pass it to "
            "scripts/train.py with the best recipe."
        )
    check_space(space, model_arguments, recipe, arguments)
    if recipe.backbone_lr_factor != 1:
        raise InputError(
            "The Trainer makes a new optimiser for each trial, which knows no "
            "--backbone_lr_factor: leave it out of the recipe that is searched."
        )
    folder = Path(str(arguments.output_dir))
    with only_run(folder):
        study = _open_study(folder, model_arguments, recipe, arguments, space)
        missing = trials - _count_done(study)
        if missing > 0:
            _run_trials(missing, study, model_arguments, recipe, arguments, space)
        return _write_results(study, folder, model_arguments, recipe, arguments)


def _storage(folder: Path) -> str:
    # Quoted, or "?" and "%41" in a folder's name would lead to another file.
    return f"sqlite:///{quote(str((folder / STUDY).resolve()))}"


def _open_study(
    folder: Path,
    model_arguments: ModelArguments,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
    space: Space,
) -> optuna.Study:
    """Open or begin the study, and queue what a kill interrupted."""
    study = optuna.create_study(
        study_name=NAME, storage=_storage(folder), direction="maximize", load_if_exists=True
    )
    described = describe_identity(model_arguments, recipe, arguments)
    described |= {"space": space, "epochs": arguments.num_train_epochs}
    identity = without_nan(described | {"max_steps": arguments.max_steps})
    before = study.user_attrs.get(IDENTITY)
    if before is None:
        study.set_user_attr(IDENTITY, identity)
    elif changed := sorted(key for key in identity if before.get(key) != identity[key]):
        raise InputError(
            f"{folder} holds a search with other settings ({', '.join(changed)}). Pass another "
            "--output_dir, or the settings it was started with."
        )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        # The lock says that nobody runs it any more.
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        logger.info("Trial %d was interrupted and is repeated.", trial.number)
        if trial.params:
            study.enqueue_trial(trial.params, user_attrs={"repeats": trial.number})
    return study


def _count_done(study: optuna.Study) -> int:
    """Count completed and pruned trials; a diverged one is done too, an interrupted one is not."""
    states = optuna.trial.TrialState
    return sum(
        trial.state in (states.COMPLETE, states.PRUNED) or "diverged" in trial.user_attrs
        for trial in study.get_trials(deepcopy=False)
    )


def _run_trials(
    count: int,
    study: optuna.Study,
    model_arguments: ModelArguments,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
    space: Space,
) -> None:
    splits = read_splits(recipe.dataset)
    # No weights are kept, so nothing is saved, by the epoch or by the clock.
    arguments.save_strategy = "no"
    arguments.load_best_model_at_end = False
    silent = dataclasses.replace(recipe, checkpoint_minutes=math.inf)
    _, processor = _build(model_arguments, recipe, {})
    first = build_ingredients(processor, splits, silent, arguments)
    metric = f"eval_{arguments.metric_for_best_model}"

    def model_of(trial: optuna.Trial | None) -> PreTrainedModel:
        chosen = split_key(suggest(trial, space)) if trial is not None else split_key({})
        if trial is not None:
            own = dataclasses.replace(silent, **chosen.recipe)
            ingredients = build_ingredients(processor, splits, own, arguments)
            trainer.train_dataset = ingredients.samples
            trainer.data_collator = ingredients.collator
            trainer.compute_loss_func = ingredients.loss
            for callback in mutable:
                trainer.remove_callback(callback)
            mutable[:] = ingredients.callbacks
            for callback in mutable:
                trainer.add_callback(callback)
            logger.info("Trial %d: %s", trial.number, _in_words(trial.params))
        return _build(model_arguments, recipe, chosen.model_args)[0]

    mutable = list(first.callbacks)
    trainer = Trainer(
        model_init=model_of,
        args=arguments,
        eval_dataset=build_eval_samples(processor, splits),
        processing_class=processor,
        compute_metrics=build_compute_metrics(),
        train_dataset=first.samples,
        data_collator=first.collator,
        compute_loss_func=first.loss,
        callbacks=list(mutable),
    )
    with out_of_memory_explained(arguments.per_device_train_batch_size):
        trainer.hyperparameter_search(
            hp_space=lambda trial: split_key(suggest(trial, space)).trainer,
            compute_objective=lambda metrics: metrics[metric],
            n_trials=count,
            direction="maximize",
            backend="optuna",
            study_name=NAME,
            storage=_storage(Path(str(arguments.output_dir))),
            load_if_exists=True,
            # Another start draws on, instead of the same again.
            sampler=optuna.samplers.TPESampler(seed=arguments.seed + len(study.trials)),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=FREE_TRIALS),
            catch=(DivergedError,),
        )


def _build(
    model_arguments: ModelArguments, recipe: RecipeArguments, model_args: dict[str, Any]
) -> tuple[PreTrainedModel, Any]:
    shared: dict[str, Any] = dict(model_arguments.model_args or {})  # type: ignore[arg-type]
    model, processor = build_model(
        model_arguments.model,
        image_size=model_arguments.image_size,
        pretrained=model_arguments.pretrained,
        init_weights=Path(model_arguments.init_weights) if model_arguments.init_weights else None,
        model_args={**shared, **model_args} or None,
    )
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)
    return model, processor


def _write_results(
    study: optuna.Study,
    folder: Path,
    model_arguments: ModelArguments,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
) -> Found:
    states = {state.name.lower(): 0 for state in optuna.trial.TrialState}
    for trial in study.get_trials(deepcopy=False):
        states[trial.state.name.lower()] += 1
    if not states["complete"]:
        raise InputError(
            f"No trial came to its end ({states['fail']} failed). The lines above say why; a lower "
            "learning rate in the space may help."
        )
    best, value = study.best_trial, float(study.best_value)
    with whole_file(folder / TRIALS) as partial:
        study.trials_dataframe().to_csv(partial, index=False)
    header = (
        f"# The best of {len(study.trials)} trials of scripts/search.py: validation "
        f"{arguments.metric_for_best_model} {value:.4f}\n"
    )
    settings = recipe_of(best.params, model_arguments, recipe, arguments)
    write_text(folder / BEST, header + yaml.safe_dump(settings, sort_keys=False))
    write_json(
        folder / RECORD,
        {
            "best": {"trial": best.number, "value": value, "settings": best.params},
            "metric": arguments.metric_for_best_model,
            "states": states,
            "identity": study.user_attrs[IDENTITY],
            "provenance": provenance(),
        },
    )
    draw_study(study, folder, metric=str(arguments.metric_for_best_model))
    return Found(folder, value, best.params, states)


def _in_words(settings: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in settings.items()
    )
