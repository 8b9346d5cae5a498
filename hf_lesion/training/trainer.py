"""Trainer of a run: `transformers.Trainer` with samples, loss, metrics and callbacks."""

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict
from scipy.special import softmax
from transformers import (
    BaseImageProcessor,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    ProgressCallback,
    Trainer,
    TrainerCallback,
)
from transformers.trainer_utils import IntervalStrategy

from hf_lesion.errors import InputError
from hf_lesion.evaluation.metrics import LesionMetrics
from hf_lesion.models.build import load_classifier
from hf_lesion.models.preprocessing import Preprocessing, preprocessing_of
from hf_lesion.training.arguments import LesionTrainingArguments, RecipeArguments
from hf_lesion.training.augmentation import build_train_transform, least_side
from hf_lesion.training.callbacks import ClockCallback, EpochCallback, ImagesBar
from hf_lesion.training.distillation import Teacher, TeacherCollator
from hf_lesion.training.ema import EmaCallback
from hf_lesion.training.flags import METRICS
from hf_lesion.training.interruption import DivergedError, FiniteCallback, StopCallback
from hf_lesion.training.losses import build_loss, class_weights, sampling_weights
from hf_lesion.training.samples import Collator, EvalTransform, LesionSamples, collate, seeded

TRIED_STEPS = 10  # of a schedule that is only built to see whether it can be


def build_trainer(
    model: PreTrainedModel,
    processor: BaseImageProcessor,
    splits: DatasetDict,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
    *,
    checkpoint: Path | None = None,
    stopper: StopCallback | None = None,
) -> Trainer:
    """Build the Trainer of a run, on train and validation of `splits`.

    `checkpoint` is what the run resumes from, `stopper` stops it on request.
    """
    _prepare_network(model, processor, recipe, arguments)
    preprocessing = preprocessing_of(processor)
    labels = np.asarray(splits["train"]["label"])
    samples = LesionSamples(
        splits["train"],
        build_train_transform(preprocessing, recipe.augmentation),
        seed=arguments.seed,
        weights=sampling_weights(labels, recipe.imbalance, power=recipe.sampling_power),
        taught=recipe.teacher is not None,
        mixup=recipe.mixup,
        cutmix=recipe.cutmix,
        least_side=least_side(preprocessing, recipe.augmentation),
        batch_size=arguments.train_batch_size * arguments.world_size,
        drop_last=arguments.drop_last,
    )
    collator = _build_collator(recipe, preprocessing, bf16=arguments.bf16)
    weights = class_weights(labels, recipe.imbalance)
    callbacks = _build_callbacks(samples, recipe, arguments, checkpoint, stopper)
    try:
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=samples,
            eval_dataset=LesionSamples(splits["validation"], EvalTransform(processor)),
            processing_class=processor,
            data_collator=collator,
            compute_loss_func=build_loss(
                class_weights=weights, label_smoothing=recipe.label_smoothing
            ),
            compute_metrics=_build_compute_metrics(),
            callbacks=callbacks,
        )
        # Tried here, since the Trainer makes both only when it trains.
        trainer.create_optimizer_and_scheduler(num_training_steps=TRIED_STEPS)
    except (ImportError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"Training can't start with these flags: {error}") from error
    trainer.optimizer = trainer.lr_scheduler = None
    if not arguments.disable_tqdm:
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(ImagesBar)
    return trainer


def _prepare_network(
    model: PreTrainedModel,
    processor: BaseImageProcessor,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
) -> None:
    """Check that the network supports the arguments, and set its memory format and precision."""
    if arguments.activation_checkpointing and not model.supports_gradient_checkpointing:
        raise InputError(
            f"{type(model).__name__} does not support --activation_checkpointing (or its old name, "
            "--gradient_checkpointing). Omit it, or use a timm architecture that does."
        )
    if arguments.train_batch_size == 1:
        _try_one_image(model, preprocessing_of(processor).image_size)
    if recipe.channels_last:
        # Convolutions are 1.2 to 1.4 times as fast, on CPUs and GPUs.
        model.to(memory_format=torch.channels_last)
    if (arguments.bf16 or arguments.fp16) and arguments.n_gpu <= 1:
        _evaluate_in_float32(model)


def _build_compute_metrics() -> Any:
    """Return `compute_metrics` for the Trainer: `LesionMetrics` of the softmax of the logits."""
    metrics = LesionMetrics()

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        logits = np.asarray(prediction.predictions, dtype=np.float64)
        if not np.isfinite(logits).all():
            raise DivergedError(
                "The validation logits contain NaN or infinity: the model has diverged. Pass a "
                "lower --learning_rate and another --output_dir."
            )
        probabilities = softmax(logits, axis=1)
        found = metrics.compute(predictions=probabilities, references=prediction.label_ids)
        return {name: value for name, value in found.items() if name in METRICS}

    return compute


def _try_one_image(model: PreTrainedModel, side: int) -> None:
    try:
        with torch.no_grad(), seeded(0):
            copy.deepcopy(model).train()(pixel_values=torch.zeros(1, 3, side, side))
    except ValueError as error:
        raise InputError(
            "Batch norm cannot be trained with one image per step. Pass "
            "--per_device_train_batch_size 2 or more, or a larger --image_size."
        ) from error


def _evaluate_in_float32(model: PreTrainedModel) -> None:
    """Disable autocast in evaluation, as in `pipeline()`.

    The Trainer evaluates under the autocast of training, and would select the best checkpoint by
    other values than scripts/score.py reports.
    """
    forward = model.forward

    @functools.wraps(forward)
    def in_float32_unless_training(*args: Any, **kwargs: Any) -> Any:
        device = model.device.type
        is_mixed = model.training and torch.is_autocast_enabled(device)
        with torch.autocast(device, torch.get_autocast_dtype(device), enabled=is_mixed):
            return forward(*args, **kwargs)

    model.forward = in_float32_unless_training


def _build_callbacks(
    samples: LesionSamples,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
    checkpoint: Path | None,
    stopper: StopCallback | None,
) -> list[TrainerCallback]:
    callbacks: list[TrainerCallback] = [EpochCallback(samples)]
    callbacks.append(ClockCallback(recipe.checkpoint_minutes))
    if stopper is not None:
        callbacks.append(stopper)
    callbacks.append(FiniteCallback())
    if recipe.early_stopping_patience:
        if arguments.eval_strategy == IntervalStrategy.NO:
            raise InputError("--early_stopping_patience needs --eval_strategy epoch or steps.")
        callbacks.append(EarlyStoppingCallback(recipe.early_stopping_patience))
    if recipe.ema_decay:
        # Last, since it must know whether the other callbacks request saving or evaluation.
        callbacks.append(EmaCallback(recipe.ema_decay, checkpoint))
    return callbacks


def _build_collator(recipe: RecipeArguments, student: Preprocessing, *, bf16: bool) -> Collator:
    if recipe.teacher is None:
        return collate
    teachers = []
    for folder in recipe.teacher:
        model, processor = load_classifier(folder)
        own = preprocessing_of(processor)
        temperature = recipe.teacher_temperature
        teachers.append(Teacher(model, own, student, temperature=temperature, bf16=bf16))
    return TeacherCollator(teachers, weight=recipe.teacher_weight)
