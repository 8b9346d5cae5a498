"""Model folders for the Hub: weights, preprocessing, records, charts, card and checksums."""

import dataclasses
import inspect
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

import yaml

from hf_lesion.errors import InputError
from hf_lesion.evaluation.report.record import REPORT, read_report
from hf_lesion.hub.card import render_card
from hf_lesion.hub.charts import write_charts
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

# What resumes a run is of no use to anyone else.
PRIVATE_RECORDS = ("run.json", "trainer_state.json")
# Where nobody has written a card by hand.
RENDERED = "Written by scripts/render_results.py"
# The gate is loaded with the model, curves.png is how training went. All other charts are drawn
# anew: no picture is taken along that could show an image of the dataset.
OPTIONAL = ("gate.safetensors", "curves.png")
EXPORTED = (ONNX_FILE, QUANTISED_FILE)
MODULE = f"{cnn.__name__.rpartition('.')[2]}.py"


def build_model_folder(source: Path, folder: Path, *, name: str | None) -> None:
    """Write a publishable model folder into an empty folder and check it.

    Args:
        source: A finished run, or what `scripts/pack_model.py` made.
        folder: Empty.
        name: The model's name in its card: "owner/name", or the folder's; None, for the models of
            a Space, writes neither card nor charts and leaves ONNX files out.

    Raises:
        InputError: If the source is damaged or no finished run, or the result fails a check.
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
            # safetensors writes for the owner alone; what is published is for everyone.
            target.chmod(READABLE)
    if "auto_map" in read_json(folder / CONFIG, fix="Train the model again."):
        # The code that the weights were checked with, not whatever file was next to them.
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
    """Write the card: the source's own if it was written by hand, else one made from the records.

    What was not scored on test and validation gets a card without results. Of the charts in
    `folder`, the card shows those of `charts`.
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
        "test and validation splits yet: nothing is known of how good it is.\n"
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
