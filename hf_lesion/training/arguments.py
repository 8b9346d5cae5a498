"""What a training run can be told: dataclasses for flags, YAML recipes for whole sets of them."""

import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.models.preprocessing import CROP_MODE, CropMode
from hf_lesion.models.transforms import Augmentation
from hf_lesion.training.imbalance import Imbalance

_HELP = "scripts/train.py --help"
WATCHERS = ("tensorboard", "trackio")
CHECKPOINT_MINUTES = 10.0
TRAINER_SAVE_STEPS = 500  # TrainingArguments' own default, there where it is not used


@dataclass
class ModelArguments:
    """Which network, of what size, from which weights."""

    model: str = field(
        default="cnn",
        metadata={"help": "cnn, a timm architecture, a Hub id or the folder of a saved model."},
    )
    image_size: int | None = field(
        default=None, metadata={"help": "Side of the square input in pixels; default: the model's."}
    )
    crop_mode: CropMode = field(
        default=CROP_MODE,
        metadata={"help": "What of a frame the network sees: its centre square or all of it."},
    )
    pretrained: bool = field(
        default=False,
        metadata={"help": "Fetch ImageNet weights of a timm architecture from the Hub."},
    )
    init_weights: str | None = field(
        default=None,
        metadata={"help": "Safetensors file with weights of the timm architecture, to start from."},
    )
    model_args: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": 'JSON: fields of the CNN or timm keywords, such as {"drop_rate": 0.2}.'},
    )

    def __post_init__(self) -> None:
        if isinstance(self.model_args, str):
            try:
                self.model_args = json.loads(self.model_args)
            except ValueError as error:
                raise InputError(
                    f'--model_args takes JSON such as {{"drop_rate": 0.2}}: {error}.'
                ) from error


@dataclass
class RecipeArguments:
    """What is learned from, and how the labels are used."""

    dataset: str = field(
        default="data/ham10000", metadata={"help": "Folder that scripts/prepare_data.py wrote."}
    )
    augmentation: Augmentation = field(
        default="standard", metadata={"help": "How training images are varied."}
    )
    mixup: float = field(
        default=0.0, metadata={"help": "Alpha of mixup, such as 0.2; 0 mixes nothing."}
    )
    imbalance: Imbalance = field(
        default="none", metadata={"help": "How rare classes are given weight."}
    )
    label_smoothing: float = field(
        default=0.0, metadata={"help": "Share of each label spread over the classes, in [0, 1)."}
    )
    teacher: str | None = field(
        default=None, metadata={"help": "Folder of a trained classifier whose answers are learned."}
    )
    teacher_weight: float = field(
        default=0.7, metadata={"help": "Share of the teacher in the labels, in (0, 1]."}
    )
    ema_decay: float = field(
        default=0.0,
        metadata={"help": "Average the weights, keeping this much of the average; 0: do not."},
    )
    backbone_lr_factor: float = field(
        default=1.0,
        metadata={"help": "Learning rate of all but the last layer, as a share of the rate."},
    )
    early_stopping_patience: int = field(
        default=0, metadata={"help": "Stop after so many evaluations without a better one; 0: no."}
    )
    channels_last: bool = field(
        default=True, metadata={"help": "Keep weights in the memory order that CPUs and GPUs like."}
    )
    checkpoint_minutes: float = field(
        default=CHECKPOINT_MINUTES,
        metadata={"help": "Also save a checkpoint whenever this many minutes have passed."},
    )

    def __post_init__(self) -> None:
        _check("label_smoothing", self.label_smoothing, 0, 1, "from 0 to below 1")
        _check("ema_decay", self.ema_decay, 0, 1, "from 0 to below 1")
        _check("mixup", self.mixup, 0, math.inf, "of 0 or above")
        _check(
            "early_stopping_patience", self.early_stopping_patience, 0, math.inf, "of 0 or above"
        )
        above, up_to_one = math.nextafter(0, 1), math.nextafter(1, 2)
        _check("teacher_weight", self.teacher_weight, above, up_to_one, "above 0 and at most 1")
        _check(
            "backbone_lr_factor", self.backbone_lr_factor, above, up_to_one, "above 0 and at most 1"
        )


