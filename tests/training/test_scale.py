"""Several processes, by accelerate's launcher: gloo here, NCCL on GPUs by the same line.

As a script, MODEL DATASET OUTPUT, this file is what the launched processes run.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hf_lesion.data.reader import open_splits
from hf_lesion.models.build import load_classifier
from hf_lesion.training.arguments import LesionTrainingArguments, RecipeArguments
from hf_lesion.training.trainer import build_trainer

TIMING = ("time", "per_second", "loss")


def evaluate(model, dataset, folder):
    """Evaluate a saved model on the validation split, by as many processes as were launched."""
    network, processor = load_classifier(str(model))
    arguments = LesionTrainingArguments(
        output_dir=str(folder / "trainer"), per_device_eval_batch_size=4, disable_tqdm=True
    )
    splits, recipe = open_splits(dataset), RecipeArguments(dataset=str(dataset))
    metrics = build_trainer(network, processor, splits, recipe, arguments).evaluate()
    if arguments.process_index == 0:
        (folder / f"{arguments.world_size}.json").write_text(json.dumps(metrics))
    return metrics, len(splits["validation"])


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_evaluate_to_the_very_metrics_of_one(
    processes, tiny_timm_model, sample_dataset, tmp_path
):
    alone, images = evaluate(tiny_timm_model, sample_dataset, tmp_path)
    assert images % (4 * processes)  # one process gets fewer images than another
    # accelerate's word for several processes on one machine; on GPUs it finds them itself.
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--multi_gpu"]
    launch += ["--num_processes", processes, "--num_machines", 1, "--main_process_port", 0]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += [__file__, tiny_timm_model, sample_dataset, tmp_path]
    done = subprocess.run(
        list(map(str, launch)), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    together = json.loads((tmp_path / f"{processes}.json").read_text())
    metrics = {key for key in alone if not any(word in key for word in TIMING)}
    assert len(metrics) > 8
    assert {key: together[key] for key in metrics} == {key: alone[key] for key in metrics}
    assert together["eval_loss"] == pytest.approx(alone["eval_loss"], rel=0.2)


if __name__ == "__main__":
    evaluate(*map(Path, sys.argv[1:]))
