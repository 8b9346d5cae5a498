import ctypes
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import pipeline

from hf_lesion.data.reader import open_splits
from hf_lesion.errors import InputError, StoppedError
from hf_lesion.hub.packing import pack_model
from hf_lesion.io.files import without_nan
from hf_lesion.labels import CODES
from hf_lesion.models.build import load_classifier
from hf_lesion.training.arguments import build_parser, parse_arguments
from hf_lesion.training.checkpoints import average_checkpoints
from hf_lesion.training.ema import RAW_WEIGHTS
from hf_lesion.training.interruption import lock_folder
from hf_lesion.training.record import check_identity, write_identity
from hf_lesion.training.run import KEEP_MEMORY, keep_freed_memory, leave_out, train
from hf_lesion.training.samples import EvalTransform, LesionSamples, collate

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "scripts" / "configs"
RECIPES = ("cnn", "cnn_student", "tf_efficientnet_lite0")
LARGE_RECIPES = ("resnet18", "densenet121", "resnet50", "resnet50_gpu", "densenet121_gpu")
TINY_CNN = '{"widths": [4, 8], "pooling": "average", "hidden_sizes": []}'


def run(output_dir, dataset, *words, model="cnn"):
    argv = ["--model", model, "--image_size", "32", "--dataset", str(dataset)]
    argv += ["--model_args", TINY_CNN] if model == "cnn" else []
    argv += ["--output_dir", str(output_dir), "--per_device_train_batch_size", "8"]
    argv += ["--disable_tqdm", "true", "--imbalance", "sqrt_sampler", *words]
    return train(*parse_arguments(build_parser("test"), argv))


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def differing(first, second):
    return [key for key in first if not torch.equal(first[key], second[key])]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sample_dataset):
    return run(tmp_path_factory.mktemp("run") / "out", sample_dataset, "--num_train_epochs", "2")


def test_a_run_leaves_a_model_that_pipeline_loads(finished):
    answer = pipeline("image-classification", model=str(finished.output_dir), top_k=7)(
        Image.new("RGB", (200, 150), "tan")
    )
    assert sorted(entry["label"] for entry in answer) == list(CODES)


def test_a_run_leaves_its_record_and_curves_and_no_pickle(finished, sample_dataset):
    folder = finished.output_dir
    record = json.loads((folder / "training.json").read_text())
    assert record == json.loads(json.dumps(without_nan(finished.record)))
    prepared = json.loads((sample_dataset / "prepared.json").read_text())
    assert record["dataset"]["fingerprint"] == prepared["fingerprint"]
    assert record["dataset"]["description"] == prepared["description"]
    assert record["dataset"]["synthetic"] is True
    assert record["seed"] == 42
    assert record["epochs"] == 2
    assert set(record["provenance"]) >= {"command", "versions", "git_revision", "time"}
    assert record["best_metric"]["name"] == "balanced_accuracy"
    assert 0 <= record["best_metric"]["value"] <= 1
    assert [leg["from"] for leg in record["legs"]] == [None]
    assert Image.open(folder / "curves.png").size == (1200, 480)
    assert not [file for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".pkl")]


def test_the_best_epoch_is_what_is_kept(finished):
    history = finished.record["history"]
    scores = {e["step"]: e["eval_balanced_accuracy"] for e in history if "eval_loss" in e}
    assert len(scores) == 2
    best = max(scores.values())
    assert finished.record["best_metric"]["value"] == best
    assert scores[finished.record["best_step"]] == best
    checkpoint = finished.output_dir / f"checkpoint-{finished.record['best_step']}"
    assert differing(weights_of(checkpoint), weights_of(finished.output_dir)) == []


def test_the_same_seed_gives_the_same_weights(finished, sample_dataset, tmp_path):
    again = run(tmp_path / "again", sample_dataset, "--num_train_epochs", "2")
    assert differing(weights_of(again.output_dir), weights_of(finished.output_dir)) == []
    other = run(tmp_path / "other", sample_dataset, "--num_train_epochs", "2", "--seed", "1")
    assert differing(weights_of(other.output_dir), weights_of(finished.output_dir))