@dataclass
class LesionTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with defaults for this project.

    A checkpoint and an evaluation each epoch, the best by validation balanced accuracy kept.
    `--save_steps N` alone switches both to every N steps.
    """

    output_dir: str | None = field(
        default=None, metadata={"help": "Folder for the model, its record and its checkpoints."}
    )
    eval_strategy: str = field(default="epoch", metadata={"help": "no, steps or epoch."})
    save_strategy: str = field(default="epoch", metadata={"help": "no, steps, epoch or best."})
    save_steps: float | None = field(
        default=None, metadata={"help": "Save and evaluate every so many steps, not each epoch."}
    )
    eval_steps: float | None = field(
        default=None, metadata={"help": "Evaluate every so many steps; default: as often as saved."}
    )
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints to keep."})
    load_best_model_at_end: bool = field(default=True, metadata={"help": "Keep the best epoch."})
    metric_for_best_model: str | None = field(
        default="balanced_accuracy", metadata={"help": "Validation metric that decides."}
    )
    learning_rate: float = field(default=1e-3, metadata={"help": "Peak learning rate of AdamW."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Course of the rate."})
    warmup_steps: float = field(
        default=0.05, metadata={"help": "Steps of warm-up; below 1: share of all steps."}
    )
    weight_decay: float = field(default=0.05, metadata={"help": "Decoupled weight decay."})
    per_device_train_batch_size: int = field(default=32, metadata={"help": "Images per step."})
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Images per step."})
    logging_steps: float = field(default=10, metadata={"help": "Steps between two log lines."})
    project: str = field(default="hf_lesion", metadata={"help": "Name of the project in trackio."})
    push_to_hub: bool = field(
        default=False, metadata={"help": "Publish the finished model as --hub_model_id owner/name."}
    )
    # True would hide a loss that is no number behind the one before.
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Leave as it is."})
    # A torch dataset of ours, not a table: there are no columns to drop.
    remove_unused_columns: bool = field(default=False, metadata={"help": "Leave as it is."})
    # Every weight has a part in every answer; looking for others costs time in each step.
    ddp_find_unused_parameters: bool | None = field(
        default=False, metadata={"help": "Only for networks with branches that are not taken."}
    )
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata={"help": "Early stopping resumes with its counter."}
    )

    def __post_init__(self) -> None:
        if self.output_dir is None:
            raise InputError("Pass --output_dir DIR: where the model and its record are written.")
        if self.label_smoothing_factor:
            raise InputError(
                "label_smoothing_factor has no effect beside our loss: pass --label_smoothing."
            )
        if self.dataloader_persistent_workers:
            raise InputError(
                "Persistent workers would repeat the first epoch's augmentation for ever: "
                "leave --dataloader_persistent_workers out."
            )
        # The Trainer itself would upload logs and a pickled training_args.bin: scripts/train.py
        # publishes at the end instead, from a clean folder.
        self.publish = self.push_to_hub
        self.push_to_hub = False
        self._settle_save_steps()
        if not torch.accelerator.is_available():
            # Else processes that were launched together would each train alone, and say nothing.
            self.use_cpu = True
        super().__post_init__()
        _check_watchers(self.report_to)
        # Pinned memory is for copies to a GPU; without one torch only warns about it.
        if not torch.cuda.is_available():
            self.dataloader_pin_memory = False

    def _settle_save_steps(self) -> None:
        if self.save_steps is None:
            self.save_steps = TRAINER_SAVE_STEPS
        elif self.save_strategy == "epoch":
            self.save_strategy = self.eval_strategy = "steps"
            if self.eval_steps is None:
                self.eval_steps = self.save_steps


def build_parser(description: str, *more: type) -> HfArgumentParser:
    """Return the parser of all training flags, with `--config FILE` for a recipe.

    Args:
        description: What `--help` says first.
        more: Dataclasses of flags beside those of training.
    """
    parser = HfArgumentParser(
        (ModelArguments, RecipeArguments, LesionTrainingArguments, *more),
        description=description,
        allow_abbrev=False,
    )
    parser.add_argument("--config", help="YAML recipe; flags on the command line win over it.")
    parser.error = _refuse
    return parser


def parse_arguments(parser: HfArgumentParser, argv: list[str]) -> tuple[Any, ...]:
    """Parse flags over a recipe over the defaults.

    Returns:
        The dataclasses of the parser, in its order: model, recipe, training and what was added.

    Raises:
        InputError: If the recipe is missing, is no YAML mapping, or has unknown keys.
    """
    config = _config_of(argv)
    if config is not None:
        recipe = read_recipe(config)
        known = {action.dest for action in parser._actions}
        if unknown := sorted(set(recipe) - known):
            raise InputError(
                f"{config} has unknown keys: {list_offenders(unknown)}. "
                f"{_HELP} lists the known ones."
            )
        # Text is converted by the field's type: YAML reads 1e-3, without a point, as text.
        parser.set_defaults(**recipe)
    try:
        *parsed, _, unused = parser.parse_args_into_dataclasses(
            argv, look_for_args_file=False, return_remaining_strings=True
        )
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(str(error)) from error
    if unused:
        raise InputError(f"Unknown arguments: {' '.join(unused)}. {_HELP} lists the known ones.")
    return tuple(parsed)


def parse_settings(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Parse settings by the names of their flags, as `parse_arguments` does; None is left out.

    Raises:
        InputError: If a setting is unknown, or its value is not allowed.
    """
    argv: list[str] = []
    for name, value in settings.items():
        values = value if isinstance(value, list) else [value]
        words = [json.dumps(each) if isinstance(each, dict) else str(each) for each in values]
        argv += [] if value is None else [f"--{name}", *words]
    return parse_arguments(build_parser(""), argv)


def read_recipe(file: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML recipe.

    Raises:
        InputError: If it is missing, no YAML, or no mapping.
    """
    if not file.is_file():
        raise InputError(f"No recipe at {file}. Recipes are in scripts/configs/.")
    try:
        recipe = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{file} is not YAML: {error}") from error
    if not isinstance(recipe, dict):
        raise InputError(f"{file} must hold `key: value` lines, got a {type(recipe).__name__}.")
    return recipe


def _refuse(message: str) -> NoReturn:
    raise InputError(f"{message}. {_HELP} lists what is allowed.")


def _check_watchers(names: Sequence[str]) -> None:
    missing = [
        name for name in names if name in WATCHERS and importlib.util.find_spec(name) is None
    ]
    if missing:
        raise InputError(
            f"--report_to {list_offenders(missing)} needs a package that is not installed: "
            f"pip install {' '.join(missing)}, or pip install -e '.[watch]'."
        )


def _check(name: str, value: float, least: float, below: float, words: str) -> None:
    if not least <= value < below:
        raise InputError(f"Expected --{name} {words}, got {value}.")


def _config_of(argv: list[str]) -> Path | None:
    for position, word in enumerate(argv):
        if word == "--config" and position + 1 < len(argv):
            return Path(argv[position + 1])
        if word.startswith("--config="):
            return Path(word.removeprefix("--config="))
    return None
