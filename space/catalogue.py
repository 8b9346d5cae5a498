"""Finds and loads the models of the page, and reads what was measured of each."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hf_lesion.errors import InputError

if TYPE_CHECKING:
    from hf_lesion.inference import LesionClassifier

MODEL_FILE = "config.json"
REPORT = "report.json"
# What was measured on the test split counts more than on the validation split, which chose epochs.
SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Measure:
    """A model's balanced accuracy in [0, 1] and the split that it was measured on."""

    balanced_accuracy: float
    split: str


def find_models(folders: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """List the model folders among these folders and right inside them.

    Args:
        folders: Model folders (with config.json), or folders of model folders.

    Returns:
        The model folders, and one line for each folder that holds none.
    """
    found: list[Path] = []
    lines = []
    for folder in folders:
        models = [folder] if (folder / MODEL_FILE).is_file() else _inside(folder)
        if not models:
            reason = (
                f"no {MODEL_FILE} in it or right below" if folder.is_dir() else "no such folder"
            )
            lines.append(f"{folder} is left out: {reason}.")
        found += [model for model in models if model not in found]
    return found, lines


def load_models(folders: Sequence[Path]) -> tuple[dict[str, "LesionClassifier"], list[str]]:
    """Load every model that can be loaded.

    Returns:
        The classifiers by a name that tells them apart, best first, and one line for each folder
        left out.

    Raises:
        InputError: If not one model could be loaded.
    """
    found, lines = find_models(folders)
    models: dict[str, LesionClassifier] = {}
    for folder in found:
        try:
            classifier = _load_model(folder)
        except Exception as error:  # noqa: BLE001 - whatever one folder holds, the others are served
            lines.append(f"{folder} is left out: {_one_line(error)}")
            continue
        models[_unique_name(folder, models)] = classifier
    if not models:
        raise InputError(
            " ".join([*lines, "There is no model to show."])
            + " Train one with scripts/train.py, then pass its folder: --models FOLDER."
        )
    return best_first(models), lines


def best_first(models: Mapping[str, "LesionClassifier"]) -> dict[str, "LesionClassifier"]:
    """Return the models in the order of their measured balanced accuracy, the unmeasured last.

    What was measured on the test split comes before what was measured on validation only.
    """

    def rank(name: str) -> tuple[int, float]:
        measure = read_measure(models[name])
        if measure is None:
            return len(SPLITS), 0.0
        return SPLITS.index(measure.split), -measure.balanced_accuracy

    return {name: models[name] for name in sorted(models, key=rank)}


def read_measure(classifier: "LesionClassifier") -> Measure | None:
    """Return the balanced accuracy that `report.json` beside the weights holds, if there is one."""
    # Read here rather than by hf_lesion.evaluation, whose packages a Space does not need.
    file = Path(classifier.model.name_or_path) / REPORT
    if not file.is_file():
        return None
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        # The page can do without a measurement: the model itself is whole.
        return None
    for split in SPLITS:
        value = _balanced_accuracy(report, split)
        if value is not None:
            return Measure(value, split)
    return None


def knows_only_drawings(classifier: "LesionClassifier") -> bool:
    """Tell whether the training record says that the model saw the drawn sample set only."""
    dataset = classifier.record.get("dataset")
    return isinstance(dataset, Mapping) and dataset.get("synthetic") is True


def _inside(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    children = sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    return [child for child in children if (child / MODEL_FILE).is_file()]


def _load_model(folder: Path) -> "LesionClassifier":
    # Torch and transformers take seconds to import: only once there is something to load.
    from hf_lesion.inference import LesionClassifier

    return LesionClassifier.from_pretrained(folder)


def _unique_name(folder: Path, taken: Mapping[str, object]) -> str:
    resolved = folder.resolve()
    name = resolved.name
    for parent in resolved.parents:
        if name not in taken:
            break
        name = f"{parent.name}/{name}"
    return name


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


def _balanced_accuracy(report: object, split: str) -> float | None:
    part = report.get(split) if isinstance(report, Mapping) else None
    metrics = part.get("metrics") if isinstance(part, Mapping) else None
    value = metrics.get("balanced_accuracy") if isinstance(metrics, Mapping) else None
    if isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1:
        return float(value)
    return None
