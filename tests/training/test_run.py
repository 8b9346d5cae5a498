import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import pipeline

from hf_lesion.data.reader import open_splits
from hf_lesion.errors import InputError, StoppedError
from hf_lesion.io.files import without_nan
from hf_lesion.labels import CODES
from hf_lesion.models.build import load_classifier
from hf_lesion.training.arguments import build_parser, parse_arguments
from hf_lesion.training.callbacks import ClockCallback
from hf_lesion.training.ema import RAW_WEIGHTS
from hf_lesion.training.interruption import lock_folder
from hf_lesion.training.record import check_identity, read_teachers, write_identity
from hf_lesion.training.run import leave_out, train
from hf_lesion.training.samples import EvalTransform, LesionSamples, collate

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "scripts" / "configs"
RECIPES = (
    "cnn",
    "cnn_student",
    "resnet18",
    "densenet121",
    "resnet50",
    "resnet50_gpu",
    "densenet121_gpu",
)
TINY_CNN = '{"widths": [4, 8], "pooling": "average", "hidden_sizes": []}'
RESUME = ("--resume_from_checkpoint", "true")


def run(output_dir, dataset, *words, model="cnn"):
    argv = ["--model", model, "--image_size", "32", "--dataset", str(dataset)]
    argv += ["--model_args", TINY_CNN] if model == "cnn" else []
    argv += ["--output_dir", str(output_dir), "--per_device_train_batch_size", "8"]
    argv += ["--disable_tqdm", "true", "--imbalance", "sqrt_sampler", *words]
    return train(*parse_arguments(build_parser("test"), argv))


def sample_command(dataset, output_dir, *words):
    """Return scripts/train.py with the recipe of the sample set, as a command line."""
    given = ["--config", CONFIGS / "sample_cnn.yaml", "--dataset", dataset]
    given += ["--output_dir", output_dir, "--per_device_train_batch_size", 8, *words]
    return [str(ROOT / "scripts" / "train.py"), *map(str, given)]


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def differing(first, second):
    return [key for key in first if not torch.equal(first[key], second[key])]


def evaluations(run):
    return [entry for entry in run.record["history"] if "eval_loss" in entry]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sample_dataset):
    return run(tmp_path_factory.mktemp("run") / "out", sample_dataset, "--num_train_epochs", "2")


def test_a_run_leaves_a_model_its_record_and_curves_and_no_pickle(finished, sample_dataset):
    folder = finished.output_dir
    answer = pipeline("image-classification", model=str(folder), top_k=7)(
        Image.new("RGB", (200, 150), "tan")
    )
    assert sorted(entry["label"] for entry in answer) == list(CODES)
    record = json.loads((folder / "training.json").read_text())
    assert record == json.loads(json.dumps(without_nan(finished.record)))
    prepared = json.loads((sample_dataset / "prepared.json").read_text())
    for name in ("fingerprint", "description"):
        assert record["dataset"][name] == prepared[name]
    assert record["dataset"]["synthetic"] is True
    assert (record["seed"], record["epochs"]) == (42, 2)
    assert set(record["provenance"]) >= {"command", "versions", "git_revision", "time"}
    assert [leg["from"] for leg in record["legs"]] == [None]
    assert Image.open(folder / "curves.png").size == (1200, 480)
    assert not [file for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".pkl")]


