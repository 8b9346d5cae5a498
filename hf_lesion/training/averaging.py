"""Several checkpoints of one network as one: the mean of their weights.

Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization" (UAI
2018); Wortsman et al., "Model soups" (ICML 2022). It pays where the checkpoints lie in one valley:
of one run, or of runs that started from the same weights.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.checksums import CONFIG, TRAINING, WEIGHTS
from hf_lesion.io.files import check_model_path, whole_folder, write_json
from hf_lesion.training.record import AVERAGED, read_record

PROCESSOR = "preprocessor_config.json"


def average_checkpoints(folders: Sequence[Path], output: Path, *, overwrite: bool = False) -> None:
    """Write a folder whose weights are the mean of those in the given ones.

    Running statistics of batch norm are averaged as well. The record is that of the first folder's
    run, and names all of them.

    Args:
        folders: At least two: finished runs, or checkpoint-* folders inside of them.
        output: The folder to make.
        overwrite: Replace it if it already exists.

    Raises:
        InputError: If one holds no weights, is of no finished run, or of another network.
    """
    if len(folders) < 2:
        raise InputError(f"Expected two checkpoints or more to average, got {len(folders)}.")
    for folder in (*folders, output):
        check_model_path(folder)
    runs = [_run_of(folder) for folder in folders]
    record = read_record(runs[0])
    weights = [load_file(folder / WEIGHTS) for folder in folders]
    for folder, other in zip(folders[1:], weights[1:], strict=True):
        _check_alike(weights[0], other, folder)
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
        raise InputError(f"{folder} holds no model: it has no {' and no '.join(missing)}.")
    found = [run for run in (folder, folder.parent) if (run / TRAINING).is_file()]
    if not found:
        raise InputError(f"{folder} is of no finished run: there is no {TRAINING}. Let it finish.")
    return found[0]


def _check_alike(
    first: dict[str, torch.Tensor], other: dict[str, torch.Tensor], folder: Path
) -> None:
    differing = sorted(
        name
        for name in first.keys() | other.keys()
        if name not in first or name not in other or first[name].shape != other[name].shape
    )
    if differing:
        raise InputError(
            f"{folder} is another network than the first: it differs in "
            f"{list_offenders(differing, 3)}. Average checkpoints of one network."
        )
