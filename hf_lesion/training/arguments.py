"""Training arguments: dataclasses of command-line flags, and YAML recipes that set them."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.files import check_model_path
from hf_lesion.models.preprocessing import CROP_MODE, CropMode
from hf_lesion.training.augmentation import Augmentation
from hf_lesion.training.flags import (
    METRIC_SCHEDULES,
    check_metric,
    check_ranges,
    check_report_to,
    check_unsupported,
    hide_unsupported,
)
from hf_lesion.training.losses import Imbalance

_HELP = "scripts/train.py --help"
CHECKPOINT_MINUTES = 10.0
TRAINER_SAVE_STEPS = 500  # default of TrainingArguments; unused with a save strategy of epoch


def _flag(default: Any, text: str) -> Any:
    """Return a dataclass field with its `--help` text."""
    return field(default=default, metadata={"help": text})


@dataclass
class ModelArguments:
    """Network, input size and initial weights."""

    model: str = _flag("cnn", "cnn, a timm architecture, a Hub id or the folder of a saved model.")
    image_size: int | None = _flag(
        None, "Side of the square input in pixels; default: the model's."
    )
    crop_mode: CropMode = _flag(
        CROP_MODE, "How a frame is made square: centre (crop), squash or pad."
    )
    pretrained: bool = _flag(
        False, "Download ImageNet weights of a timm architecture from the Hub."
    )
    init_weights: str | None = _flag(
        None, "Safetensors file with initial weights of the timm architecture."
    )
    model_args: dict[str, Any] | str | None = _flag(
        None, 'JSON: fields of the CNN or timm keywords, such as {"drop_rate": 0.2}.'
    )

    def __post_init__(self) -> None:
        self.model_args = _parse_object("model_args", self.model_args)


@dataclass
class RecipeArguments:
    """Dataset, augmentation, labels and regularisation."""

    dataset: str = _flag("data/ham10000", "Folder written by scripts/prepare_data.py.")
    leave_out_source: str | None = _flag(
        None,
        "Exclude this source of HAM10000 (rosendahl, vidir_molemax, vidir_modern, "
        "vienna_dias) from train and validation; evaluate on it with "
        "scripts/score.py --only_source.",
    )
    augmentation: Augmentation = _flag("standard", "Augmentation of training images.")
    mixup: float = _flag(0.0, "Alpha of mixup, such as 0.2; 0 disables it.")
    cutmix: float = _flag(
        0.0, "Alpha of CutMix, such as 1; with mixup, each is used for half of the images."
    )
    imbalance: Imbalance = _flag("none", "How class imbalance is corrected.")
    sampling_power: float | None = _flag(
        None,
        "Sample classes in proportion to their size to the power of 1 - P: 0 as in the "
        "data, 0.5 for sqrt_sampler, 1 for oversample. Default: from --imbalance.",
    )
    label_smoothing: float = _flag(
        0.0, "Fraction of each label spread over the classes, in [0, 1)."
    )
    teacher: list[str] | None = _flag(
        None,
        "Distillation: folders of trained classifiers of any input size, whose mean "
        "probabilities on the augmented images are used as soft labels.",
    )
    teacher_temperature: float = _flag(
        1.0, "Divides the logits of the teachers; above 1 softens them."
    )
    teacher_weight: float = _flag(0.7, "Weight of the teachers' soft labels, in (0, 1].")
    ema_decay: float = _flag(
        0.0, "Decay of the exponential moving average of the weights; 0 disables it."
    )
    early_stopping_patience: int = _flag(
        0, "Stop after this many evaluations without improvement; 0: never."
    )
    channels_last: bool = _flag(True, "Use the channels_last memory format, which is faster.")
    checkpoint_minutes: float = _flag(
        CHECKPOINT_MINUTES, "Also save a checkpoint every this many minutes."
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass
class LesionTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with defaults for this project.

    Evaluates and saves a checkpoint every epoch, and keeps the best by validation balanced
    accuracy. `--save_steps N` alone switches both to every N steps.
    """

    output_dir: str | None = _flag(None, "Folder for the model, its record and its checkpoints.")
    eval_strategy: str = _flag("epoch", "no, steps or epoch.")
    save_strategy: str = _flag("epoch", "no, steps, epoch or best.")
    save_steps: float | None = _flag(
        None, "Save and evaluate every N steps instead of every epoch."
    )
    eval_steps: float | None = _flag(None, "Evaluate every N steps; default: --save_steps.")
    save_total_limit: int | None = _flag(2, "Number of checkpoints to keep; 0: all.")
    load_best_model_at_end: bool = _flag(True, "Keep the best checkpoint.")
    metric_for_best_model: str | None = _flag(
        "balanced_accuracy", "Validation metric that selects the best checkpoint."
    )
    lr_scheduler_kwargs: dict[str, Any] | str | None = _flag(
        None, 'JSON: options of the schedule, such as {"num_cycles": 0.4}.'
    )
    report_to: str | None = _flag("none", "Logging integrations, such as tensorboard,trackio.")
    learning_rate: float = _flag(1e-3, "Peak learning rate of AdamW.")
    lr_scheduler_type: str = _flag("cosine", "Learning rate schedule.")
    warmup_steps: float = _flag(0.05, "Warm-up steps; below 1: fraction of all steps.")
    weight_decay: float = _flag(0.05, "Decoupled weight decay.")
    per_device_train_batch_size: int = _flag(32, "Images per step.")
    per_device_eval_batch_size: int = _flag(64, "Images per step.")
    bf16: bool = _flag(
        False,
        "Run training steps and teachers under bfloat16 autocast: faster on GPUs and on CPUs "
        "with AVX-512 BF16 or AMX, much slower on others. Weights, optimiser and evaluation "
        "remain in float32.",
    )
    dataloader_drop_last: bool = _flag(False, "Drop the incomplete last batch of a training epoch.")
    logging_steps: float = _flag(10, "Steps between two log lines.")
    project: str = _flag("hf_lesion", "Name of the project in trackio.")
    push_to_hub: bool = _flag(False, "Publish the finished model as --hub_model_id owner/name.")
    # Unsupported, with these values; see hf_lesion.training.flags.
    logging_nan_inf_filter: bool = False
    remove_unused_columns: bool = False
    restore_callback_states_from_checkpoint: bool = True
    # All weights are used in every step; searching for unused ones takes time.
    ddp_find_unused_parameters: bool | None = _flag(
        False, "Only for networks with unused branches."
    )

    def __post_init__(self) -> None:
        if self.output_dir is None:
            raise InputError("Pass --output_dir DIR, the folder for the model and its record.")
        check_model_path(self.output_dir)
        check_unsupported(self)
        check_ranges(self)
        # The Trainer would upload logs and a pickled training_args.bin. scripts/train.py publishes
        # a clean folder at the end instead.
        self.publish, self.push_to_hub = self.push_to_hub, False
        # The Trainer would also drop validation images. LesionSamples drops training images only.
        self.drop_last, self.dataloader_drop_last = self.dataloader_drop_last, False
        self._settle_save_steps()
        self._check_best()
        self.lr_scheduler_kwargs = _parse_object("lr_scheduler_kwargs", self.lr_scheduler_kwargs)
        if isinstance(self.report_to, str):
            names = self.report_to.replace(" ", "").split(",")
            self.report_to = names  # type: ignore[assignment]
        if self.metric_for_best_model is not None:
            self.metric_for_best_model = self.metric_for_best_model.removeprefix("eval_")
        if not torch.accelerator.is_available():
            # Otherwise processes that were launched together would train separately.
            self.use_cpu = True
        super().__post_init__()
        # Include accelerate launch --mixed_precision.
        self.bf16, self.fp16 = (self.mixed_precision == name for name in ("bf16", "fp16"))
        if self.lr_scheduler_type in METRIC_SCHEDULES:
            mode = "max" if self.greater_is_better else "min"
            self.lr_scheduler_kwargs = {"mode": mode, **(self.lr_scheduler_kwargs or {})}
        # Pinned memory only helps copies to a GPU; without one torch warns.
        if not torch.cuda.is_available():
            self.dataloader_pin_memory = False
        check_metric(self.metric_for_best_model)
        check_report_to(list(self.report_to or ()))

    def _check_best(self) -> None:
        for name in ("eval_strategy", "save_strategy"):
            if self.load_best_model_at_end and getattr(self, name) == "no":
                raise InputError(
                    f"--{name} no leaves no best checkpoint to load at the end: pass "
                    "--load_best_model_at_end false as well."
                )

    def _settle_save_steps(self) -> None:
        if self.save_steps is None:
            self.save_steps = TRAINER_SAVE_STEPS
        elif self.save_strategy == "epoch":
            self.save_strategy = self.eval_strategy = "steps"
            if self.eval_steps is None:
                self.eval_steps = self.save_steps
        if self.eval_steps is not None and self.eval_strategy != "steps":
            raise InputError("--eval_steps needs --save_steps, or --eval_strategy steps.")