class StopError(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        ("cnn", "fp32"),
        pytest.param("test_efficientnet", "fp16", marks=pytest.mark.slow),
        # Many CPUs imitate bfloat16, slowly.
        pytest.param("cnn", "bf16", marks=pytest.mark.slow),
        pytest.param("test_resnet", "bf16", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_cut_off_ends_with_the_same_weights(
    sample_dataset, tmp_path, monkeypatch, model, precision
):
    """Stop in the middle of the second epoch, past a checkpoint in the middle of it."""
    options = ["--num_train_epochs", "2", "--save_steps", "5", "--save_total_limit", "9"]
    options += ["--mixup", "0.3", "--cutmix", "1", "--ema_decay", "0.9"]
    options += [] if precision == "fp32" else [f"--{precision}", "true"]
    whole = run(tmp_path / "whole", sample_dataset, *options, model=model)
    from hf_lesion.training.callbacks import ClockCallback

    original = ClockCallback.on_step_end

    def cut_off(self, args, state, control, **kwargs):
        original(self, args, state, control, **kwargs)
        if state.global_step == 12:
            raise StopError

    monkeypatch.setattr(ClockCallback, "on_step_end", cut_off)
    with pytest.raises(StopError):
        run(tmp_path / "cut", sample_dataset, *options, model=model)
    monkeypatch.undo()
    assert not (tmp_path / "cut" / "training.json").exists()
    resumed = run(
        tmp_path / "cut", sample_dataset, *options, "--resume_from_checkpoint", "true", model=model
    )
    last = f"checkpoint-{whole.record['steps']}"
    assert whole.record["steps"] > 12
    expected, got = weights_of(whole.output_dir / last), weights_of(resumed.output_dir / last)
    assert differing(expected, got) == []
    raw = [load_file(run.output_dir / last / RAW_WEIGHTS) for run in (whole, resumed)]
    assert differing(*raw) == []
    assert differing(raw[0], expected)  # the average is not what the optimiser goes on with
    assert [leg["from"] for leg in resumed.record["legs"]] == [None, "checkpoint-10"]


def test_resuming_a_finished_run_of_an_earlier_version_changes_nothing(
    finished, sample_dataset, tmp_path
):
    folder = shutil.copytree(finished.output_dir, tmp_path / "earlier")
    for name, part in (("run.json", "identity"), ("training.json", "recipe")):
        record = json.loads((folder / name).read_text())
        record[part]["balance_copies"] = True  # a flag that is gone
        (folder / name).write_text(json.dumps(record))
    before = {file.name: file.read_bytes() for file in folder.glob("*.[js]*")}
    options = ["--num_train_epochs", "2", "--resume_from_checkpoint", "true"]
    again = run(folder, sample_dataset, *options)
    assert again.record == json.loads(before["training.json"])
    after = {file.name: file.read_bytes() for file in folder.glob("*.[js]*")}
    assert {name for name in before if before[name] != after[name]} <= {"run.json"}


def test_a_checkpoint_is_not_resumed_as_another_run(finished, sample_dataset):
    options = ["--resume_from_checkpoint", "true", "--seed", "7", "--augmentation", "strong"]
    with pytest.raises(
        InputError,
        match=r"checkpoint-\d+ has other settings: augmentation was 'standard' and is "
        r"'strong', seed was 42 and is 7\. Resume with the original settings",
    ):
        run(finished.output_dir, sample_dataset, *options)


def test_a_run_from_before_crop_modes_goes_on_as_it_began(tmp_path):
    write_identity(tmp_path, {"seed": 1}, [{"from": None}])
    now = {"seed": 1, "crop_mode": "squash"}
    assert len(check_identity(tmp_path, now, Path("checkpoint-3"))) == 2
    with pytest.raises(InputError, match=r"crop_mode was 'squash' and is 'centre'\. Resume with"):
        check_identity(tmp_path, {**now, "crop_mode": "centre"}, Path("checkpoint-3"))


def test_a_run_from_before_a_choice_is_resumed_with_what_was_done_then(tmp_path, finished):
    identity = json.loads((finished.output_dir / "run.json").read_text())["identity"]
    earlier = {key: value for key, value in identity.items() if key not in ("cutmix", "bf16")}
    write_identity(tmp_path, earlier, [])
    checkpoint = tmp_path / "checkpoint-1"
    assert len(check_identity(tmp_path, identity, checkpoint)) == 1
    with pytest.raises(InputError, match=r"other settings: cutmix was 0\.0 and is 1\.0\. Resume"):
        check_identity(tmp_path, {**identity, "cutmix": 1.0}, checkpoint)


def test_a_named_checkpoint_must_be_whole(sample_dataset, tmp_path):
    with pytest.raises(
        InputError, match=r"nothing is not a complete checkpoint: it lacks config\.json, "
    ):
        run(tmp_path / "out", sample_dataset, "--resume_from_checkpoint", str(tmp_path / "nothing"))


def test_a_lower_loss_is_the_better_one(sample_dataset, tmp_path):
    options = ["--max_steps", "3", "--save_steps", "1", "--metric_for_best_model", "loss"]
    record = run(tmp_path / "out", sample_dataset, *options).record
    losses = [entry["eval_loss"] for entry in record["history"] if "eval_loss" in entry]
    assert record["best_metric"] == {"name": "loss", "value": min(losses)}


@pytest.mark.slow
def test_workers_change_nothing(finished, sample_dataset, tmp_path):
    options = ["--num_train_epochs", "2", "--dataloader_num_workers", "2"]
    options += ["--dataloader_multiprocessing_context", "spawn"]
    helped = run(tmp_path / "helped", sample_dataset, *options)
    assert differing(weights_of(helped.output_dir), weights_of(finished.output_dir)) == []


def test_a_finished_folder_is_not_trained_over(finished, sample_dataset):
    message = (
        f"{finished.output_dir} already contains a training run. Pass --resume_from_checkpoint "
        "true to resume it, or another --output_dir."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        run(finished.output_dir, sample_dataset)


def test_the_clock_asks_for_checkpoints(sample_dataset, tmp_path):
    options = ["--max_steps", "3", "--checkpoint_minutes", "0", "--save_total_limit", "9"]
    run(tmp_path / "out", sample_dataset, *options)
    saved = sorted(folder.name for folder in (tmp_path / "out").glob("checkpoint-*"))
    assert saved == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]


def test_training_stops_when_nothing_gets_better(sample_dataset, tmp_path):
    options = ["--num_train_epochs", "9", "--early_stopping_patience", "1"]
    options += ["--learning_rate", "1e-12", "--warmup_steps", "0"]
    record = run(tmp_path / "out", sample_dataset, *options).record
    # Moving batch statistics may still change a validation score once.
    assert record["epochs"] < 9


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_a_signal_saves_first_and_the_run_goes_on_to_the_same_weights(
    finished, sample_dataset, tmp_path, monkeypatch, number, code
):
    from hf_lesion.training.callbacks import ClockCallback

    def ask_to_stop(self, args, state, control, **kwargs):
        if state.global_step == 3:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(ClockCallback, "on_step_end", ask_to_stop)
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(StoppedError) as stop:
        run(tmp_path / "out", sample_dataset, "--num_train_epochs", "2")
    monkeypatch.undo()
    assert stop.value.code == code
    assert str(stop.value) == (
        f"stopped by {number.name}. To resume, run the same command with --resume_from_checkpoint "
        "true."
    )
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert [folder.name for folder in (tmp_path / "out").glob("checkpoint-*")] == ["checkpoint-3"]
    assert not (tmp_path / "out" / "training.json").exists()
    options = ["--num_train_epochs", "2", "--resume_from_checkpoint", "true"]
    resumed = run(tmp_path / "out", sample_dataset, *options)
    assert differing(weights_of(resumed.output_dir), weights_of(finished.output_dir)) == []
    evaluated = [
        {key: value for key, value in entry.items() if "balanced" in key or key == "step"}
        for each in (resumed, finished)
        for entry in each.record["history"]
        if "eval_loss" in entry
    ]
    assert evaluated[:2] == evaluated[2:]


def test_a_loss_that_is_no_number_ends_the_run_before_anything_is_saved(sample_dataset, tmp_path):
    options = ["--learning_rate", "1e30", "--warmup_steps", "0", "--max_grad_norm", "0"]
    with pytest.raises(InputError, match=r" at step \d+: the run was stopped; .* lower --learn"):
        run(tmp_path / "out", sample_dataset, *options)
    assert not list((tmp_path / "out").glob("checkpoint-*"))


def test_two_runs_do_not_share_a_folder(sample_dataset, tmp_path):
    with lock_folder(tmp_path / "out"), pytest.raises(InputError) as refusal:
        run(tmp_path / "out", sample_dataset)
    assert str(refusal.value) == (
        f"Another run is training in {tmp_path / 'out'}. Wait for it, or pass another --output_dir."
    )


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(sample_dataset, tmp_path):
    words = ["--config", str(CONFIGS / "sample_cnn.yaml"), "--dataset", str(sample_dataset)]
    words += ["--output_dir", str(tmp_path / "out"), "--max_steps", "2", "--disable_tqdm", "true"]
    script = [sys.executable, str(ROOT / "scripts" / "train.py"), *words]
    open_splits(sample_dataset)  # unpacked into the cache while there is room
    # Files of at most 300 blocks of 1024 bytes, fewer than the weights have.
    limited = ["bash", "-c", 'ulimit -f 300; exec "$@"', "bash", *script]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.search(
        r"^error: A checkpoint could not be written to .*disk may be full", done.stderr, re.M
    )
    again = [*words, "--resume_from_checkpoint", "true"]
    assert train(*parse_arguments(build_parser("test"), again)).record["steps"] == 2


def test_a_teacher_is_learned_from(finished, sample_dataset, tmp_path):
    options = ["--max_steps", "2", "--teacher", str(finished.output_dir)]
    taught = run(tmp_path / "taught", sample_dataset, *options, "--teacher_weight", "1.0")
    alone = run(tmp_path / "alone", sample_dataset, "--max_steps", "2")
    assert differing(weights_of(taught.output_dir), weights_of(alone.output_dir))
    assert taught.record["recipe"]["teacher"] == [str(finished.output_dir)]
    assert taught.record["started_from"] is None
    assert taught.record["taught_by"]["epochs"] == 2
    again = [*options, str(taught.output_dir), "--teacher_temperature", "2", "--bf16", "true"]
    both = run(tmp_path / "both", sample_dataset, *again).record["taught_by"]
    assert [teacher["epochs"] for teacher in both] == [2, taught.record["epochs"]]
    assert both[1]["taught_by"]["epochs"] == 2


def test_a_run_with_averages_in_bfloat16_is_averaged_and_packed(sample_dataset, tmp_path):
    options = ["--max_steps", "4", "--save_steps", "2", "--ema_decay", "0.9", "--bf16", "true"]
    trained = run(tmp_path / "run", sample_dataset, *options, model="test_resnet").output_dir
    checkpoints = sorted(trained.glob("checkpoint-*"))
    average_checkpoints(checkpoints, tmp_path / "mean")
    first, second, mean = map(weights_of, (*checkpoints, tmp_path / "mean"))
    assert {weight.dtype for weight in mean.values()} == {torch.float32, torch.int64}
    for name, weight in mean.items():
        halves = (first[name].double() + second[name].double()) / 2
        assert torch.equal(weight, halves.to(weight.dtype))
    pack_model(tmp_path / "mean", tmp_path / "packed", image_size=48)
    shown = pipeline("image-classification", model=str(tmp_path / "packed"), top_k=7)
    assert len(shown(Image.new("RGB", (200, 150), "tan"))) == 7
    assert shown.model.dtype == torch.float32


def test_the_record_tells_what_a_run_started_from(finished, sample_dataset, tmp_path):
    on = run(tmp_path / "on", sample_dataset, "--max_steps", "1", model=str(finished.output_dir))
    record = on.record
    assert record["architecture"] == finished.record["architecture"]
    before = record["started_from"]
    assert before["model"] == finished.record["model"]
    assert before["dataset"]["fingerprint"] == record["dataset"]["fingerprint"]
    assert "history" not in before


def test_half_precision_and_accumulation_work_on_a_cpu_too(sample_dataset, tmp_path):
    options = ["--fp16", "true", "--gradient_accumulation_steps", "2", "--max_steps", "2"]
    finished = run(tmp_path / "out", sample_dataset, *options)
    assert finished.record["effective_batch_size"] == 16
    weights = weights_of(finished.output_dir)
    assert all(weight.isfinite().all() for weight in weights.values())
    assert {weight.dtype for weight in weights.values()} == {torch.float32, torch.int64}


def test_bfloat16_changes_the_training_and_not_the_evaluation(sample_dataset, tmp_path):
    """What the Trainer evaluated, `evaluate` in float32 gives again from the saved weights."""
    runs = {
        name: run(tmp_path / name, sample_dataset, "--max_steps", "6", *words, model="test_resnet")
        for name, words in {"bf16": ["--bf16", "true"], "fp32": []}.items()
    }
    assert differing(*(weights_of(each.output_dir) for each in runs.values()))
    record = runs["bf16"].record
    assert record["trainer"]["bf16"] is True
    classifier, processor = load_classifier(str(runs["bf16"].output_dir))
    samples = LesionSamples(open_splits(sample_dataset)["validation"], EvalTransform(processor))
    batch = collate([samples[row] for row in range(len(samples))])
    with torch.inference_mode():
        logits = classifier(pixel_values=batch["pixel_values"]).logits
    loss = torch.nn.functional.cross_entropy(logits, batch["labels"]).item()
    found = [entry["eval_loss"] for entry in record["history"] if "eval_loss" in entry]
    assert found[-1] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("drop_last", ["true", "false"])
def test_validation_is_whole_and_training_drops_only_if_asked(drop_last, sample_dataset, tmp_path):
    options = ["--per_device_eval_batch_size", "4", "--per_device_train_batch_size", "16"]
    options += ["--num_train_epochs", "1", "--dataloader_drop_last", drop_last]
    record = run(tmp_path / "out", sample_dataset, *options).record
    images = record["dataset"]["images"]
    assert images["validation"] % 4
    scores = [entry["eval_accuracy"] for entry in record["history"] if "eval_loss" in entry]
    for score in scores:
        assert score * images["validation"] == pytest.approx(round(score * images["validation"]))
    assert images["train"] == 60
    expected = (48, 3) if drop_last == "true" else (60, 4)
    assert (record["dataset"]["samples_per_epoch"], record["steps"]) == expected


@pytest.mark.parametrize("accumulated", [pytest.param("1", marks=pytest.mark.slow), "3"])
def test_an_image_that_is_left_over_does_not_end_the_run(accumulated, sample_dataset, tmp_path):
    """At 32 pixels the last map of this network is 1x1: batch norm fails on a single image."""
    options = ["--per_device_train_batch_size", "59", "--num_train_epochs", "2"]
    options += ["--gradient_accumulation_steps", accumulated, "--imbalance", "none"]
    record = run(tmp_path / "out", sample_dataset, *options, model="test_resnet").record
    assert record["dataset"]["images"]["train"] == 60
    assert record["dataset"]["samples_per_epoch"] == 61
    assert record["epochs"] == 2


def test_single_images_are_refused_where_batch_norm_has_one_value(sample_dataset, tmp_path):
    options = ["--per_device_train_batch_size", "1", "--max_steps", "1"]
    with pytest.raises(
        InputError, match=r"^Batch norm cannot be trained with one image per step\. "
    ):
        run(tmp_path / "out", sample_dataset, *options, model="test_resnet")
    assert run(tmp_path / "cnn", sample_dataset, *options).record["steps"] == 1


def test_a_source_is_left_out_of_training_and_validation(sample_dataset, tmp_path):
    splits = open_splits(sample_dataset)
    kept = leave_out(splits, "rosendahl")
    for name in ("train", "validation"):
        before = [
            row for row, source in enumerate(splits[name]["dataset"]) if source != "rosendahl"
        ]
        lost = {
            lesion
            for split in ("train", "validation")
            for lesion, source in zip(
                splits[split]["lesion_id"], splits[split]["dataset"], strict=True
            )
            if source == "rosendahl"
        }
        expected = [splits[name][row]["image_id"] for row in before]
        assert set(kept[name]["image_id"]) == {
            image_id
            for row, image_id in zip(before, expected, strict=True)
            if splits[name][row]["lesion_id"] not in lost
        }
        assert 0 < len(kept[name]) < len(splits[name])
    assert len(kept["test"]) == len(splits["test"])
    record = run(
        tmp_path / "out", sample_dataset, "--max_steps", "1", "--leave_out_source", "rosendahl"
    ).record
    assert record["recipe"]["leave_out_source"] == "rosendahl"
    assert record["dataset"]["images"]["train"] == len(kept["train"])
    with pytest.raises(InputError) as refusal:
        leave_out(splits, "Rosendahl")
    assert str(refusal.value) == (
        "Unknown --leave_out_source 'Rosendahl'. The sources of this dataset are rosendahl, "
        "vidir_modern, vidir_molemax, vienna_dias."
    )
    with pytest.raises(InputError, match=r"The sources of this dataset are unknown\.$"):
        leave_out(splits.remove_columns("dataset"), "rosendahl")


@pytest.mark.parametrize(
    "name", [*RECIPES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE_RECIPES)]
)
def test_every_recipe_takes_a_step_here(name, sample_dataset, tmp_path):
    """On random weights, in float32 and small, since there is neither a GPU nor a network."""
    argv = ["--config", str(CONFIGS / f"{name}.yaml"), "--dataset", str(sample_dataset)]
    argv += ["--output_dir", str(tmp_path / "out"), "--max_steps", "1", "--disable_tqdm", "true"]
    argv += ["--eval_strategy", "no", "--save_strategy", "no", "--load_best_model_at_end", "false"]
    argv += ["--per_device_train_batch_size", "2", "--image_size", "64", "--pretrained", "false"]
    argv += ["--bf16", "false", "--dataloader_num_workers", "0"]
    assert train(*parse_arguments(build_parser("test"), argv)).record["steps"] == 1


@pytest.mark.slow
def test_the_script_launches_and_says_where_things_are(sample_dataset, tmp_path):
    """With a progress bar in images, and scores for TensorBoard."""
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu"]
    launch += ["--num_processes", "1", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", str(ROOT / "scripts" / "train.py")]
    words = ["--config", str(CONFIGS / "sample_cnn.yaml"), "--dataset", str(sample_dataset)]
    words += ["--output_dir", str(tmp_path / "out"), "--max_steps", "3"]
    words += ["--per_device_train_batch_size", "8", "--report_to", "tensorboard"]
    logs = os.environ | {"TENSORBOARD_LOGGING_DIR": str(tmp_path / "logs")}
    done = subprocess.run([*launch, *words], capture_output=True, text=True, check=False, env=logs)
    assert done.returncode == 0, done.stderr
    assert f"Model, training.json and curves.png: {tmp_path / 'out'}" in done.stdout
    assert (tmp_path / "out" / "training.json").is_file()
    assert re.search(r"24/24 \[.* images/s\]", done.stderr), done.stderr[-2000:]
    events = EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    assert "eval/balanced_accuracy" in events.Tags()["scalars"]


def test_the_script_trains_and_says_where_things_are(sample_dataset, tmp_path, monkeypatch, capsys):
    words = ["--config", CONFIGS / "sample_cnn.yaml", "--dataset", sample_dataset]
    words += ["--output_dir", tmp_path / "out", "--max_steps", 1, "--disable_tqdm", "true"]
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, words)])
    runpy.run_path(str(ROOT / "scripts" / "train.py"), run_name="__main__")
    assert f"Model, training.json and curves.png: {tmp_path / 'out'}\n" in capsys.readouterr().out
    assert (tmp_path / "out" / "training.json").is_file()


