"""Packing of a finished run: weights in half precision, preprocessing and training record."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import BaseImageProcessor, PreTrainedModel

from hf_lesion.errors import InputError
from hf_lesion.io.checksums import TRAINING, WEIGHTS
from hf_lesion.io.files import check_model_path, parse_json, whole_folder, write_text
from hf_lesion.models.build import SMALLEST_IMAGE, load_classifier
from hf_lesion.models.cnn import LesionCnnConfig
from hf_lesion.models.compact import save_compact
from hf_lesion.models.preprocessing import change_processor

READABLE = 0o644


def pack_model(
    run: Path,
    output: Path,
    *,
    overwrite: bool = False,
    crop_mode: str | None = None,
    image_size: int | None = None,
    finish: Callable[[Path], object] | None = None,
) -> int:
    """Write the model folder of a run, weights in half precision; return its size in bytes.

    Checkpoints, optimiser states and logs are left out, and so are scores, which were measured with
    the unpacked weights.

    `crop_mode` and `image_size` replace those of the run: a model trained on square images can be
    used with any crop mode. `finish` changes the folder before it gets its name, such as
    calibration.
    """
    check_model_path(output)
    record = read_training(run)
    model, processor = load_classifier(str(run))
    if crop_mode is not None:
        processor = change_processor(model.config, processor, crop_mode=crop_mode)
    if image_size is not None:
        processor = change_size(model, processor, image_size)
    with whole_folder(output, overwrite=overwrite) as partial:
        save_compact(model, processor, partial)
        write_text(partial / TRAINING, hide_home(record))
        if finish is not None:
            finish(partial)
        # safetensors makes files that only their owner can read.
        (partial / WEIGHTS).chmod(READABLE)
    return folder_bytes(output)


def change_size(
    model: PreTrainedModel, processor: BaseImageProcessor, image_size: int
) -> BaseImageProcessor:
    """Return a processor for another input size, and set it in the model's config; weights stay.

    Random crops enlarge lesions, so a network often scores best at a size above that of training
    (Touvron, Vedaldi, Douze, Jégou, "Fixing the train-test resolution discrepancy", NeurIPS 2019).
    """
    if image_size < SMALLEST_IMAGE:
        raise InputError(f"Expected --image_size of at least {SMALLEST_IMAGE}, got {image_size}.")
    try:
        with torch.inference_mode():
            model.eval()(pixel_values=torch.zeros(1, 3, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InputError(
            f"The network does not accept images of {image_size} px. Leave out --image_size."
        ) from error
    if isinstance(model.config, LesionCnnConfig):
        model.config.image_size = image_size
    return change_processor(model.config, processor, image_size=image_size)


def read_training(run: Path) -> str:
    """Return the text of a run's training record, which must exist and be JSON."""
    file = run / TRAINING
    if not file.is_file():
        raise InputError(
            f"{run} is not a finished run: it has no {TRAINING}. Pass the --output_dir of "
            "scripts/train.py, once that has ended."
        )
    data = file.read_bytes()
    parse_json(data, source=str(file), fix="Train the model again.")
    return data.decode()


def hide_home(text: str) -> str:
    """Return the text with `~` in place of this user's home folder."""
    return text.replace(str(Path.home()) + "/", "~/")


def folder_bytes(folder: Path) -> int:
    """Return the sum of the sizes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