def build_parser(description: str) -> HfArgumentParser:
    """Return the parser of all training flags, with `--config FILE`."""
    parser = HfArgumentParser(
        (ModelArguments, RecipeArguments, LesionTrainingArguments),
        description=description,
        allow_abbrev=False,
        exit_on_error=False,
    )
    hide_unsupported(parser)
    parser.add_argument("--config", help="YAML recipe; command-line flags take precedence.")
    parser.error = _raise_input_error
    return parser


def parse_arguments(parser: HfArgumentParser, argv: list[str]) -> tuple[Any, ...]:
    """Parse the command line; flags take precedence over the recipe, and the recipe over defaults.

    Returns the dataclasses of the model, the recipe and the training.
    """
    config = _find_config(argv)
    try:
        *parsed, _, unused = parser.parse_args_into_dataclasses(
            [*_recipe_flags(config, parser), *argv] if config else argv,
            look_for_args_file=False,
            return_remaining_strings=True,
        )
    except InputError:
        raise
    except (ValueError, OSError, argparse.ArgumentError) as error:
        raise InputError(str(error)) from error
    if unused:
        raise InputError(f"Unknown arguments: {' '.join(unused)}. See {_HELP}.")
    return tuple(parsed)


def parse_settings(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Parse settings by flag name, as `parse_arguments` does; None stands for the default."""
    parser = build_parser("")
    return parse_arguments(parser, _as_flags(settings, parser))


def read_recipe(file: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML recipe."""
    if not file.is_file():
        raise InputError(f"Recipe {file} not found. Recipes are in scripts/configs/.")
    try:
        recipe = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{file} is not YAML: {error}") from error
    if not isinstance(recipe, dict):
        raise InputError(f"Expected `key: value` lines in {file}, got a {type(recipe).__name__}.")
    return recipe


def _raise_input_error(message: str) -> NoReturn:
    raise InputError(f"{message}. See {_HELP}.")


def _parse_object(name: str, value: dict[str, Any] | str | None) -> dict[str, Any] | None:
    """Return the JSON object of a flag as a dictionary."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise InputError(
                f'Expected JSON such as {{"drop_rate": 0.2}} for --{name}: {error}.'
            ) from error
    if value is not None and not isinstance(value, dict):
        raise InputError(f"Expected a JSON object for --{name}, got {value!r}.")
    return value


def _recipe_flags(config: Path, parser: HfArgumentParser) -> list[str]:
    """Return a recipe as flags, so that the parser validates it."""
    recipe = read_recipe(config)
    known = {action.dest for action in parser._actions}
    if unknown := sorted(set(map(str, recipe)) - known):
        raise InputError(f"{config} has unknown keys: {list_offenders(unknown)}. See {_HELP}.")
    return _as_flags(recipe, parser)


def _as_flags(settings: Mapping[str, Any], parser: HfArgumentParser) -> list[str]:
    takes_several = {action.dest for action in parser._actions if action.nargs == "+"}
    words: list[str] = []
    for name, value in settings.items():
        if isinstance(value, list) and name in takes_several:
            words += [f"--{name}", *map(str, value)]
        elif value is not None:
            is_nested = isinstance(value, dict | list)
            words.append(f"--{name}={json.dumps(value) if is_nested else value}")
    return words


def _find_config(argv: list[str]) -> Path | None:
    for position, word in enumerate(argv):
        if word == "--config" and position + 1 < len(argv):
            return Path(argv[position + 1])
        if word.startswith("--config="):
            return Path(word.removeprefix("--config="))
    return None
