"""The `transformers.Trainer` of a run: model, samples, loss, metrics and callbacks wired up."""

import copy
import functools
from dataclasses import dataclass
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
from hf_lesion.models.preprocessing import preprocessing_of
from hf_lesion.training.arguments import LesionTrainingArguments, RecipeArguments
from hf_lesion.training.augmentation import build_train_transform, least_side
from hf_lesion.training.callbacks import ClockCallback, EpochCallback, ImagesBar
from hf_lesion.training.ema import EmaCallback
from hf_lesion.training.flags import METRICS
from hf_lesion.training.imbalance import class_weights, sampling_weights
from hf_lesion.training.loss import LossFunction, build_loss
from hf_lesion.training.samples import Collator, EvalTransform, LesionSamples, collate, seeded
from hf_lesion.training.stopping import DivergedError, FiniteCallback, StopCallback
from hf_lesion.training.teacher import Teacher, TeacherCollator


@dataclass(frozen=True)
class Ingredients:
    """What a recipe decides of a Trainer.

    Attributes:
        samples: The training set.
        collator: Makes batches of them, with a teacher's or mixed labels.
        loss: The Trainer's `compute_loss_func`.
        callbacks: What happens beside the steps.
    """

    samples: LesionSamples
    collator: Collator
    loss: LossFunction
    callbacks: list[TrainerCallback]


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
    """Build the Trainer with our samples, loss, metrics, optimiser and callbacks.

    Args:
        model: A classifier.
        processor: Its image processor.
        splits: With train and validation.
        recipe: What is learned from.
        arguments: The Trainer's own settings.
        checkpoint: What the run will resume from, or None.
        stopper: Ends the run when it is asked to, or None.
    """
    prepare_network(model, processor, recipe, arguments)
    ingredients = build_ingredients(
        processor, splits, recipe, arguments, checkpoint=checkpoint, stopper=stopper
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        eval_dataset=build_eval_samples(processor, splits),
        processing_class=processor,
        compute_metrics=build_compute_metrics(),
        train_dataset=ingredients.samples,
        data_collator=ingredients.collator,
        compute_loss_func=ingredients.loss,
        callbacks=ingredients.callbacks,
    )
    if not arguments.disable_tqdm:
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(ImagesBar)
    return trainer


def prepare_network(
    model: PreTrainedModel,
    processor: BaseImageProcessor,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
) -> None:
    """Check that a network can be trained as the arguments say, and set its memory order.

    Args:
        model: A classifier.
        processor: Its image processor.
        recipe: Says in which memory order.
        arguments: The Trainer's own settings.

    Raises:
        InputError: If activation checkpointing or a batch of one is asked of a network that has
            no way to do it.
    """
    if arguments.activation_checkpointing and not model.supports_gradient_checkpointing:
        raise InputError(
            f"{type(model).__name__} does not support --activation_checkpointing (or its old name, "
            "--gradient_checkpointing): leave it out, or choose a timm architecture that does."
        )
    if arguments.train_batch_size == 1:
        _try_one_image(model, preprocessing_of(processor).image_size)
    if recipe.channels_last:
        # Convolutions run 1.2 to 1.4 times as fast so, on CPUs as on GPUs.
        model.to(memory_format=torch.channels_last)
    if (arguments.bf16 or arguments.fp16) and arguments.n_gpu <= 1:
        _evaluate_in_float32(model)


def build_ingredients(
    processor: BaseImageProcessor,
    splits: DatasetDict,
    recipe: RecipeArguments,
    arguments: LesionTrainingArguments,
    *,
    checkpoint: Path | None = None,
    stopper: StopCallback | None = None,
) -> Ingredients:
    """Build what a recipe decides: samples, labels, loss and what happens beside the steps.

    Args:
        processor: The model's image processor.
        splits: With train.
        recipe: What is learned from.
        arguments: Their seed is the samples'.
        checkpoint: What the run will resume from, or None.
        stopper: Ends the run when it is asked to, or None.
    """
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
    loss = build_loss(
        class_weights=class_weights(labels, recipe.imbalance),
        label_smoothing=recipe.label_smoothing,
    )
    return Ingredients(
        samples,
        _build_collator(recipe, processor, bf16=arguments.bf16),
        loss,
        _build_callbacks(samples, recipe, arguments, checkpoint, stopper),
    )


def build_eval_samples(processor: BaseImageProcessor, splits: DatasetDict) -> LesionSamples:
    """Build the validation samples, prepared as at prediction."""
    return LesionSamples(splits["validation"], EvalTransform(processor))


def build_compute_metrics() -> Any:
    """Return the Trainer's `compute_metrics`: our local metric on softmaxed logits."""
    metrics = LesionMetrics()

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        logits = np.asarray(prediction.predictions, dtype=np.float64)
        if not np.isfinite(logits).all():
            raise DivergedError(
                "Answers to validation images are no numbers: the model has diverged. Pass a lower "
                "--learning_rate, in another --output_dir."
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
            "Batch norm can't be trained on one image at a time: pass "
            "--per_device_train_batch_size 2 or more, or a larger --image_size."
        ) from error


def _evaluate_in_float32(model: PreTrainedModel) -> None:
    """Have a network leave autocast when it is evaluated, as `pipeline()` will.

    The Trainer evaluates under the autocast of training, and would choose the best checkpoint by
    other numbers than scripts/score.py gives.
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
        # The last: it must know of every wish to save or evaluate.
        callbacks.append(EmaCallback(recipe.ema_decay, checkpoint))
    return callbacks


def _build_collator(
    recipe: RecipeArguments, processor: BaseImageProcessor, *, bf16: bool
) -> Collator:
    if recipe.teacher is None:
        return collate
    teachers = []
    for folder in recipe.teacher:
        model, own = load_classifier(folder)
        teachers.append(
            Teacher(
                model,
                preprocessing_of(own),
                preprocessing_of(processor),
                temperature=recipe.teacher_temperature,
                bf16=bf16,
            )
        )
    return TeacherCollator(teachers, weight=recipe.teacher_weight)
