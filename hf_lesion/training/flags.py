"""Validation of training flags before a run: unsupported flags, ranges, packages, schedules.

The Trainer reports most invalid flags only when it uses them, some after the first epoch.
"""

import copy
import dataclasses
import math
import os
from argparse import SUPPRESS, ArgumentParser
from typing import Any, NamedTuple

import torch
from accelerate.utils import DynamoBackend
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.hf_argparser import string_to_bool
from transformers.integrations import get_available_reporting_integrations
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.labels import CODES

# Metrics that are logged at each evaluation.
LOGGED = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
METRICS = (*LOGGED, *(f"sensitivity_{code}" for code in CODES))
# PyPI packages of `--report_to NAME`, where their names differ.
PACKAGES = {"azure_ml": "azureml-core", "dagshub": "dagshub mlflow", "flyte": "flytekit"}
# Schedules that depend on the validation metric.
METRIC_SCHEDULES = (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)
PROBE_STEPS = 3
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


class Range(NamedTuple):
    """The valid values of a flag: from `least` to `below` (exclusive; None: infinity is valid)."""

    least: float
    below: float | None
    words: str


_ABOVE_ZERO = math.nextafter(0, 1)
_POSITIVE = Range(_ABOVE_ZERO, math.inf, "above 0")
_FROM_ZERO = Range(0, math.inf, "of 0 or above")
_FROM_ONE = Range(1, math.inf, "of 1 or above")
_SHARE = Range(0, 1, "from 0 to below 1")
_SHARE_OR_ALL = Range(0, math.nextafter(1, 2), "from 0 to 1")
_SOME_SHARE = Range(_ABOVE_ZERO, math.nextafter(1, 2), "above 0 and at most 1")
_SEED = Range(0, 2**32, f"from 0 to {2**32 - 1}")

# Each is a process of half a gigabyte: a mistyped number must not take the machine down.
MOST_WORKERS = max(16, 2 * (os.cpu_count() or 1))
_RANGES = {
    _SHARE: "adam_beta1 adam_beta2 ema_decay label_smoothing",
    _FROM_ZERO: (
        "adam_epsilon cutmix early_stopping_patience eval_delay max_grad_norm mixup "
        "save_total_limit warmup_steps weight_decay"
    ),
    Range(0, None, "of 0 or above"): "checkpoint_minutes",
    _SEED: "data_seed seed",
    Range(0, MOST_WORKERS + 1, f"from 0 to {MOST_WORKERS}"): "dataloader_num_workers",
    _FROM_ONE: (
        "dataloader_prefetch_factor ddp_bucket_cap_mb ddp_timeout eval_accumulation_steps "
        "gradient_accumulation_steps per_device_eval_batch_size per_device_train_batch_size "
        "torch_empty_cache_steps"
    ),
    _POSITIVE: (
        "eval_steps learning_rate logging_steps num_train_epochs save_steps teacher_temperature"
    ),
    _SHARE_OR_ALL: "sampling_power",
    _SOME_SHARE: "teacher_weight",
}
RANGES = {flag: allowed for allowed, flags in _RANGES.items() for flag in flags.split()}


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
    for field in dataclasses.fields(settings):
        allowed, value = RANGES.get(field.name), getattr(settings, field.name)
        if allowed is None or value is None:
            continue
        is_below = allowed.below is None or value < allowed.below
        if not (allowed.least <= value and is_below):
            raise InputError(f"Expected --{field.name} {allowed.words}, got {value}.")


def check_combinations(arguments: TrainingArguments) -> None:
    """Raise InputError if a metric, package or combination of flags is not available.

    The optimiser, schedule and compiler are tried.
    """
    steps = arguments.max_steps
    if steps != -1 and steps < 1:
        raise InputError(f"Expected --max_steps of 1 or above, or -1 for all epochs, got {steps}.")
    if arguments.dataloader_multiprocessing_context and not arguments.dataloader_num_workers:
        raise InputError("--dataloader_multiprocessing_context needs --dataloader_num_workers.")
    is_evaluated = arguments.eval_strategy != IntervalStrategy.NO
    if arguments.save_strategy == SaveStrategy.BEST and not is_evaluated:
        raise InputError("--save_strategy best needs evaluations: pass --eval_strategy epoch.")
    metric = arguments.metric_for_best_model
    if metric is not None and metric not in (known := ("loss", *METRICS)):
        raise InputError(
            f"Expected --metric_for_best_model to be one of {', '.join(known)}; got {metric!r}."
        )
    _check_report_to(arguments.report_to)
    optimizer = _try_optimizer(arguments)
    _try_schedule(arguments, optimizer)
    if arguments.torch_compile:
        _try_compiler(arguments)


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


