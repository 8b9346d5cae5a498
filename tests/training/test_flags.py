"""Every flag of scripts/train.py works, or is refused in one line before anything is trained."""

import argparse
import dataclasses
import inspect

import pytest
import torch
import transformers
from transformers import Trainer

from hf_lesion.errors import InputError
from hf_lesion.training import flags
from hf_lesion.training.arguments import LesionTrainingArguments, build_parser, parse_arguments
from hf_lesion.training.flags import RANGES, UNSUPPORTED
from hf_lesion.training.run import train

TINY_CNN = '{"widths": [4, 8], "pooling": "average", "hidden_sizes": []}'
# Flag → values that train, values that are refused: what this package checks itself, or what the
# Trainer would refuse only later. `DATASET` and `TEACHER` are filled in.
FLAGS = {
    "model": (["cnn", "test_resnet"], ["resnet_of_mine", "/no/such/folder"]),
    "image_size": (["32"], ["0", "-32", "8", "large"]),
    "pretrained": (["false"], ["true", "perhaps"]),
    "init_weights": ([], ["/no/such/file.safetensors"]),
    "model_args": ([TINY_CNN], ["widths=4", "[1]", '{"width": 4}', '{"widths": []}']),
    "dataset": (["DATASET"], ["/no/such/folder"]),
    "leave_out_source": (["rosendahl"], ["Rosendahl", ""]),
    "augmentation": (["none", "student", "standard", "strong"], ["wild"]),
    "crop_mode": (["centre", "squash", "pad"], ["middle"]),
    "mixup": (["0.2"], ["-0.2", "nan", "inf"]),
    "cutmix": (["1"], ["-1"]),
    "imbalance": (["none", "oversample", "class_weights", "sqrt_sampler"], ["undersample"]),
    "sampling_power": (["0", "0.3", "1"], ["-0.5", "2"]),
    "label_smoothing": (["0.1"], ["1", "-0.1"]),
    "teacher": (["TEACHER", "TEACHER TEACHER"], ["/no/such/folder"]),
    "teacher_temperature": (["2"], ["0"]),
    "teacher_weight": (["1"], ["0", "1.1"]),
    "ema_decay": (["0.9"], ["1", "-1"]),
    "early_stopping_patience": (["1"], ["-1", "1.5"]),
    "checkpoint_minutes": (["0"], ["-1", "nan"]),
    "per_device_train_batch_size": (["1", "5"], ["0", "many"]),
    "num_train_epochs": (["0.5"], ["0", "-1", "nan", "inf"]),
    "max_steps": (["1"], ["0", "-2"]),
    "learning_rate": (["1e-3"], ["0", "-1", "nan", "inf"]),
    "lr_scheduler_type": (
        ["linear", "constant", "reduce_lr_on_plateau", "greedy", "inverse_sqrt"],
        ["warmup_stable_decay", "cosine_with_min_lr", "zigzag"],
    ),
    "lr_scheduler_kwargs": (
        ['{"num_cycles": 0.4}'],
        ["x", "[1]", '{"x": 1}', '{"num_cycles": "x"}'],
    ),
    "warmup_steps": (["0", "0.5", "2"], ["-1", "nan"]),
    "optim": (
        ["adamw_torch", "sgd", "adafactor", "rmsprop", "adagrad"],
        ["adamw_bnb_8bit", "galore_adamw", "schedule_free_sgd", "adam"],
    ),
    "optim_args": ([], ["momentum=0.9", "momentum"]),
    "weight_decay": (["0"], ["-1"]),
    "adam_beta1": (["0.8"], ["1", "-1"]),
    "adam_beta2": (["0.9"], ["2"]),
    "adam_epsilon": (["1e-6"], ["-1"]),
    "gradient_accumulation_steps": (["3"], ["0"]),
    "max_grad_norm": (["0"], ["-1"]),
    "tf32": (["false"], ["true"]),
    "activation_checkpointing": (["false"], ["true"]),
    "gradient_checkpointing": (["false"], ["true"]),
    "torch_compile_backend": (["eager"], ["llvm"]),
    "torch_compile_mode": ([], ["fast"]),
    "torch_empty_cache_steps": (["1"], ["0"]),
    "logging_steps": (["1", "0.5"], ["0", "1.5"]),
    "report_to": (["none", "tensorboard"], ["wandb", "tensorbored", "none,tensorboard"]),
    "eval_strategy": ([], ["no", "steps", "never"]),
    "eval_steps": ([], ["0", "1"]),
    "eval_delay": (["1"], ["-1"]),
    "per_device_eval_batch_size": (["3"], ["0"]),
    "eval_accumulation_steps": (["1"], ["0"]),
    "save_strategy": (["best"], ["no", "steps"]),
    "save_steps": (["1", "0.5"], ["0", "1.5"]),
    "save_total_limit": (["0", "1"], ["-1"]),
    "metric_for_best_model": (
        ["loss", "eval_macro_auroc", "sensitivity_mel"],
        ["f1", "eval_runtime", ""],
    ),
    "seed": (["0", "4294967295"], ["-1", "4294967296"]),
    "data_seed": (["1"], ["-1"]),
    "dataloader_num_workers": (["1"], ["-1", "1000000"]),
    "dataloader_prefetch_factor": ([], ["0", "2"]),
    "dataloader_multiprocessing_context": ([], ["fork"]),
    "ddp_bucket_cap_mb": (["1"], ["0"]),
    "ddp_timeout": (["60"], ["0"]),
    "resume_from_checkpoint": (["true", "false"], ["/no/such/folder"]),
}
# Flags that the parser or the Trainer checks, and what each may be here besides its default.
PLAIN = {
    "bf16": "true", "channels_last": "false", "dataloader_drop_last": "true",
    "dataloader_pin_memory": "false", "ddp_broadcast_buffers": "false",
    "ddp_find_unused_parameters": "true", "ddp_static_graph": "true", "disable_tqdm": "false",
    "eval_on_start": "true", "fp16": "true", "full_determinism": "true",
    "greater_is_better": "true", "hub_model_id": "me/mine", "hub_private_repo": "true",
    "hub_revision": "main", "load_best_model_at_end": "false", "log_level": "error",
    "log_level_replica": "error", "log_on_each_node": "false", "logging_first_step": "true",
    "logging_strategy": "epoch", "project": "mine", "run_name": "mine",
    "save_on_each_node": "true", "skip_memory_metrics": "true", "torch_compile": "false",
    "use_cpu": "true",
}  # fmt: skip
ELSEWHERE = {"output_dir", "push_to_hub"}
# What goes together in one run, each other than its default.
TOGETHER = [
    "--optim sgd --optim_args momentum=0.9,nesterov=true --dataloader_num_workers 1 "
    "--dataloader_prefetch_factor 3 --dataloader_multiprocessing_context fork --mixup 0.2 "
    "--cutmix 1 --sampling_power 0.3 --bf16 true --torch_compile_backend eager "
    "--lr_scheduler_type reduce_lr_on_plateau --ema_decay 0.9 --leave_out_source rosendahl "
    "--teacher TEACHER TEACHER --teacher_temperature 2 --full_determinism true "
    "--eval_on_start true --dataloader_drop_last true --save_steps 1 --save_total_limit 0 "
    "--early_stopping_patience 2 --report_to tensorboard --logging_strategy epoch "
    "--data_seed 3 --run_name mine",
    '--lr_scheduler_type cosine_with_min_lr --lr_scheduler_kwargs {"min_lr_rate":0.1} '
    "--eval_strategy no --save_strategy no --load_best_model_at_end false --fp16 true "
    "--activation_checkpointing true --model test_resnet --per_device_train_batch_size 5 "
    "--gradient_accumulation_steps 3 --max_grad_norm 0 --warmup_steps 0 --channels_last false "
    "--imbalance class_weights --label_smoothing 0.1 --logging_strategy no --disable_tqdm false",
    "--eval_strategy steps --save_strategy steps --eval_steps 1 --save_steps 2 --eval_delay 1 "
    "--metric_for_best_model loss --lr_scheduler_type greedy --optim adafactor "
    "--eval_accumulation_steps 1 --per_device_eval_batch_size 3 --torch_empty_cache_steps 1 "
    "--logging_steps 0.5 --logging_first_step true --checkpoint_minutes 0 --tf32 false",
]
# A plausible value of each refused flag that is neither a switch nor a number.
TEXTS = {
    "accelerator_config": '{"split_batches": true}',
    "activation_checkpointing_kwargs": '{"use_reentrant": true}',
    "ddp_backend": "gloo",
    "debug": "underflow_overflow",
    "deepspeed": "ds.json",
    "fsdp": "full_shard",
    "fsdp_config": "fsdp.json",
    "gradient_checkpointing_kwargs": '{"use_reentrant": true}',
    "hub_strategy": "end",
    "include_num_input_tokens_seen": "all",
    "liger_kernel_config": '{"rope": true}',
    "optim_target_modules": "all-linear",
    "parallelism_config": "parallel.json",
    "train_sampling_strategy": "sequential",
}


