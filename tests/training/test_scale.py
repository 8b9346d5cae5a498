"""Several processes, by accelerate's launcher: gloo here, NCCL on GPUs by the same line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("evaluate_alone_or_together.py")
TIMING = ("time", "per_second", "processes", "loss")


def launch(processes, *words):
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    command += [
        "--num_processes",
        str(processes),
        "--num_machines",
        "1",
        "--main_process_port",
        "0",
    ]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    # accelerate's word for several processes on one machine; on GPUs it finds them itself.
    command += ["--multi_gpu"] if processes > 1 else ["--cpu"]
    done = subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_evaluate_to_the_very_metrics_of_one(
    processes, tiny_timm_model, sample_dataset, tmp_path
):
    for count in (1, processes):
        launch(count, SCRIPT, tiny_timm_model, sample_dataset, tmp_path)
    alone, together = (
        json.loads((tmp_path / f"{count}.json").read_text()) for count in (1, processes)
    )
    assert (alone["processes"], together["processes"]) == (1, processes)
    assert alone["images"] % (4 * processes)  # one process gets fewer images than another
    metrics = {key for key in alone if not any(word in key for word in TIMING)}
    assert len(metrics) > 8
    assert {key: together[key] for key in metrics} == {key: alone[key] for key in metrics}
    assert together["eval_loss"] == pytest.approx(alone["eval_loss"], rel=0.2)