def _check_report_to(names: list[str]) -> None:
    if unknown := [name for name in names if name not in INTEGRATION_TO_CALLBACK]:
        raise InputError(
            f"Expected --report_to to be none, all or among {', '.join(INTEGRATION_TO_CALLBACK)}; "
            f"got {list_offenders(unknown)}."
        )
    here = get_available_reporting_integrations()
    if missing := [name for name in names if name not in here]:
        packages = " ".join(PACKAGES.get(name, name) for name in missing)
        raise InputError(
            f"--report_to {list_offenders(missing)} needs a package that is not installed: "
            f"pip install {packages}."
        )


def _try_optimizer(arguments: TrainingArguments) -> torch.optim.Optimizer:
    """Return the optimiser of a tiny network, after one step."""
    network = _probe()
    try:
        kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments, network)
        optimizer = kind(network.parameters(), **options)
        network(torch.ones(1, 1)).sum().backward()
        optimizer.step()
        unused = _unused_options(arguments, network, options)
    except Exception as error:  # a missing package or an invalid option may raise anything
        told = f" with --optim_args {arguments.optim_args}" if arguments.optim_args else ""
        raise InputError(
            f"--optim {arguments.optim.value}{told} cannot be used: {error}"
        ) from error
    if unused:
        raise InputError(f"--optim {arguments.optim.value} has no option {', '.join(unused)}.")
    return optimizer


def _probe() -> torch.nn.Linear:
    with torch.random.fork_rng(devices=[]):
        return torch.nn.Linear(1, 1)


def _unused_options(
    arguments: TrainingArguments, network: torch.nn.Module, options: dict[str, Any]
) -> list[str]:
    """Return the names in `--optim_args` that have no effect."""
    unused = []
    pairs = (arguments.optim_args or "").replace(" ", "").split(",")
    for pair in filter(None, pairs):
        others = copy.copy(arguments)
        others.optim_args = ",".join(other for other in pairs if other != pair)
        if Trainer.get_optimizer_cls_and_kwargs(others, network)[1] == options:
            unused.append(pair.split("=")[0])
    return unused


def _try_schedule(arguments: TrainingArguments, optimizer: torch.optim.Optimizer) -> None:
    kind, options = arguments.lr_scheduler_type, arguments.lr_scheduler_kwargs
    takes_none = (SchedulerType.CONSTANT, SchedulerType.CONSTANT_WITH_WARMUP)
    try:
        if options and kind in takes_none:
            raise InputError("it has no options")
        schedule = get_scheduler(
            kind, optimizer, PROBE_STEPS, 2 * PROBE_STEPS, scheduler_specific_kwargs=options
        )
        for _ in range(2 * PROBE_STEPS):
            optimizer.step()
            schedule.step(*([0.0] if kind in METRIC_SCHEDULES else []))
    except Exception as error:  # a missing or unknown option may raise anything
        raise InputError(
            f"--lr_scheduler_type {kind.value} with --lr_scheduler_kwargs {options} cannot be "
            f"used: {error}"
        ) from error


def _try_compiler(arguments: TrainingArguments) -> None:
    backend, mode = arguments.torch_compile_backend, arguments.torch_compile_mode
    try:
        DynamoBackend(str(backend).upper())
        torch.compile(_probe(), backend=str(backend), mode=mode)(torch.ones(1, 1))
    except Exception as error:  # backends of torch may raise anything
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"--torch_compile with backend {backend} and mode {mode} cannot be used: {reason}"
        ) from error
