"""Wires model, samples, loss and metrics up with `transformers.Trainer`, and records the run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict, load_dataset
from scipy.special import softmax
from transformers import (
    BaseImageProcessor,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    set_seed,
)

from hf_lesion.data.dataset import read_fingerprint
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.evaluation.metrics import LesionMetrics
from hf_lesion.files import write_json
from hf_lesion.labels import CODES
from hf_lesion.models.build import build_model, load_classifier
from hf_lesion.models.preprocessing import preprocessing_of
from hf_lesion.models.transforms import build_train_transform, least_side
from hf_lesion.training.arguments import LesionTrainingArguments, ModelArguments, RecipeArguments
from hf_lesion.training.callbacks import ClockCallback, EpochCallback
from hf_lesion.training.checkpoints import describe_damage, find_checkpoint, list_checkpoints
from hf_lesion.training.ema import RAW_WEIGHTS, EmaCallback
from hf_lesion.training.figures import draw_curves
from hf_lesion.training.imbalance import class_weights, sampling_weights
from hf_lesion.training.loss import build_loss
from hf_lesion.training.optimizer import build_optimizer
from hf_lesion.training.record import (
    RECORD,
    check_identity,
    describe_identity,
    describe_run,
    is_finished,
    read_record,
    write_identity,
)
from hf_lesion.training.samples import Collator, EvalTransform, LesionSamples, collate
from hf_lesion.training.teacher import TeacherCollator

CURVES = "curves.png"
REPORT = "report.json"
COPY = "copy"
# Of all metrics, those that are worth a log line each epoch.
WATCHED = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")


@dataclass(frozen=True)
class Run:
    """A finished training run: where it lies and what its record says."""

    output_dir: Path
    record: dict[str, Any]


def train(
    model_arguments: ModelArguments, recipe: RecipeArguments, arguments: LesionTrainingArguments
) -> Run:
    """Train a classifier and save it with its preprocessing, record and curves.

    Args:
        model_arguments: Which network, from which weights.
        recipe: What is learned from.
        arguments: The Trainer's own settings.

    Raises:
        InputError: If an argument does not fit the data, the weights or the output folder.
    """
    output_dir = Path(str(arguments.output_dir))
    also = (RAW_WEIGHTS,) if recipe.ema_decay else ()
    checkpoint = choose_checkpoint(output_dir, arguments, also=also)
    splits = read_splits(recipe.dataset)
    identity = describe_identity(model_arguments, recipe, arguments)
    legs = check_identity(output_dir, identity, checkpoint)
    set_seed(arguments.seed)
    model, processor = build_model(
        model_arguments.model,
        image_size=model_arguments.image_size,
        pretrained=model_arguments.pretrained,
        init_weights=Path(model_arguments.init_weights) if model_arguments.init_weights else None,
        model_args=model_arguments.model_args,  # type: ignore[arg-type]
    )
    trainer = build_trainer(model, processor, splits, recipe, arguments, checkpoint=checkpoint)
    if trainer.is_world_process_zero():
        write_identity(output_dir, identity, legs)
    start = time.monotonic()
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


def choose_checkpoint(
    output_dir: Path, arguments: LesionTrainingArguments, *, also: Sequence[str] = ()
) -> Path | None:
    """Return the checkpoint to resume from, or None for a fresh start.

    `--resume_from_checkpoint true` takes the newest whole one of the run, and starts afresh where
    there is none.

    Args:
        output_dir: The run's folder.
        arguments: Say whether to resume.
        also: Files that a whole checkpoint has beside the Trainer's own.

    Raises:
        InputError: If the folder holds another run, or the named checkpoint is missing.
    """
    asked = str(arguments.resume_from_checkpoint or "false")
    if asked.lower() == "true":
        newest = find_checkpoint(output_dir, also=also)
        if newest is None and (output_dir / RECORD).exists():
            raise InputError(
                f"{output_dir} holds a finished run without a checkpoint to go on from. Pass "
                f"another --output_dir, and --model {output_dir} to start from its weights."
            )
        return newest
    if asked.lower() != "false":
        damage = describe_damage(Path(asked), also=also)
        if damage is not None:
            raise InputError(
                f"{asked} is no whole checkpoint: {damage}. Pass true for the newest of the run."
            )
        return Path(asked)
    if list_checkpoints(output_dir) or (output_dir / RECORD).exists():
        raise InputError(
            f"{output_dir} holds a training run. Pass --resume_from_checkpoint true to go on with "
            "it, or another --output_dir."
        )
    return None


def read_splits(folder: str) -> DatasetDict:
    """Load a prepared dataset's splits.

    Raises:
        InputError: If the folder is none, lacks a split, or its labels differ from ours.
    """
    read_fingerprint(Path(folder))
    splits = load_dataset(folder)
    if missing := [split for split in ("train", "validation") if split not in splits]:
        raise InputError(
            f"{folder} has no split {list_offenders(missing)}. "
            "Prepare it again with scripts/prepare_data.py."
        )
    names = tuple(splits["train"].features["label"].names)
    if names != CODES:
        raise InputError(
            f"{folder} has the labels {list_offenders(names, 7)}; expected "
            f"{list_offenders(CODES, 7)}. Prepare it again with scripts/prepare_data.py."
        )
    return splits


def build_trainer(
    model: PreTrainedModel,
    processor: BaseImageProcessor,
    splits: DatasetDict,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
    *,
    checkpoint: Path | None = None,
) -> Trainer:
    """Build the Trainer with our samples, loss, metrics, optimiser and callbacks.

    Args:
        model: A classifier.
        processor: Its image processor.
        splits: With train and validation.
        recipe: What is learned from.
        arguments: The Trainer's own settings.
        checkpoint: What the run will resume from, or None.
    """
    if recipe.channels_last:
        # Convolutions run 1.2 to 1.4 times as fast so, on CPUs as on GPUs.
        model.to(memory_format=torch.channels_last)
    preprocessing = preprocessing_of(processor)
    labels = np.asarray(splits["train"]["label"])
    has_copies = recipe.balance_copies and COPY in splits["train"].column_names
    copies = np.asarray(splits["train"][COPY]) if has_copies else None
    samples = LesionSamples(
        splits["train"],
        build_train_transform(preprocessing, recipe.augmentation),
        seed=arguments.seed,
        weights=sampling_weights(labels, recipe.imbalance, copies=copies),
        taught=recipe.teacher is not None,
        mixup=recipe.mixup,
        least_side=least_side(preprocessing, recipe.augmentation),
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=samples,
        eval_dataset=LesionSamples(splits["validation"], EvalTransform(processor)),
        data_collator=_build_collator(recipe, processor),
        processing_class=processor,
        compute_loss_func=build_loss(
            class_weights=class_weights(labels, recipe.imbalance),
            label_smoothing=recipe.label_smoothing,
        ),
        compute_metrics=build_compute_metrics(),
        callbacks=_build_callbacks(samples, recipe, checkpoint),
    )
    if recipe.backbone_lr_factor != 1:
        trainer.optimizer = build_optimizer(trainer, recipe.backbone_lr_factor)
    return trainer


def build_compute_metrics() -> Any:
    """Return the Trainer's `compute_metrics`: our local metric on softmaxed logits."""
    metrics = LesionMetrics()

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        probabilities = softmax(np.asarray(prediction.predictions, dtype=np.float64), axis=1)
        found = metrics.compute(predictions=probabilities, references=prediction.label_ids)
        return {
            name: value
            for name, value in found.items()
            if name in WATCHED or name.startswith("sensitivity")
        }

    return compute


