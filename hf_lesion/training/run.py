"""Training run: from arguments to a saved model, with resuming and a record."""

import contextlib
import ctypes
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from transformers import BaseImageProcessor, Trainer, TrainerCallback, set_seed

from hf_lesion.data.reader import open_splits
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.checksums import TRAINING
from hf_lesion.io.files import write_json
from hf_lesion.models.build import build_model
from hf_lesion.training.arguments import LesionTrainingArguments, ModelArguments, RecipeArguments
from hf_lesion.training.checkpoints import describe_damage, find_checkpoint, list_checkpoints
from hf_lesion.training.ema import RAW_WEIGHTS
from hf_lesion.training.figures import plot_training_curves
from hf_lesion.training.flags import describe_slow_precision
from hf_lesion.training.interruption import (
    StopCallback,
    explain_exhaustion,
    lock_folder,
    stop_by_signal,
)
from hf_lesion.training.record import (
    check_identity,
    describe_identity,
    describe_run,
    is_finished,
    read_record,
    write_identity,
)
from hf_lesion.training.trainer import build_trainer

CURVES = "curves.png"
REPORT = "report.json"
SOURCE = "dataset"  # column of the metadata of HAM10000
# Parameters of mallopt(3) in glibc's malloc.h: M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD.
KEEP_MEMORY = ((-4, 0), (-1, 2**31 - 1), (-2, 2**28))

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A finished training run: its folder and record."""

    output_dir: Path
    record: dict[str, Any]


def train(
    model_arguments: ModelArguments,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
    *,
    splits: DatasetDict | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Run:
    """Train a classifier and save it with its preprocessing, record and curves.

    `splits` are train and validation; None opens the dataset of the recipe.
    """
    # The first of several processes locks the folder for all.
    first = arguments.process_index == 0
    with lock_folder(Path(str(arguments.output_dir))) if first else contextlib.nullcontext():
        return _train(model_arguments, recipe, arguments, splits, callbacks)


def choose_checkpoint(
    output_dir: Path, arguments: LesionTrainingArguments, *, also: Sequence[str] = ()
) -> Path | None:
    """Return the checkpoint to resume from, or None to start a new run.

    `--resume_from_checkpoint true` selects the newest complete checkpoint of the run, if any.
    `also` names files that a complete checkpoint has in addition to the Trainer's.
    """
    asked = str(arguments.resume_from_checkpoint or "false")
    if asked.lower() == "true":
        newest = find_checkpoint(output_dir, also=also)
        if newest is None and (output_dir / TRAINING).exists():
            raise InputError(
                f"{output_dir} contains a finished run without a checkpoint to resume from. Pass "
                f"another --output_dir, and --model {output_dir} to start from its weights."
            )
        return newest
    if asked.lower() != "false":
        damage = describe_damage(Path(asked), also=also)
        if damage is not None:
            raise InputError(
                f"{asked} is not a complete checkpoint: {damage}. Pass true for the newest one."
            )
        return Path(asked)
    if list_checkpoints(output_dir) or (output_dir / TRAINING).exists():
        raise InputError(
            f"{output_dir} already contains a training run. Pass --resume_from_checkpoint true to "
            "resume it, or another --output_dir."
        )
    return None


def keep_freed_memory() -> bool:
    """Make the C library reuse freed memory, and return whether it has this setting.

    By default, glibc requests new pages for every large tensor and the kernel clears them. A step
    of `tf_efficientnet_lite0` (192 px, 32 images, one core) took 5.4 s that way and 3.3 s this way.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return False
    return all(mallopt(parameter, value) for parameter, value in KEEP_MEMORY)


