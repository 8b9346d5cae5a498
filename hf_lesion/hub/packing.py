"""A finished run made into a folder to ship: weights, preprocessing, its record, nothing else."""

from collections.abc import Callable
from pathlib import Path

from hf_lesion.errors import InputError
from hf_lesion.files import parse_json, whole_folder, write_text
from hf_lesion.manifest import TRAINING, WEIGHTS
from hf_lesion.models.build import load_classifier
from hf_lesion.models.compact import save_compact
from hf_lesion.models.preprocessing import change_processor

READABLE = 0o644


def pack_model(
    run: Path,
    output: Path,
    *,
    overwrite: bool = False,
    crop_mode: str | None = None,
    finish: Callable[[Path], object] | None = None,
) -> int:
    """Write what a user of the model needs, weights in half precision, and return its bytes.

    Checkpoints, optimiser states and logs stay behind, and so do scores: those of the run were
    measured on other bytes than the packed weights.

    Args:
        run: Folder that `scripts/train.py` finished.
        output: The folder to make.
        overwrite: Replace a folder that is there already.
        crop_mode: One of `preprocessing.CROP_MODES`; None keeps the run's. Trained on square
            images, a model may be shown frames in any of them.
        finish: What is still to be done to the folder before it gets its name: calibration.

    Raises:
        InputError: If the run is not finished, or `output` is there already.
    """
    record = read_training(run)
    model, processor = load_classifier(str(run))
    if crop_mode is not None:
        processor = change_processor(model.config, processor, crop_mode=crop_mode)
    with whole_folder(output, overwrite=overwrite) as partial:
        save_compact(model, processor, partial)
        write_text(partial / TRAINING, hide_home(record))
        if finish is not None:
            finish(partial)
        # safetensors writes for the owner alone; what ships is for everyone.
        (partial / WEIGHTS).chmod(READABLE)
    return folder_bytes(output)


def read_training(run: Path) -> str:
    """Return the text of a run's training record.

    Raises:
        InputError: If there is none, or it is no JSON.
    """
    file = run / TRAINING
    if not file.is_file():
        raise InputError(
            f"{run} is no finished run: it has no {TRAINING}. Pass the --output_dir of "
            "scripts/train.py, once that has ended."
        )
    data = file.read_bytes()
    parse_json(data, source=str(file), fix="Train the model again.")
    return data.decode()


def hide_home(text: str) -> str:
    """Return the text with `~` for this user's home folder: nobody else needs to know its name."""
    return text.replace(str(Path.home()) + "/", "~/")


def folder_bytes(folder: Path) -> int:
    """Return the sum of the sizes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