def test_the_best_epoch_is_what_is_kept(finished):
    scores = {entry["step"]: entry["eval_balanced_accuracy"] for entry in evaluations(finished)}
    assert len(scores) == 2
    best = max(scores.values())
    assert finished.record["best_metric"] == {"name": "balanced_accuracy", "value": best}
    assert scores[finished.record["best_step"]] == best
    checkpoint = finished.output_dir / f"checkpoint-{finished.record['best_step']}"
    assert differing(weights_of(checkpoint), weights_of(finished.output_dir)) == []


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
    resumed = run(tmp_path / "cut", sample_dataset, *options, *RESUME, model=model)
    last = f"checkpoint-{whole.record['steps']}"
    assert whole.record["steps"] > 12
    expected, got = weights_of(whole.output_dir / last), weights_of(resumed.output_dir / last)
    assert differing(expected, got) == []
    raw = [load_file(run.output_dir / last / RAW_WEIGHTS) for run in (whole, resumed)]
    assert differing(*raw) == []
    assert differing(raw[0], expected)  # the average is not what the optimiser goes on with
    assert [leg["from"] for leg in resumed.record["legs"]] == [None, "checkpoint-10"]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_a_signal_saves_first_and_the_run_goes_on_to_the_same_weights(
    finished, sample_dataset, tmp_path, monkeypatch, number, code
):
    def ask_to_stop(self, args, state, control, **kwargs):
        if state.global_step == 3:
            os.kill(os.getpid(), number)

    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(ClockCallback, "on_step_end", ask_to_stop)
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
    resumed = run(tmp_path / "out", sample_dataset, "--num_train_epochs", "2", *RESUME)
    assert differing(weights_of(resumed.output_dir), weights_of(finished.output_dir)) == []
    scores = [
        [(entry["step"], entry["eval_balanced_accuracy"]) for entry in evaluations(each)]
        for each in (resumed, finished)
    ]
    assert scores[0] == scores[1]


def test_resuming_a_finished_run_changes_nothing(finished, sample_dataset, tmp_path):
    folder = shutil.copytree(finished.output_dir, tmp_path / "copy")
    before = {file.name: file.read_bytes() for file in folder.glob("*.[js]*")}
    again = run(folder, sample_dataset, "--num_train_epochs", "2", *RESUME)
    assert again.record == json.loads(before["training.json"])
    after = {file.name: file.read_bytes() for file in folder.glob("*.[js]*")}
    assert {name for name in before if before[name] != after[name]} <= {"run.json"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            [*RESUME, "--seed", "7", "--augmentation", "strong"],
            r"checkpoint-\d+ has other settings: augmentation was 'standard' and is 'strong', "
            r"seed was 42 and is 7\. Resume with the original settings",
        ),
        ([], r"out already contains a training run\. Pass --resume_from_checkpoint true to "),
        (
            ["--resume_from_checkpoint", "/no/such"],
            r"^/no/such is not a complete checkpoint: it lacks config\.json, ",
        ),
    ],
)
def test_a_finished_run_is_not_continued_as_another(finished, sample_dataset, words, message):
    with pytest.raises(InputError, match=message):
        run(finished.output_dir, sample_dataset, *words)


def test_a_run_of_an_earlier_version_resumes_only_with_what_was_done_then(tmp_path):
    write_identity(tmp_path, {"seed": 1}, [])
    now, checkpoint = {"seed": 1, "crop_mode": "squash", "cutmix": 0.0}, tmp_path / "checkpoint-3"
    assert len(check_identity(tmp_path, now, checkpoint)) == 1
    message = (
        r"settings: crop_mode was 'squash' and is 'centre', cutmix was 0\.0 and is 1\.0\. Resume"
    )
    with pytest.raises(InputError, match=message):
        check_identity(tmp_path, {**now, "crop_mode": "centre", "cutmix": 1.0}, checkpoint)


def test_two_runs_do_not_share_a_folder(sample_dataset, tmp_path):
    folder = tmp_path / "out"
    message = f"^Another run is training in {re.escape(str(folder))}. Wait for it, or pass another "
    with lock_folder(folder), pytest.raises(InputError, match=message):
        run(folder, sample_dataset)


def test_the_clock_asks_for_checkpoints_and_a_lower_loss_is_better(sample_dataset, tmp_path):
    options = ["--max_steps", "3", "--checkpoint_minutes", "0", "--save_total_limit", "9"]
    options += ["--save_steps", "3", "--eval_steps", "1", "--metric_for_best_model", "loss"]
    found = run(tmp_path / "out", sample_dataset, *options)
    saved = sorted(folder.name for folder in (tmp_path / "out").glob("checkpoint-*"))
    assert saved == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    losses = [entry["eval_loss"] for entry in evaluations(found)]
    assert len(losses) == 3
    assert found.record["best_metric"] == {"name": "loss", "value": min(losses)}


