"""Checkpoints of a run: finding the newest complete one, and averaging the weights of several."""

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from hf_lesion.errors import InputError
from hf_lesion.io.checksums import CONFIG, TRAINING, WEIGHTS
from hf_lesion.io.files import check_model_path, whole_folder, write_json
from hf_lesion.training.record import AVERAGED, read_record

PREFIX = "checkpoint-"
PROCESSOR = "preprocessor_config.json"
# In the order in which the Trainer writes them: a checkpoint with the last one is complete.
STATE = "trainer_state.json"
FILES = (CONFIG, WEIGHTS, "optimizer.pt", "scheduler.pt", STATE)

logger = logging.getLogger(__name__)


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Return the checkpoint folders of a run, newest first, including incomplete ones."""
    numbered = [
        (int(folder.name.removeprefix(PREFIX)), folder)
        for folder in output_dir.glob(f"{PREFIX}*")
        if folder.is_dir() and folder.name.removeprefix(PREFIX).isdigit()
    ]
    return [folder for _, folder in sorted(numbered, reverse=True)]


def find_checkpoint(output_dir: Path, *, also: Sequence[str] = ()) -> Path | None:
    """Return the newest complete checkpoint, or None; damaged ones are logged and skipped.

    `also` names files that a complete one of this run has in addition to the Trainer's.
    """
    for folder in list_checkpoints(output_dir):
        damage = describe_damage(folder, also=also)
        if damage is None:
            return folder
        logger.warning("Skipping %s: %s.", folder, damage)
    return None


def describe_damage(folder: Path, *, also: Sequence[str] = ()) -> str | None:
    """Return why a checkpoint folder cannot be used, or None if it is complete."""
    missing = [name for name in (*FILES, *also) if not (folder / name).is_file()]
    if missing:
        return f"it lacks {', '.join(missing)}"
    try:
        json.loads((folder / STATE).read_text(encoding="utf-8"))
        with safe_open(folder / WEIGHTS, framework="pt") as weights:
            weights.keys()
    except (ValueError, SafetensorError, OSError) as error:
        return f"it is damaged ({error})"
    return None


def average_checkpoints(folders: Sequence[Path], output: Path, *, overwrite: bool = False) -> None:
    """Write a model whose weights are the mean of the weights of several checkpoints.

    Those are finished runs, or checkpoint-* folders of finished runs, of one architecture. Batch
    norm statistics are averaged as well. The record is that of the run of the first folder, with a
    list of the folders. Averaging helps with checkpoints of one run, or of runs that started from
    the same weights.

    Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization"
    (UAI 2018); Wortsman et al., "Model soups" (ICML 2022).
    """
    if len(folders) < 2:
        raise InputError(f"Expected at least two checkpoints to average, got {len(folders)}.")
    for folder in (*folders, output):
        check_model_path(folder)
    runs = [_run_of(folder) for folder in folders]
    record = read_record(runs[0])
    weights = [load_file(folder / WEIGHTS) for folder in folders]
    shapes = [{name: tensor.shape for name, tensor in each.items()} for each in weights]
    for folder, other in zip(folders, shapes, strict=True):
        if other != shapes[0]:
            raise InputError(f"{folder} has another architecture than the first folder.")
    mean = {
        name: torch.stack([each[name].double() for each in weights]).mean(dim=0).to(tensor.dtype)
        for name, tensor in weights[0].items()
    }
    with whole_folder(output, overwrite=overwrite) as partial:
        save_file(mean, partial / WEIGHTS, metadata={"format": "pt"})
        shutil.copyfile(folders[0] / CONFIG, partial / CONFIG)
        for file in [*runs[0].glob(PROCESSOR), *runs[0].glob("*.py")]:
            shutil.copyfile(file, partial / file.name)
        names = [str(Path(folder.parent.name) / folder.name) for folder in folders]
        write_json(partial / TRAINING, {**record, AVERAGED: names})


def _run_of(folder: Path) -> Path:
    if missing := [name for name in (WEIGHTS, CONFIG) if not (folder / name).is_file()]:
        raise InputError(f"{folder} is not a model folder: it lacks {', '.join(missing)}.")
    found = [run for run in (folder, folder.parent) if (run / TRAINING).is_file()]
    if not found:
        raise InputError(f"{folder} does not belong to a finished run: {TRAINING} not found.")
    return found[0]
