"""Hyperparameter search: an Optuna study on disk whose trials are training runs.

Source: Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework" (KDD 2019).
"""

import logging
import math
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import optuna
import yaml
from matplotlib import pyplot
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from optuna.visualization import matplotlib as plots
from transformers import TrainerCallback

from hf_lesion.errors import InputError, StoppedError
from hf_lesion.io.files import whole_file, without_nan, write_json, write_text
from hf_lesion.io.provenance import provenance
from hf_lesion.training.arguments import parse_settings, read_recipe
from hf_lesion.training.interruption import DivergedError, lock_folder
from hf_lesion.training.record import describe_identity
from hf_lesion.training.run import train

Settings = Mapping[str, Any]
Space = dict[str, Any]  # Optuna distributions by setting
# Trials save no weights; the best recipe is trained again with scripts/train.py.
UNSAVED = {"save_strategy": "no", "load_best_model_at_end": False, "checkpoint_minutes": math.inf}
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
UNPRUNED = 4  # trials that run to the end before pruning starts
logger = logging.getLogger(__name__)


def read_space(file: Path) -> Space:
    """Read the search space: for each setting a list of choices or a range {low, high}."""
    space: Space = {}
    for key, entry in read_recipe(file).items():
        try:
            if isinstance(entry, list):
                space[key] = CategoricalDistribution(entry)
                continue
            # YAML parses 1e-3, without a decimal point, as text.
            ends: dict[str, Any] = {
                name: float(v) if isinstance(v, str) else v for name, v in entry.items()
            }
            whole = isinstance(ends["low"], int) and isinstance(ends["high"], int)
            space[key] = (IntDistribution if whole else FloatDistribution)(**ends)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{file}: expected {key} to be a list of choices or a range such as "
                f"{{low: 1e-4, high: 1e-2, log: true}} or {{low: 0, high: 1, step: 0.1}}, got "
                f"{entry!r}."
            ) from error
    if not space:
        raise InputError(f"{file} contains no settings to vary.")
    return space


def merge_settings(settings: Settings, chosen: Settings) -> dict[str, Any]:
    """Return settings updated with those of a trial; `model_args.NAME` updates `model_args`."""
    merged = dict(settings)
    for key, value in chosen.items():
        group, _, name = key.partition(".")
        merged[group] = {**(merged.get(group) or {}), name: value} if name else value
    return merged


def search(settings: Settings, space: Space, trials: int) -> optuna.Study:
    """Run the remaining trials of a study; write its plots, table, record and best recipe.

    An interrupted trial is repeated with the same settings. The value of a trial is its best
    evaluation, since scripts/train.py keeps the best checkpoint; unpromising trials are pruned.
    `settings`, by flag of scripts/train.py, are those of all trials; `output_dir` is the folder of
    the study, `trials` the total number.
    """
    model, recipe, training = parse_settings(settings)
    if training.world_size > 1 or training.publish or training.eval_strategy == "no":
        raise InputError(
            "A search runs in a single process, needs evaluations and does not publish: start it "
            "with `python scripts/search.py`, without --eval_strategy and --push_to_hub."
        )
    for key, entry in space.items():
        for value in getattr(entry, "choices", None) or (entry.low, entry.high):
            parse_settings(merge_settings(settings, {key: value}))
    folder, metric = Path(training.output_dir), training.metric_for_best_model
    identity = {
        **describe_identity(model, recipe, training),
        **{key: getattr(training, key) for key in ("num_train_epochs", "max_steps")},
        "space": {key: str(entry) for key, entry in space.items()},
    }
    with lock_folder(folder):
        study = _open_study(folder, without_nan(identity), training.greater_is_better)
        # A resumed search must not repeat the samples of the first trials.
        study.sampler = optuna.samplers.TPESampler(seed=training.seed + len(study.trials))
        while sum(trial.state in DONE for trial in study.trials) < trials:
            _run_trial(study, study.ask(space), settings, folder / "trial")
        _write_results(study, settings, folder, metric)
    return study


def _open_study(folder: Path, identity: dict[str, Any], maximise: bool) -> optuna.Study:
    """Open or create the study, and enqueue interrupted trials."""
    study = optuna.create_study(
        study_name="search",
        # Quoted, since "?" and "%41" in a path have a meaning in a URL.
        storage=f"sqlite:///{quote(str((folder / 'study.sqlite3').resolve()))}",
        direction="maximize" if maximise else "minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED),
        load_if_exists=True,
    )
    before = study.user_attrs.get("identity", identity)
    if changed := sorted(key for key in identity if before.get(key) != identity[key]):
        raise InputError(
            f"{folder} contains a search with other settings ({', '.join(changed)}). Pass another "
            "--output_dir, or the original settings."
        )
    study.set_user_attr("identity", identity)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def _run_trial(study: optuna.Study, trial: optuna.Trial, settings: Settings, scratch: Path) -> None:
    """Train with the settings of a trial; an interrupted trial remains marked as running."""

    class Pruning(TrainerCallback):
        def on_evaluate(self, args: Any, *_: Any, metrics: dict[str, float], **__: Any) -> None:
            values.append(metrics[f"eval_{args.metric_for_best_model}"])
            trial.report(values[-1], len(values))
            if trial.should_prune():
                raise optuna.TrialPruned

    values: list[float] = []
    shutil.rmtree(scratch, ignore_errors=True)
    logger.info("Trial %d: %s", trial.number, trial.params)
    own = {**merge_settings(settings, trial.params), **UNSAVED, "output_dir": scratch}
    try:
        run = train(*parse_settings(own), callbacks=[Pruning()])
        study.tell(trial, run.record["best_metric"]["value"])
    except (optuna.TrialPruned, DivergedError):
        study.tell(trial, state=TrialState.PRUNED)
    except StoppedError as stop:
        raise StoppedError(
            "stopped. To resume the search, run the same command.", stop.code
        ) from stop
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_results(study: optuna.Study, settings: Settings, folder: Path, metric: str) -> None:
    completed = study.get_trials(states=(TrialState.COMPLETE,))
    if not completed:
        raise InputError("No trial was completed. Pass more --trials, or lower learning rates.")
    best = study.best_trial
    with whole_file(folder / "trials.csv") as partial:
        study.trials_dataframe().to_csv(partial, index=False)
    recipe = merge_settings(settings, best.params)
    del recipe["output_dir"]
    header = f"# Best of {len(study.trials)} trials: validation {metric} {best.value:.4f}\n"
    write_text(folder / "best.yaml", header + yaml.safe_dump(recipe, sort_keys=False))
    found = {"metric": metric, "value": best.value, "trial": best.number, "settings": best.params}
    record = {"best": found, **study.user_attrs, "provenance": provenance()}
    write_json(folder / "search.json", record)
    functions: list[Any] = [
        plots.plot_optimization_history,
        plots.plot_slice,
        plots.plot_intermediate_values,
    ]
    if len({trial.value for trial in completed}) > 1:  # these compare trials
        functions += [plots.plot_parallel_coordinate, plots.plot_param_importances]
    for plot in functions:
        # Optuna warns that these plots are experimental, and changes the global style.
        with warnings.catch_warnings(action="ignore"), pyplot.style.context("default"):
            figure = np.ravel(plot(study))[0].figure
            figure.set_size_inches(14, 5)
            with whole_file(folder / f"{plot.__name__.removeprefix('plot_')}.png") as partial:
                figure.savefig(partial, dpi=100, bbox_inches="tight")
            pyplot.close(figure)
