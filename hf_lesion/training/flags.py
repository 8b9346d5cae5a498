"""Validation of training flags before a run: unsupported flags, ranges, metrics.

The Trainer reports most invalid flags only when it uses them, some after the first epoch.
"""

import dataclasses
import math
import os
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.hf_argparser import string_to_bool
from transformers.integrations import get_available_reporting_integrations
from transformers.trainer_utils import SchedulerType

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.labels import CODES

# Metrics that are logged at each evaluation.
LOGGED = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
METRICS = (*LOGGED, *(f"sensitivity_{code}" for code in CODES))
# Schedules that depend on the validation metric.
METRIC_SCHEDULES = (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)
# Half precision → the instructions for it, of any CPU, as `torch.cpu.get_capabilities` names them.
INSTRUCTIONS = {
    "bf16": ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"),
    "fp16": ("avx512_fp16", "amx_fp16", "fp16_arith"),
}

# Flags of the Trainer that are not supported, by the reason. They are hidden in --help.
_REASONS = {
    "a resumed run would end with other weights": (
        "accelerator_config dataloader_in_order ignore_data_skip "
        "restore_callback_states_from_checkpoint"
    ),
    "timm has no options for it": "activation_checkpointing_kwargs gradient_checkpointing_kwargs",
    "the batch size is fixed for a run; pass --per_device_train_batch_size": "auto_find_batch_size",
    "it applies to language models": (
        "average_tokens_across_devices include_num_input_tokens_seen length_column_name "
        "liger_kernel_config neftune_noise_alpha optim_target_modules use_cache "
        "use_liger_kernel"
    ),
    "validation metrics need all predictions, in float32": (
        "batch_eval_metrics bf16_full_eval eval_do_concat_batches eval_use_gather_object "
        "fp16_full_eval include_for_metrics label_names prediction_loss_only"
    ),
    "persistent workers would repeat the first augmentation": "dataloader_persistent_workers",
    "it depends on the device: NCCL on GPUs, gloo on CPUs": "ddp_backend",
    "a run always ends if the loss or a weight is not finite": "debug",
    "the network fits on one device; use accelerate launch for several processes": (
        "deepspeed fsdp fsdp_config parallelism_config"
    ),
    "training and validation always run; use scripts/score.py for other splits": (
        "do_eval do_predict do_train"
    ),
    "SIGTERM and Ctrl-C always save a checkpoint": "enable_jit_checkpoint",
    "only the finished model is published, with --push_to_hub": "hub_always_push hub_strategy",
    "flags are stored in the record; set HF_TOKEN or use `hf auth login`": "hub_token",
    "it has no effect on a custom loss; pass --label_smoothing": "label_smoothing_factor",
    "use accelerate launch or torchrun for several processes": "local_rank",
    "it would hide a loss that is not finite": "logging_nan_inf_filter",
    "the training set has no columns": "remove_unused_columns",
    "an interrupted run could not be resumed": "save_only_model",
    "trackio stores projects locally; publish them with `trackio sync`": (
        "trackio_bucket_id trackio_space_id trackio_static_space_id"
    ),
    "pass --imbalance or --sampling_power": "train_sampling_strategy",
}
UNSUPPORTED = {flag: reason for reason, flags in _REASONS.items() for flag in flags.split()}


# Each is a process of half a gigabyte: a mistyped number must not take the machine down.
MOST_WORKERS = max(16, 2 * (os.cpu_count() or 1))
# The valid values of a number in words → whether it is valid (NaN never is), and the flags.
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "from 0 to below 1": (
        lambda value: 0 <= value < 1,
        "adam_beta1 adam_beta2 ema_decay label_smoothing",
    ),
    "from 0 to 1": (lambda value: 0 <= value <= 1, "sampling_power"),
    "above 0 and at most 1": (lambda value: 0 < value <= 1, "teacher_weight"),
    "above 0": (
        lambda value: 0 < value < math.inf,
        "eval_steps learning_rate logging_steps num_train_epochs save_steps teacher_temperature",
    ),
    "of 0 or above": (
        lambda value: value >= 0,
        "adam_epsilon checkpoint_minutes cutmix early_stopping_patience eval_delay max_grad_norm "
        "mixup save_total_limit warmup_steps weight_decay",
    ),
    "of 1 or above": (
        lambda value: value >= 1,
        "dataloader_prefetch_factor ddp_bucket_cap_mb ddp_timeout eval_accumulation_steps "
        "gradient_accumulation_steps per_device_eval_batch_size per_device_train_batch_size "
        "torch_empty_cache_steps",
    ),
    "of 1 or above, or -1 for all epochs": (lambda value: value >= 1 or value == -1, "max_steps"),
    f"from 0 to {2**32 - 1}": (lambda value: 0 <= value < 2**32, "data_seed seed"),
    f"from 0 to {MOST_WORKERS}": (
        lambda value: 0 <= value <= MOST_WORKERS,
        "dataloader_num_workers",
    ),
}
RANGES = {
    flag: (words, is_valid)
    for words, (is_valid, flags) in _RANGES.items()
    for flag in flags.split()
}


def hide_unsupported(parser: ArgumentParser) -> None:
    """Hide unsupported flags in `--help`; they accept any value, for `check_unsupported`."""
    for action in parser._actions:
        if action.dest in UNSUPPORTED:
            action.help = SUPPRESS
            is_plain = action.type in (int, float, string_to_bool)
            if not is_plain or isinstance(action.default, str):
                action.type = str


def check_unsupported(arguments: TrainingArguments) -> None:
    """Raise InputError if an unsupported flag is neither None nor its default."""
    for field in dataclasses.fields(arguments):
        value, made = getattr(arguments, field.name), field.default_factory
        default = field.default if made is dataclasses.MISSING else made()
        if field.name in UNSUPPORTED and value is not None and value != default:
            raise InputError(f"--{field.name} is not supported: {UNSUPPORTED[field.name]}.")


def check_ranges(settings: Any) -> None:
    """Raise InputError if a number in a dataclass of flags is out of range; None is valid."""
    for flag, (words, is_valid) in RANGES.items():
        value = getattr(settings, flag, None)
        if value is not None and not is_valid(value):
            raise InputError(f"Expected --{flag} {words}, got {value}.")


def check_metric(metric: str | None) -> None:
    """Raise InputError unless the metric for the best model is logged at each evaluation."""
    if metric is not None and metric not in (known := ("loss", *METRICS)):
        raise InputError(
            f"Expected --metric_for_best_model to be one of {', '.join(known)}; got {metric!r}."
        )


def check_report_to(names: Sequence[str]) -> None:
    """Raise InputError unless the package of each logging integration is installed."""
    available = get_available_reporting_integrations()
    if missing := [name for name in names if name not in available]:
        raise InputError(
            f"--report_to {list_offenders(missing)} is unknown, or its package is not installed. "
            f"Available: {', '.join([*available, 'none'])}."
        )


def describe_slow_precision(arguments: TrainingArguments) -> str:
    """Return a warning if this CPU only emulates the requested half precision, else empty."""
    if arguments.device.type != "cpu":
        return ""
    able = torch.cpu.get_capabilities()
    for name, instructions in INSTRUCTIONS.items():
        if getattr(arguments, name) and not any(able.get(each) for each in instructions):
            return (
                f"--{name} makes training slower here, many times as slow for some networks: this "
                f"CPU has no instructions for it. Leave it out, or pass --{name} false."
            )
    return ""