def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys):
    words = ["--dataset", str(tmp_path), "--output_dir", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "scripts" / "train.py"), run_name="__main__")
    assert stop.value.code == 2
    assert re.fullmatch(r"error: .*prepare_data\.py.*\n", capsys.readouterr().err)


@pytest.mark.slow
def test_two_processes_train_save_by_the_clock_and_evaluate_together(sample_dataset, tmp_path):
    """gloo here; NCCL by the same line on GPUs. A deadlock would end in the timeout."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launch += ["--master_port", "29611", str(ROOT / "scripts" / "train.py")]
    words = ["--config", str(CONFIGS / "sample_cnn.yaml"), "--dataset", str(sample_dataset)]
    words += ["--output_dir", str(tmp_path / "out"), "--max_steps", "4"]
    words += ["--per_device_train_batch_size", "4", "--checkpoint_minutes", "0.0001"]
    done = subprocess.run(
        [*launch, *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (record["processes"], record["effective_batch_size"]) == (2, 8)
    assert done.stdout.count("Model, training.json and curves.png") == 1
    newest = tmp_path / "out" / "checkpoint-4"
    assert {file.name for file in newest.glob("rng_state_*")} == {
        "rng_state_0.pth",
        "rng_state_1.pth",
    }


def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch):
    calls = []
    library = SimpleNamespace(mallopt=lambda *call: calls.append(call) or 1)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert keep_freed_memory()
    assert tuple(calls) == KEEP_MEMORY
    del library.mallopt
    assert not keep_freed_memory()
