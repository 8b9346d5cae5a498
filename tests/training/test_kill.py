"""SIGKILL at random steps: a resumed run ends with the weights of one that was never killed."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train.py"
STEPS = 24
KILLS = 3
TINY_CNN = '{"widths": [4, 8], "pooling": "average", "hidden_sizes": [], "dropout": 0.2}'
NETWORKS = {"cnn": ["--model_args", TINY_CNN], "test_efficientnet": []}


def command(output_dir, dataset, model, *more):
    words = ["--model", model, *NETWORKS[model], "--image_size", "32", "--dataset", dataset]
    words += ["--output_dir", output_dir, "--max_steps", STEPS, "--save_steps", "4"]
    words += ["--per_device_train_batch_size", "8", "--augmentation", "strong", "--mixup", "0.3"]
    words += ["--cutmix", "1", *more]
    words += ["--imbalance", "sqrt_sampler", "--ema_decay", "0.8", "--label_smoothing", "0.1"]
    words += ["--logging_steps", "1", "--disable_tqdm", "true", "--resume_from_checkpoint", "true"]
    return [sys.executable, "-u", str(SCRIPT), *map(str, words)]


def train(*words):
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def train_and_kill(steps, *words):
    """Kill the run when it has logged this many steps; return whether it was still running."""
    with subprocess.Popen(
        command(*words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        seen = 0
        for line in process.stdout:
            seen += "'loss'" in line
            if seen == steps:
                process.kill()
                break
        process.wait(timeout=60)
    return process.returncode < 0


@pytest.mark.slow
@pytest.mark.parametrize("bf16", ["false", "true"])
@pytest.mark.parametrize("model", NETWORKS)
def test_killed_at_random_steps_a_run_ends_with_the_same_bits(
    model, bf16, sample_dataset, tmp_path
):
    draw = random.Random()
    options = ("--bf16", bf16)
    train(tmp_path / "whole", sample_dataset, model, *options)
    killed = []
    while len(killed) < KILLS:
        steps = draw.randint(1, STEPS // KILLS)
        folder = tmp_path / "killed"
        assert train_and_kill(steps, folder, sample_dataset, model, *options), killed
        killed.append(steps)
    train(tmp_path / "killed", sample_dataset, model, *options)
    whole, resumed = (
        load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")
    )
    differing = [key for key in whole if not torch.equal(whole[key], resumed[key])]
    assert not differing, f"killed after {killed} steps of each leg: {differing}"
