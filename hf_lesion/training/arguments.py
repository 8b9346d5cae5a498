"""Arguments of a training run: dataclasses of flags, and YAML recipes for whole sets of them."""

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
    check_ranges,
    check_refused,
    check_together,
    hide_refused,
)
from hf_lesion.training.imbalance import Imbalance

_HELP = "scripts/train.py --help"
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
        self.model_args = _read_object("model_args", self.model_args)


@dataclass
class RecipeArguments:
    """What is learned from, and how the labels are used."""

    dataset: str = field(
        default="data/ham10000", metadata={"help": "Folder that scripts/prepare_data.py wrote."}
    )
    leave_out_source: str | None = field(
        default=None,
        metadata={
            "help": "Train and validate without this source of HAM10000 (rosendahl, vidir_molemax, "
            "vidir_modern, vienna_dias), so that scripts/score.py --only_source can measure on it."
        },
    )
    augmentation: Augmentation = field(
        default="standard", metadata={"help": "How training images are varied."}
    )
    mixup: float = field(
        default=0.0, metadata={"help": "Alpha of mixup, such as 0.2; 0 mixes nothing."}
    )
    cutmix: float = field(
        default=0.0,
        metadata={"help": "Alpha of CutMix, such as 1; with mixup, each gets half of the images."},
    )
    imbalance: Imbalance = field(
        default="none", metadata={"help": "How rare classes are given weight."}
    )
    sampling_power: float | None = field(
        default=None,
        metadata={
            "help": "Draw classes as often as their size to the power of 1 - P: 0 as in the data, "
            "0.5 for sqrt_sampler, 1 for oversample. Default: as --imbalance says."
        },
    )
    label_smoothing: float = field(
        default=0.0, metadata={"help": "Share of each label spread over the classes, in [0, 1)."}
    )
    teacher: list[str] | None = field(
        default=None,
        metadata={
            "help": "Folders of trained classifiers, of any input size: the mean of their answers "
            "to the student's own views is learned."
        },
    )
    teacher_temperature: float = field(
        default=1.0, metadata={"help": "Divides the teachers' logits; above 1 softens them."}
    )
    teacher_weight: float = field(
        default=0.7, metadata={"help": "Share of the teacher in the labels, in (0, 1]."}
    )
    ema_decay: float = field(
        default=0.0,
        metadata={"help": "Average the weights, keeping this much of the average; 0: do not."},
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
        check_ranges(self)


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
    save_total_limit: int | None = field(
        default=2, metadata={"help": "Checkpoints to keep; 0: all."}
    )
    load_best_model_at_end: bool = field(default=True, metadata={"help": "Keep the best epoch."})
    metric_for_best_model: str | None = field(
        default="balanced_accuracy", metadata={"help": "Validation metric that decides."}
    )
    lr_scheduler_kwargs: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": 'JSON: options of the schedule, such as {"num_cycles": 0.4}.'},
    )
    report_to: str | None = field(
        default="none",
        metadata={"help": "Where losses and scores are logged, such as tensorboard,trackio."},
    )
    learning_rate: float = field(default=1e-3, metadata={"help": "Peak learning rate of AdamW."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning rate schedule."})
    warmup_steps: float = field(
        default=0.05, metadata={"help": "Steps of warm-up; below 1: share of all steps."}
    )
    weight_decay: float = field(default=0.05, metadata={"help": "Decoupled weight decay."})
    per_device_train_batch_size: int = field(default=32, metadata={"help": "Images per step."})
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Images per step."})
    bf16: bool = field(
        default=False,
        metadata={
            "help": "Compute training steps and teachers in bfloat16 where autocast does: faster "
            "on GPUs and CPUs that have it (AVX-512 BF16, AMX), much slower on others. Weights, "
            "optimiser and evaluation stay in float32, and a resumed run is exact."
        },
    )
    dataloader_drop_last: bool = field(
        default=False,
        metadata={"help": "Leave out the last, smaller batch of a training epoch."},
    )
    logging_steps: float = field(default=10, metadata={"help": "Steps between two log lines."})
    project: str = field(default="hf_lesion", metadata={"help": "Name of the project in trackio."})
    push_to_hub: bool = field(
        default=False, metadata={"help": "Publish the finished model as --hub_model_id owner/name."}
    )
    # Refused, with these values: see hf_lesion.training.flags.
    logging_nan_inf_filter: bool = field(default=False)
    remove_unused_columns: bool = field(default=False)
    restore_callback_states_from_checkpoint: bool = field(default=True)
    # Every weight has a part in every answer; looking for others costs time in each step.
    ddp_find_unused_parameters: bool | None = field(
        default=False, metadata={"help": "Only for networks with branches that are not taken."}
    )

    def __post_init__(self) -> None:
        if self.output_dir is None:
            raise InputError("Pass --output_dir DIR: where the model and its record are written.")
        check_model_path(self.output_dir)
        check_refused(self)
        check_ranges(self)
        # The Trainer itself would upload logs and a pickled training_args.bin: scripts/train.py
        # publishes at the end instead, from a clean folder.
        self.publish, self.push_to_hub = self.push_to_hub, False
        # The Trainer would drop validation images as well: LesionSamples drops those of training.
        self.drop_last, self.dataloader_drop_last = self.dataloader_drop_last, False
        self._settle_save_steps()
        self._check_best()
        self.lr_scheduler_kwargs = _read_object("lr_scheduler_kwargs", self.lr_scheduler_kwargs)
        if isinstance(self.report_to, str):
            names = self.report_to.replace(" ", "").split(",")
            self.report_to = names  # type: ignore[assignment]
        if self.metric_for_best_model is not None:
            self.metric_for_best_model = self.metric_for_best_model.removeprefix("eval_")
        if not torch.accelerator.is_available():
            # Else processes that were launched together would each train alone, and say nothing.
            self.use_cpu = True
        super().__post_init__()
        # accelerate launch --mixed_precision says it too.
        self.bf16, self.fp16 = (self.mixed_precision == name for name in ("bf16", "fp16"))
        if self.lr_scheduler_type in METRIC_SCHEDULES:
            mode = "max" if self.greater_is_better else "min"
            self.lr_scheduler_kwargs = {"mode": mode, **(self.lr_scheduler_kwargs or {})}
        # Pinned memory is for copies to a GPU; without one torch only warns about it.
        if not torch.cuda.is_available():
            self.dataloader_pin_memory = False
        check_together(self)

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
        exit_on_error=False,
    )
    hide_refused(parser)
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
    try:
        *parsed, _, unused = parser.parse_args_into_dataclasses(
            [*_words_of(config, parser), *argv] if config else argv,
            look_for_args_file=False,
            return_remaining_strings=True,
        )
    except InputError:
        raise
    except (ValueError, OSError, argparse.ArgumentError) as error:
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


def _read_object(name: str, value: dict[str, Any] | str | None) -> dict[str, Any] | None:
    """Return a flag's JSON object as a dictionary."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise InputError(
                f'--{name} takes JSON such as {{"drop_rate": 0.2}}: {error}.'
            ) from error
    if value is not None and not isinstance(value, dict):
        raise InputError(f"--{name} takes a JSON object, got {value!r}.")
    return value


def _words_of(config: Path, parser: HfArgumentParser) -> list[str]:
    """Return a recipe as flags, so that the parser checks what it says."""
    recipe = read_recipe(config)
    known = {action.dest: action for action in parser._actions}
    if unknown := sorted(set(map(str, recipe)) - set(known)):
        raise InputError(
            f"{config} has unknown keys: {list_offenders(unknown)}. {_HELP} lists the known ones."
        )
    words: list[str] = []
    for key, value in recipe.items():
        if isinstance(value, list) and known[key].nargs == "+":
            words += [f"--{key}", *map(str, value)]
        elif value is not None:
            is_nested = isinstance(value, dict | list)
            words.append(f"--{key}={json.dumps(value) if is_nested else value}")
    return words


def _config_of(argv: list[str]) -> Path | None:
    for position, word in enumerate(argv):
        if word == "--config" and position + 1 < len(argv):
            return Path(argv[position + 1])
        if word.startswith("--config="):
            return Path(word.removeprefix("--config="))
    return None