def test_training_stops_when_nothing_gets_better(sample_dataset, tmp_path):
    options = ["--num_train_epochs", "9", "--early_stopping_patience", "1"]
    options += ["--learning_rate", "1e-12", "--warmup_steps", "0"]
    # Moving batch statistics may still change a validation score once.
    assert run(tmp_path / "out", sample_dataset, *options).record["epochs"] < 9


def test_a_loss_that_is_not_finite_ends_the_run_before_anything_is_saved(sample_dataset, tmp_path):
    options = ["--learning_rate", "1e30", "--warmup_steps", "0", "--max_grad_norm", "0"]
    with pytest.raises(InputError, match=r" at step \d+: the run was stopped; .* lower --learn"):
        run(tmp_path / "out", sample_dataset, *options)
    assert not list((tmp_path / "out").glob("checkpoint-*"))


def test_the_record_tells_what_a_run_started_from_and_learned_from(
    finished, sample_dataset, tmp_path
):
    folder = str(finished.output_dir)
    words = ["--max_steps", "1", "--learning_rate", "0.1", "--warmup_steps", "0"]
    alone, taught = (
        run(tmp_path / name, sample_dataset, *words, *more, model=folder)
        for name, more in (("alone", []), ("taught", ["--teacher", folder]))
    )
    assert differing(weights_of(taught.output_dir), weights_of(alone.output_dir))
    record = taught.record
    assert record["architecture"] == finished.record["architecture"]
    before = record["started_from"]
    assert before["model"] == finished.record["model"]
    assert before["dataset"]["fingerprint"] == record["dataset"]["fingerprint"]
    assert "history" not in before
    assert (record["taught_by"], alone.record["taught_by"]) == (before, None)
    assert record["recipe"]["teacher"] == [folder]
    both = read_teachers([folder, str(taught.output_dir)])
    assert [teacher["epochs"] for teacher in both] == [2, record["epochs"]]
    assert both[1]["taught_by"] == before


def test_bfloat16_changes_the_training_and_not_the_evaluation(sample_dataset, tmp_path):
    """What the Trainer evaluated, `evaluate` in float32 gives again from the saved weights."""
    runs = {
        name: run(tmp_path / name, sample_dataset, "--max_steps", "2", *words, model="test_resnet")
        for name, words in {"bf16": ["--bf16", "true"], "fp32": []}.items()
    }
    assert differing(*(weights_of(each.output_dir) for each in runs.values()))
    assert runs["bf16"].record["trainer"]["bf16"] is True
    classifier, processor = load_classifier(str(runs["bf16"].output_dir))
    samples = LesionSamples(open_splits(sample_dataset)["validation"], EvalTransform(processor))
    batch = collate([samples[row] for row in range(len(samples))])
    with torch.inference_mode():
        logits = classifier(pixel_values=batch["pixel_values"]).logits
    loss = torch.nn.functional.cross_entropy(logits, batch["labels"]).item()
    assert evaluations(runs["bf16"])[-1]["eval_loss"] == pytest.approx(loss, rel=1e-5)


def test_validation_is_whole_where_training_drops_images(sample_dataset, tmp_path):
    options = ["--per_device_eval_batch_size", "4", "--per_device_train_batch_size", "16"]
    options += ["--num_train_epochs", "1", "--dataloader_drop_last", "true"]
    found = run(tmp_path / "out", sample_dataset, *options)
    images = found.record["dataset"]["images"]
    assert images["validation"] % 4
    for right in (entry["eval_accuracy"] * images["validation"] for entry in evaluations(found)):
        assert right == pytest.approx(round(right))
    assert images["train"] == 60
    assert (found.record["dataset"]["samples_per_epoch"], found.record["steps"]) == (48, 3)