def leave_out(splits: DatasetDict, source: str) -> DatasetDict:
    """Return the splits with a source excluded from train and validation.

    Images of the same lesions from other sources, of which HAM10000 has a few, are also excluded. A
    source that does not occur in the column `dataset` is an InputError.
    """
    chosen = ("train", "validation")
    is_known = SOURCE in splits["train"].features
    known = {name for split in chosen if is_known for name in splits[split][SOURCE]}
    if source not in known:
        raise InputError(
            f"Unknown --leave_out_source {source!r}. The sources of this dataset are "
            f"{list_offenders(sorted(filter(None, known))) or 'unknown'}."
        )
    lesions = {
        lesion
        for split in chosen
        for lesion, own in zip(splits[split]["lesion_id"], splits[split][SOURCE], strict=True)
        if own == source
    }
    kept = {
        split: [row for row, own in enumerate(splits[split]["lesion_id"]) if own not in lesions]
        for split in chosen
    }
    return DatasetDict(splits | {split: splits[split].select(rows) for split, rows in kept.items()})


def describe_start(trainer: Trainer, name: str) -> str:
    """Return a log line with the model, images, effective batch size and learning rate."""
    arguments, samples = trainer.args, trainer.train_dataset
    images = f"{len(samples.rows):,} images"
    if len(samples) != len(samples.rows):
        images += f" ({len(samples):,} samples per epoch)"
    batch, accumulated = arguments.train_batch_size, arguments.gradient_accumulation_steps
    processes = arguments.world_size
    return (
        f"Training {name} on {images}. Effective batch size {batch * accumulated * processes} "
        f"({batch} images x {accumulated} accumulated x {processes} processes), learning rate "
        f"{arguments.learning_rate:g}, {arguments.lr_scheduler_type.value} schedule."
    )


def save_run(
    output_dir: Path, trainer: Trainer, processor: BaseImageProcessor, record: dict[str, Any]
) -> None:
    """Write weights, preprocessing, curves and, last, the record of a finished run."""
    # A report on earlier weights would not match.
    (output_dir / REPORT).unlink(missing_ok=True)
    # trainer.save_model would add a pickled training_args.bin.
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(output_dir)
    processor.save_pretrained(output_dir)
    plot_training_curves(record["history"], output_dir / CURVES)
    write_json(output_dir / TRAINING, record)


def _train(
    model_arguments: ModelArguments,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
    splits: DatasetDict | None,
    callbacks: Sequence[TrainerCallback],
) -> Run:
    output_dir = Path(str(arguments.output_dir))
    also = (RAW_WEIGHTS,) if recipe.ema_decay else ()
    checkpoint = choose_checkpoint(output_dir, arguments, also=also)
    splits = splits or open_splits(Path(recipe.dataset))
    if recipe.leave_out_source is not None:
        splits = leave_out(splits, recipe.leave_out_source)
    identity = describe_identity(model_arguments, recipe, arguments)
    legs = check_identity(output_dir, identity, checkpoint)
    set_seed(arguments.seed)
    if arguments.device.type == "cpu":
        keep_freed_memory()
    model, processor = build_model(
        model_arguments.model,
        image_size=model_arguments.image_size,
        crop_mode=model_arguments.crop_mode,
        pretrained=model_arguments.pretrained,
        init_weights=Path(model_arguments.init_weights) if model_arguments.init_weights else None,
        model_args=model_arguments.model_args,  # type: ignore[arg-type]
    )
    stopper = StopCallback()
    trainer = build_trainer(
        model, processor, splits, recipe, arguments, checkpoint=checkpoint, stopper=stopper
    )
    for callback in callbacks:
        trainer.add_callback(callback)
    if trainer.is_world_process_zero():
        write_identity(output_dir, identity, legs)
        logger.info(describe_start(trainer, model_arguments.model))
        if slow := describe_slow_precision(arguments):
            logger.warning(slow)
    start = time.monotonic()
    resume = "To resume, run the same command with --resume_from_checkpoint true."
    with (
        stop_by_signal(stopper, resume),
        explain_exhaustion(output_dir, arguments.per_device_train_batch_size),
    ):
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    hours = round((time.monotonic() - start) / 3600, 4)
    if checkpoint is not None and is_finished(output_dir, trainer.state.global_step):
        return Run(output_dir, read_record(output_dir))
    record = {
        **describe_run(trainer, model_arguments, recipe, splits),
        "legs": legs,
        "hours_of_last_leg": hours,
    }
    if trainer.is_world_process_zero():
        save_run(output_dir, trainer, processor, record)
    trainer.accelerator.wait_for_everyone()
    return Run(output_dir, record)
