"""Flags of scripts/train.py: what is refused in one line before anything is trained, and why."""

import argparse
import dataclasses

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
# Values that are refused: what this package checks itself, or what the Trainer would refuse only
# later.
BAD = {
    "model": ["resnet_of_mine", "/no/such/folder"],
    "image_size": ["0", "8", "large"],
    "pretrained": ["true", "perhaps"],
    "model_args": ["widths=4", "[1]", '{"width": 4}', '{"widths": []}'],
    "dataset": ["/no/such/folder"],
    "leave_out_source": ["Rosendahl"],
    "augmentation": ["wild"],
    "crop_mode": ["middle"],
    "imbalance": ["undersample"],
    "teacher": ["/no/such/folder"],
    "lr_scheduler_type": ["warmup_stable_decay", "cosine_with_min_lr", "zigzag"],
    "lr_scheduler_kwargs": ["x", "[1]", '{"x": 1}'],
    "optim": ["adamw_bnb_8bit", "schedule_free_sgd", "adam"],
    "gradient_checkpointing": ["true"],
    "report_to": ["wandb", "mlflow", "tensorbored"],
    "eval_strategy": ["no", "steps", "never"],
    "eval_steps": ["1"],
    "save_strategy": ["no", "steps"],
    "metric_for_best_model": ["f1", "eval_runtime", ""],
    "resume_from_checkpoint": ["/no/such/folder"],
    # Ranges: a number below the least, and NaN or infinity.
    **{key: ["-1", "nan"] for key in ("mixup", "cutmix", "ema_decay", "checkpoint_minutes")},
    **{key: ["-0.1", "1.1"] for key in ("label_smoothing", "teacher_weight", "sampling_power")},
    **{key: ["0", "nan", "inf"] for key in ("learning_rate", "num_train_epochs")},
    **{key: ["0"] for key in ("per_device_train_batch_size", "save_steps", "teacher_temperature")},
    "max_steps": ["0", "-2"],
    **{key: ["-1", "4294967296"] for key in ("seed", "dataloader_num_workers")},
}
PAIRS = [(flag, value) for flag, values in BAD.items() for value in values]
# What goes together in one run, each other than its default.
TOGETHER = [
    "--optim sgd --optim_args momentum=0.9,nesterov=true --dataloader_num_workers 1 "
    "--dataloader_multiprocessing_context fork --mixup 0.2 --cutmix 1 --sampling_power 0.3 "
    "--bf16 true --lr_scheduler_type reduce_lr_on_plateau --ema_decay 0.9 "
    "--leave_out_source rosendahl --teacher TEACHER TEACHER --teacher_temperature 2 "
    "--full_determinism true --eval_on_start true --dataloader_drop_last true --save_steps 1 "
    "--save_total_limit 0 --early_stopping_patience 2 --report_to tensorboard "
    "--logging_strategy epoch --data_seed 3 --run_name mine",
    '--lr_scheduler_type cosine_with_min_lr --lr_scheduler_kwargs {"min_lr_rate":0.1} '
    "--eval_strategy no --save_strategy no --load_best_model_at_end false --fp16 true "
    "--activation_checkpointing true --model test_resnet --per_device_train_batch_size 5 "
    "--gradient_accumulation_steps 3 --max_grad_norm 0 --warmup_steps 0 --channels_last false "
    "--imbalance class_weights --label_smoothing 0.1 --logging_strategy no --disable_tqdm false",
]
# A plausible value of each refused flag that is neither a switch nor a number.
TEXTS = {
    "accelerator_config": '{"split_batches": true}', "activation_checkpointing_kwargs": "{}",
    "ddp_backend": "gloo", "debug": "underflow_overflow", "gradient_checkpointing_kwargs": "{}",
    "hub_strategy": "end", "include_num_input_tokens_seen": "all", "liger_kernel_config": "{}",
    "optim_target_modules": "all-linear", "train_sampling_strategy": "sequential",
}  # fmt: skip


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


@pytest.mark.parametrize(("flag", "value"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])
def test_a_wrong_value_is_refused_before_training(flag, value, run, monkeypatch):
    for method in ("train", "evaluate"):
        monkeypatch.setattr(Trainer, method, lambda *_, **__: pytest.fail("it was not refused"))
    with pytest.raises(InputError) as refusal:
        run(f"--{flag}={value}")
    assert len(str(refusal.value)) < 1000


def test_flags_that_are_not_supported_are_hidden_say_why_and_may_have_their_defaults(tmp_path):
    actions = build_parser("test")._actions
    hidden = {action.dest for action in actions if action.help == argparse.SUPPRESS}
    assert set(UNSUPPORTED) == hidden
    assert set(RANGES) <= {action.dest for action in actions} - hidden
    for field in dataclasses.fields(LesionTrainingArguments):
        if field.name in UNSUPPORTED:
            switched = str(field.default is False).lower()
            is_switch = isinstance(field.default, bool)
            value = switched if is_switch else TEXTS.get(field.name, "7")
            with pytest.raises(InputError, match=rf"^--{field.name} is not supported: .+\.$"):
                parse(tmp_path, f"--{field.name}", value)
    parse(tmp_path, "--remove_unused_columns", "false", "--prediction_loss_only", "false",
          "--include_num_input_tokens_seen", "no")  # fmt: skip


@pytest.mark.parametrize("words", TOGETHER, ids=["first", "second"])
def test_flags_work_together(words, run):
    assert run(*words.split()).record["steps"] in (1, 2)


@pytest.mark.slow
def test_a_compiled_network_trains(run):
    assert run("--torch_compile", "true", "--ema_decay", "0.9").record["steps"] == 2


@pytest.mark.parametrize(
    ("words", "able", "warned"),
    [
        ("--bf16 true", {"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, ["--bf16"]),
        ("--fp16 true", {"avx512_bf16": True, "avx512_fp16": False}, ["--fp16"]),
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
    assert flags.describe_slow_precision(training).split()[:1] == warned


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
