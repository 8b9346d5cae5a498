"""Records of a run: `run.json`, written at the start, and `training.json`, written at the end."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from transformers import Trainer

from hf_lesion.data.record import read_fingerprint, read_split_sum
from hf_lesion.data.record import read_record as read_prepared
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.checksums import TRAINING
from hf_lesion.io.files import read_json, without_nan, write_json
from hf_lesion.io.provenance import provenance
from hf_lesion.synthetic.dataset import is_synthetic
from hf_lesion.training.arguments import LesionTrainingArguments, ModelArguments, RecipeArguments

RUN = "run.json"
ALWAYS_SHOWN = ("learning_rate", "per_device_train_batch_size", "num_train_epochs")
# Entry that lists the averaged checkpoints.
AVERAGED = "averaged"
# Entries that are copied from the records of initial models and teachers.
LINEAGE = (
    "architecture",
    "model",
    "recipe",
    "seed",
    "dataset",
    "epochs",
    "steps",
    "best_metric",
    "provenance",
    "started_from",
    "taught_by",
    AVERAGED,
)
# Settings that do not affect the result.
FREE = ("checkpoint_minutes", "dataset")
# Settings of the Trainer that must not change when a run is resumed. The length of the run may
# change.
BINDING = (
    "seed",
    "data_seed",
    "learning_rate",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "optim",
    "weight_decay",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "world_size",
    "bf16",
    "fp16",
)


def describe_identity(
    model_arguments: ModelArguments, recipe: RecipeArguments, arguments: LesionTrainingArguments
) -> dict[str, Any]:
    """Return the settings that must not change when a run is resumed."""
    return {
        "data": read_fingerprint(Path(recipe.dataset)),
        **vars(model_arguments),
        **{key: value for key, value in vars(recipe).items() if key not in FREE},
        **{key: _plain(getattr(arguments, key)) for key in BINDING},
        "dataloader_drop_last": arguments.drop_last,
    }


def check_identity(
    output_dir: Path, identity: dict[str, Any], checkpoint: Path | None
) -> list[dict[str, Any]]:
    """Return the legs of the run, including this one; a leg is one start of the script.

    Settings that differ from those of the checkpoint are an InputError.
    """
    leg = {"from": None if checkpoint is None else checkpoint.name, **provenance()}
    file = output_dir / RUN
    if checkpoint is None or not file.is_file():
        return [leg]
    before = read_json(file, fix="Start a new run in another --output_dir.")
    now = without_nan(identity)
    # Runs of earlier versions lack some settings; frames were squashed before --crop_mode.
    kinds = (ModelArguments, RecipeArguments)
    defaults = {field.name: field.default for kind in kinds for field in dataclasses.fields(kind)}
    then = {**defaults, "crop_mode": "squash", **before["identity"]}
    differing = [
        f"{key} was {then[key]!r} and is {value!r}"
        for key, value in now.items()
        if key in then and then[key] != value
    ]
    if differing:
        raise InputError(
            f"{checkpoint} has other settings: {list_offenders(differing, 3)}. Resume with the "
            "original settings, or start a new run in another --output_dir."
        )
    return [*before["legs"], leg]


def write_identity(output_dir: Path, identity: dict[str, Any], legs: list[dict[str, Any]]) -> None:
    """Write `run.json`, with which a resumed run is compared."""
    write_json(output_dir / RUN, {"identity": identity, "legs": legs})


def is_finished(output_dir: Path, steps: int) -> bool:
    """Return whether the record in this folder already covers these steps."""
    return (output_dir / TRAINING).is_file() and read_record(output_dir)["steps"] >= steps


def read_record(output_dir: Path) -> dict[str, Any]:
    """Return the record of a finished run."""
    return read_json(output_dir / TRAINING, fix="Train the model again.")


def describe_run(
    trainer: Trainer, model_arguments: ModelArguments, recipe: RecipeArguments, splits: DatasetDict
) -> dict[str, Any]:
    """Return the record of a run: settings, data, versions and history."""
    state, config = trainer.state, trainer.model.config
    prepared = read_prepared(Path(recipe.dataset))
    return {
        "architecture": getattr(config, "architecture", None) or config.model_type,
        "model": vars(model_arguments),
        "recipe": vars(recipe),
        "trainer": _readable(trainer.args),
        "seed": trainer.args.seed,
        "dataset": {
            "folder": recipe.dataset,
            "description": prepared.get("description"),
            "fingerprint": prepared["fingerprint"],
            "splits_sha256": read_split_sum(Path(recipe.dataset)),
            "synthetic": is_synthetic(splits["train"]["image_id"]),
            "images": {name: len(split) for name, split in splits.items()},
            "samples_per_epoch": len(trainer.train_dataset),
        },
        "parameters": trainer.model.num_parameters(),
        "effective_batch_size": trainer.args.train_batch_size
        * trainer.args.gradient_accumulation_steps
        * trainer.args.world_size,
        "device": str(trainer.args.device),
        "processes": trainer.args.world_size,
        "steps": state.global_step,
        "epochs": state.epoch,
        "best_step": state.best_global_step,
        "best_metric": {"name": trainer.args.metric_for_best_model, "value": state.best_metric},
        "history": state.log_history,
        "provenance": provenance(),
        "started_from": read_lineage(model_arguments.model),
        "taught_by": read_teachers(recipe.teacher),
    }


def read_teachers(folders: Sequence[str] | None) -> dict[str, Any] | list[Any] | None:
    """Return the lineage of one teacher, or a list for several."""
    found = [read_lineage(folder) for folder in folders or ()]
    return found if len(found) > 1 else found[0] if found else None


def read_lineage(source: str | None) -> dict[str, Any] | None:
    """Return the main entries of the record of an initial model or a teacher.

    None if `source`, a model folder or the name of an architecture, has no record.
    """
    if source is None or not (Path(source) / TRAINING).is_file():
        return None
    record = read_record(Path(source))
    return {key: record[key] for key in LINEAGE if key in record}


def _readable(arguments: LesionTrainingArguments) -> dict[str, Any]:
    """Return the settings that differ from their defaults, and the most important ones.

    Defaults are taken from the fields, since a second instance would reset the state of accelerate.
    """
    values = arguments.to_dict()
    return {
        field.name: values.get(field.name)
        for field in dataclasses.fields(arguments)
        if field.name in ALWAYS_SHOWN
        or _plain(getattr(arguments, field.name)) != _plain(field.default)
    }


def _plain(value: Any) -> Any:
    """Return the value of an enumeration member, and anything else unchanged."""
    return getattr(value, "value", value)