def save_run(
    output_dir: Path, trainer: Trainer, processor: BaseImageProcessor, record: dict[str, Any]
) -> None:
    """Write weights, preprocessing, curves and, last, the record that says the run is finished."""
    # A report of earlier weights would be taken for one of these.
    (output_dir / REPORT).unlink(missing_ok=True)
    # Not trainer.save_model: it adds a pickled training_args.bin.
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(output_dir)
    processor.save_pretrained(output_dir)
    draw_curves(record["history"], output_dir / CURVES)
    write_json(output_dir / RECORD, record)


def _build_callbacks(
    samples: LesionSamples, recipe: RecipeArguments, checkpoint: Path | None
) -> list[TrainerCallback]:
    callbacks: list[TrainerCallback] = [EpochCallback(samples)]
    callbacks.append(ClockCallback(recipe.checkpoint_minutes))
    if recipe.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(recipe.early_stopping_patience))
    if recipe.ema_decay:
        # The last: it must know of every wish to save or evaluate.
        callbacks.append(EmaCallback(recipe.ema_decay, checkpoint))
    return callbacks


def _build_collator(recipe: RecipeArguments, processor: BaseImageProcessor) -> Collator:
    if recipe.teacher is None:
        return collate
    teacher, teacher_processor = load_classifier(recipe.teacher)
    return TeacherCollator(
        teacher,
        preprocessing_of(teacher_processor),
        preprocessing_of(processor),
        weight=recipe.teacher_weight,
    )