@pytest.fixture
def run(sample_dataset, tiny_timm_model, tmp_path, monkeypatch):
    """Parse flags and train as scripts/train.py does, with a tiny network and few steps."""
    # Set by --full_determinism, for the rest of the process.
    for name in (
        "CUDA_LAUNCH_BLOCKING",
        "CUBLAS_WORKSPACE_CONFIG",
        "FLASH_ATTENTION_DETERMINISTIC",
    ):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))
    known = {"DATASET": str(sample_dataset), "TEACHER": str(tiny_timm_model)}

    def parse_and_train(*words):
        words = [known.get(word, word) for word in words]
        argv = ["--image_size", "32", "--dataset", known["DATASET"], "--disable_tqdm", "true"]
        argv += ["--output_dir", str(tmp_path / "out"), "--max_steps", "2"]
        argv += ["--per_device_train_batch_size", "8"]
        if "--model" not in words:
            argv += ["--model_args", TINY_CNN]
        return train(*parse_arguments(build_parser("test"), [*argv, *words]))

    verbosity = transformers.logging.get_verbosity()
    yield parse_and_train
    transformers.logging.set_verbosity(verbosity)
    torch.use_deterministic_algorithms(False)


def parse(tmp_path, *words):
    return parse_arguments(build_parser("test"), ["--output_dir", str(tmp_path), *words])