@pytest.mark.parametrize("accumulated", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_an_image_that_is_left_over_does_not_end_the_run(accumulated, sample_dataset, tmp_path):
    """At 32 pixels the last map of this network is 1x1: batch norm fails on a single image."""
    options = ["--per_device_train_batch_size", "59", "--num_train_epochs", "2"]
    options += ["--gradient_accumulation_steps", str(accumulated), "--imbalance", "none"]
    record = run(tmp_path / "out", sample_dataset, *options, model="test_resnet").record
    assert record["dataset"]["images"]["train"] == 60
    assert record["dataset"]["samples_per_epoch"] == 61
    assert (record["epochs"], record["effective_batch_size"]) == (2, 59 * accumulated)


def test_single_images_are_refused_where_batch_norm_has_one_value(sample_dataset, tmp_path):
    options = ["--per_device_train_batch_size", "1", "--max_steps", "1"]
    message = r"^Batch norm cannot be trained with one image per step\. "
    with pytest.raises(InputError, match=message):
        run(tmp_path / "out", sample_dataset, *options, model="test_resnet")


def test_a_source_and_its_lesions_are_left_out_of_training_and_validation(sample_dataset):
    splits = open_splits(sample_dataset)
    kept = leave_out(splits, "rosendahl")
    rows = [
        row for split in ("train", "validation") for row in splits[split].remove_columns("image")
    ]
    lost = {row["lesion_id"] for row in rows if row["dataset"] == "rosendahl"}
    expected = {row["image_id"] for row in rows if row["lesion_id"] not in lost}
    assert {*kept["train"]["image_id"], *kept["validation"]["image_id"]} == expected
    assert all(0 < len(kept[name]) < len(splits[name]) for name in ("train", "validation"))
    assert len(kept["test"]) == len(splits["test"])
    message = (
        "Unknown --leave_out_source 'Rosendahl'. The sources of this dataset are rosendahl, "
        "vidir_modern, vidir_molemax, vienna_dias."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        leave_out(splits, "Rosendahl")
    with pytest.raises(InputError, match=r"The sources of this dataset are unknown\.$"):
        leave_out(splits.remove_columns("dataset"), "rosendahl")


def test_the_script_trains_and_says_where_things_are(sample_dataset, tmp_path, monkeypatch, capsys):
    words = sample_command(
        sample_dataset, tmp_path / "out", "--max_steps", 1, "--disable_tqdm", "true"
    )
    monkeypatch.setattr(sys, "argv", words)
    runpy.run_path(words[0], run_name="__main__")
    assert f"Model, training.json and curves.png: {tmp_path / 'out'}\n" in capsys.readouterr().out
    assert (tmp_path / "out" / "training.json").is_file()
    monkeypatch.setattr(sys, "argv", sample_command(tmp_path, tmp_path / "other"))
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(words[0], run_name="__main__")
    assert stop.value.code == 2
    assert re.fullmatch(r"error: .*prepare_data\.py.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "name",
    ["tf_efficientnet_lite0", *(pytest.param(name, marks=pytest.mark.slow) for name in RECIPES)],
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
def test_workers_change_nothing(finished, sample_dataset, tmp_path):
    options = ["--num_train_epochs", "2", "--dataloader_num_workers", "2"]
    options += ["--dataloader_multiprocessing_context", "spawn"]
    helped = run(tmp_path / "helped", sample_dataset, *options)
    assert differing(weights_of(helped.output_dir), weights_of(finished.output_dir)) == []


@pytest.mark.slow
def test_two_processes_train_save_by_the_clock_and_evaluate_together(sample_dataset, tmp_path):
    """gloo here; NCCL by the same line on GPUs. A deadlock would end in the timeout."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launch += ["--master_port", "29611"]
    words = sample_command(
        sample_dataset, tmp_path / "out", "--max_steps", 4, "--checkpoint_minutes", "0.0001"
    )
    done = subprocess.run(
        [*launch, *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (record["processes"], record["effective_batch_size"]) == (2, 16)
    assert done.stdout.count("Model, training.json and curves.png") == 1
    newest = tmp_path / "out" / "checkpoint-4"
    names = {file.name for file in newest.glob("rng_state_*")}
    assert names == {"rng_state_0.pth", "rng_state_1.pth"}
