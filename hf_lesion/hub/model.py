"""Model folders for the Hub: weights, preprocessing, records, charts, card and checksums."""

import dataclasses
import inspect
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

import yaml

from hf_lesion.errors import InputError
from hf_lesion.evaluation.report.record import REPORT, read_report
from hf_lesion.hub.card import render_card, write_charts
from hf_lesion.hub.checks import (
    NON_COMMERCIAL,
    ONNX_FILE,
    OPEN,
    QUANTISED_FILE,
    check_files,
    check_measured_weights,
    check_model,
    check_model_card,
)
from hf_lesion.hub.client import CARD
from hf_lesion.hub.packing import READABLE, hide_home, read_training
from hf_lesion.hub.quantisation import check_quantised
from hf_lesion.hub.results import TEST, VALIDATION, read_folder
from hf_lesion.io.checksums import CONFIG, TRAINING, WEIGHTS, check_manifest, write_manifest
from hf_lesion.io.files import read_json, write_text
from hf_lesion.labels import NOTICE
from hf_lesion.models import cnn

# Only of use to resume the run.
PRIVATE_RECORDS = ("run.json", "trainer_state.json")
# Marks a card that was not written by hand.
RENDERED = "Written by scripts/render_results.py"
# The gate is loaded with the model; curves.png shows the training. All other charts are drawn again
# from the records, since a picture in the folder could show an image of the dataset.
OPTIONAL = ("gate.safetensors", "curves.png")
EXPORTED = (ONNX_FILE, QUANTISED_FILE)
MODULE = f"{cnn.__name__.rpartition('.')[2]}.py"


def build_model_folder(source: Path, folder: Path, *, name: str | None) -> None:
    """Write a finished or packed run as a publishable model into an empty folder, and check it.

    `name` is shown in the card; None, for the models of a Space, leaves out card, charts and ONNX.
    """
    check_manifest(source)
    read_training(source)
    optional = OPTIONAL if name is None else (*OPTIONAL, *EXPORTED)
    for file in _chosen(source, optional):
        target = folder / file.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        if file.suffix == ".json":
            write_text(target, hide_home(file.read_text(encoding="utf-8")))
        else:
            shutil.copyfile(file, target)
            # safetensors makes files that only their owner can read.
            target.chmod(READABLE)
    if "auto_map" in read_json(folder / CONFIG, fix="Train the model again."):
        # The code that the weights are checked with, not the file next to them.
        write_text(folder / MODULE, inspect.getsource(cnn))
    check_measured_weights(folder)
    check_quantised(folder)
    if name is not None:
        write_card(source, folder, name=name, charts=write_charts(folder))
    write_manifest(folder)
    check_files(folder, "model")
    check_model(folder)
    if name is not None:
        check_model_card(folder)


def write_card(source: Path, folder: Path, *, name: str, charts: Collection[str] = ()) -> None:
    """Write the card: that of the source if written by hand, else one rendered from the records.

    The card of a model that was not scored on test and validation has no results. Of the charts in
    `folder`, it shows those of `charts`.
    """
    if (source / CARD).is_file() and RENDERED not in (source / CARD).read_text(encoding="utf-8"):
        shutil.copyfile(source / CARD, folder / CARD)
    elif (folder / REPORT).is_file() and {TEST, VALIDATION} <= set(read_report(folder)):
        model = dataclasses.replace(read_folder(folder), name=name)
        write_text(folder / CARD, render_card(model, charts=charts))
    else:
        write_text(folder / CARD, _plain_card(folder, name))


def _plain_card(folder: Path, name: str) -> str:
    record = read_json(folder / TRAINING, fix="Train the model again.")
    drawn = record.get("dataset", {}).get("synthetic") is True
    front = {
        "license": OPEN if drawn else NON_COMMERCIAL,
        "library_name": "transformers",
        "pipeline_tag": "image-classification",
        "tags": ["dermoscopy", "HAM10000"],
    }
    learned = "drawn lesions only" if drawn else "HAM10000"
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n# {name}\n\n{NOTICE}\n\n"
        f"Trained on {learned}; its settings are in `{TRAINING}`. It has not been scored on the "
        "test and validation splits yet.\n"
    )


def _chosen(source: Path, optional: Sequence[str]) -> list[Path]:
    records = [file for file in source.glob("*.json") if file.name not in PRIVATE_RECORDS]
    needed = [source / CONFIG, source / WEIGHTS, source / TRAINING]
    if missing := [file.name for file in needed if not file.is_file()]:
        raise InputError(
            f"{source} has no {', '.join(missing)}. Pass the --output_dir of scripts/train.py, "
            "once that has ended, or what scripts/pack_model.py made of it."
        )
    there = [source / name for name in optional if (source / name).is_file()]
    return sorted({*records, *needed, *there})