ALONE = [(flag, value) for flag, (good, _) in FLAGS.items() for value in good] + list(PLAIN.items())


def as_words(flag, value):
    return [f"--{flag}={value}"] if value.startswith("{") else [f"--{flag}", *value.split(" ")]


def shown_and_hidden():
    actions = build_parser("test")._actions
    hidden = {action.dest for action in actions if action.help == argparse.SUPPRESS}
    return {action.dest for action in actions} - hidden - {"help", "config"}, hidden


def test_every_flag_is_tried_here():
    shown, hidden = shown_and_hidden()
    assert {*FLAGS, *PLAIN, *ELSEWHERE} == shown
    assert set(UNSUPPORTED) == hidden
    assert set(RANGES) <= set(FLAGS)
    # Flags of a newer transformers are sorted too.
    signature = inspect.signature(transformers.TrainingArguments).parameters
    assert set(signature) <= shown | hidden


BAD = [(flag, value) for flag, (_, bad) in FLAGS.items() for value in bad]


@pytest.mark.parametrize(("flag", "value"), BAD, ids=[" ".join(pair) for pair in BAD])
def test_a_wrong_value_is_refused_before_training(flag, value, run, monkeypatch):
    for method in ("train", "evaluate"):
        monkeypatch.setattr(Trainer, method, lambda *_, **__: pytest.fail("it was not refused"))
    others = ["--model", "test_resnet"] if flag == "init_weights" else []
    with pytest.raises(InputError) as refusal:
        run(*others, f"--{flag}={value}")
    assert len(str(refusal.value)) < 1000


def refused_values():
    for field in dataclasses.fields(LesionTrainingArguments):
        if field.name in UNSUPPORTED:
            switched = str(field.default is False).lower()
            is_switch = isinstance(field.default, bool)
            yield field.name, switched if is_switch else TEXTS.get(field.name, "7")


def test_flags_that_are_not_supported_say_why_and_may_have_their_defaults(tmp_path):
    for flag, value in refused_values():
        with pytest.raises(InputError, match=rf"^--{flag} is not supported: .+\.$"):
            parse(tmp_path, f"--{flag}", value)
    parse(tmp_path, "--remove_unused_columns", "false", "--prediction_loss_only", "false",
          "--include_num_input_tokens_seen", "no")  # fmt: skip


@pytest.mark.parametrize("flag", ["eval_strategy", "save_strategy"])
def test_no_evaluation_or_checkpoint_says_what_else_to_pass(flag, tmp_path):
    with pytest.raises(InputError, match=rf"--{flag} no .*--load_best_model_at_end false as well"):
        parse(tmp_path, f"--{flag}", "no")


def test_right_values_are_taken(tmp_path):
    for flag, value in ALONE:
        parse(tmp_path, *as_words(flag, value))


@pytest.mark.parametrize("words", TOGETHER, ids=["first", "second", "third"])
def test_flags_work_together(words, run):
    assert run(*words.split()).record["steps"] in (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "value"), ALONE, ids=[" ".join(pair) for pair in ALONE])
def test_a_right_value_trains(flag, value, run):
    assert run(*as_words(flag, value)).record["steps"] >= 1


@pytest.mark.slow
def test_a_compiled_network_trains(run):
    assert run("--torch_compile", "true", "--ema_decay", "0.9").record["steps"] == 2


@pytest.mark.parametrize(
    ("words", "able", "warned"),
    [
        ("--bf16 true", {"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, ["--bf16"]),
        ("--fp16 true", {"avx512_bf16": True, "avx512_fp16": False}, ["--fp16"]),
        ("--bf16 true", {"avx512_bf16": True}, []),
        ("--bf16 true", {"neon": True, "bf16": True}, []),
        ("--bf16 false", {}, []),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in half precision itself")
def test_half_precision_that_this_cpu_imitates_is_warned_of(
    words, able, warned, tmp_path, monkeypatch
):
    *_, training = parse(tmp_path, *words.split())
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    said = flags.describe_slow_precision(training)
    assert said.split()[:1] == warned
    assert "\n" not in said


def test_a_schedule_by_the_metric_knows_which_way_is_better(tmp_path):
    words = ["--lr_scheduler_type", "reduce_lr_on_plateau"]
    assert parse(tmp_path, *words)[2].lr_scheduler_kwargs == {"mode": "max"}
    words += ["--metric_for_best_model", "loss", "--lr_scheduler_kwargs", '{"patience": 2}']
    *_, training = parse(tmp_path, *words)
    assert training.lr_scheduler_kwargs == {"mode": "min", "patience": 2}


def test_early_stopping_needs_evaluations(run):
    words = "--eval_strategy no --save_strategy no --load_best_model_at_end false"
    with pytest.raises(InputError, match=r"^--early_stopping_patience needs --eval_strategy "):
        run(*words.split(), "--early_stopping_patience", "1")


def test_an_installed_watcher_is_not_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(flags, "get_available_reporting_integrations", lambda: ["wandb"])
    assert parse(tmp_path, "--report_to", "wandb")[2].report_to == ["wandb"]
