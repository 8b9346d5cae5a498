"""Results tables of the README, rendered from the reports next to the models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_lesion.errors import InputError
from hf_lesion.evaluation.comparison import read_comparison
from hf_lesion.evaluation.report.record import format_metric, read_report, say_images
from hf_lesion.hub.checks import check_measured_weights
from hf_lesion.io import markdown
from hf_lesion.io.checksums import CONFIG, TRAINING, WEIGHTS, list_models
from hf_lesion.io.files import read_json
from hf_lesion.io.numbers import format_difference
from hf_lesion.labels import CODES

TEST, VALIDATION = "test", "validation"
HEADER = (
    "model",
    "network",
    "weights",
    "balanced accuracy",
    "accuracy",
    "macro AUROC",
    "melanoma sensitivity",
)
SCORES = ("balanced_accuracy", "accuracy", "macro_auroc", "sensitivity_mel")
FITS_HEADER = (
    "model",
    "class-balanced ECE",
    "ECE of reliability",
    "malignant: sensitivity",
    "specificity",
    "melanoma: sensitivity",
    "specificity",
)
PAIRED = ("balanced_accuracy", "accuracy", "macro_auroc")
PAIRS_HEADER = ("on the same images", "balanced accuracy", "accuracy", "macro AUROC")


@dataclass(frozen=True)
class Shipped:
    """A model folder and its records."""

    name: str
    folder: Path
    config: dict[str, Any]
    training: dict[str, Any]
    report: dict[str, Any]
    weight_bytes: int

    @property
    def architecture(self) -> str:
        """Name of the network; a run that started from a folder names that folder as its model."""
        return self.training.get("architecture") or self.training["model"]["model"]


def read_shipped(models: Path) -> list[Shipped]:
    """Return the models in the subfolders of a folder, best balanced accuracy first."""
    folders = list_models(models)
    if not folders:
        raise InputError(f"No model found in {models}. Pack one with scripts/pack_model.py.")
    shipped = [read_folder(folder) for folder in folders]
    return sorted(shipped, key=lambda model: -model.report[TEST]["metrics"]["balanced_accuracy"])


def render_blocks(shipped: Sequence[Shipped]) -> dict[str, str]:
    """Return the tables on the models' scores, by the name of their block in a Markdown file."""
    return {
        "results": render_table(shipped),
        "pairs": render_pairs(shipped),
        "calibration": render_fits(shipped),
    }


def render_table(shipped: Sequence[Shipped]) -> str:
    """Return the results table and a sentence on the test images, as Markdown."""
    rows = []
    said: dict[str, list[str]] = {}
    for model in shipped:
        test = model.report[TEST]
        parameters, size = model.training["parameters"] / 1e6, model.weight_bytes / 1e6
        rows.append(
            [
                f"`{model.name}`",
                f"{model.architecture}, {test['preprocessing']['height']} px",
                f"{parameters:.1f} million, {size:.1f} MB",
                *(format_metric(test, name) for name in SCORES),
            ]
        )
        said.setdefault(_say_test(test), []).append(f"`{model.name}`")
    parts = [f"{', '.join(names)}: {sentence}" for sentence, names in said.items()]
    sentences = " ".join(parts if len(said) > 1 else said)
    return "\n".join([*markdown.table_lines(HEADER, rows), "", sentences])


def _say_test(test: Mapping[str, Any]) -> str:
    """Return the number of images, lesions and classes of a record of the test split."""
    found = test["intervals"]
    counts = ", ".join(f"{code} {test['class_counts'][code]:,}" for code in CODES)
    return (
        f"Test split: {test['images']:,} images of {test['lesions']:,} lesions ({counts}), "
        f"not used for training or model selection. In brackets: {found['level']:.0%} intervals, "
        f"bootstrap over {found['unit']}s. {say_images(test)}"
    )


def render_pairs(shipped: Sequence[Shipped]) -> str:
    """Return the paired differences between each model and the next as a Markdown table.

    Empty if scripts/compare_models.py has not compared these weights.
    """
    found = read_comparison(shipped[0].folder.parent).get(TEST, {})
    weights = {model.name: model.report[TEST]["model"]["weights_sha256"] for model in shipped}
    if not found or found["models"] != weights:
        return ""
    rows = []
    for pair in found["pairs"]:
        names = f"`{pair['first']}` minus `{pair['second']}`"
        rows.append([names, *(format_difference(pair["differences"][name]) for name in PAIRED)])
    sentence = (
        "Differences on test. Paired bootstrap over lesions: intervals of differences are narrower "
        "than those of single models."
    )
    return "\n".join([*markdown.table_lines(PAIRS_HEADER, rows), "", sentence])


def render_fits(shipped: Sequence[Shipped]) -> str:
    """Return calibration and operating points on test as a Markdown table; empty if absent."""
    rows = [_fits(model) for model in shipped if model.report[TEST].get("operating_points")]
    if not rows:
        return ""
    sentence = (
        "On test. ECE over 15 bins (in parentheses: that of a perfectly calibrated model on as "
        "many images), of the class-balanced scores and of the reliability. Thresholds were "
        "chosen on validation; reports and cards give PPV and misses per 1,000 for a prevalence "
        "that you set."
    )
    return "\n".join([*markdown.table_lines(FITS_HEADER, rows), "", sentence])


def _fits(model: Shipped) -> list[str]:
    test = model.report[TEST]
    errors = []
    for kind, name in (("answers", "class_balanced_ece"), ("reliability", "ece")):
        found = test["calibration"].get(kind)  # without reliability if that was not fitted
        errors.append(
            f"{found['metrics'][name]:.3f} ({found['chance'][name]['mean']:.3f})" if found else "–"
        )
    points = [
        format_metric(test["operating_points"][question], rate)
        for question in ("malignant", "melanoma")
        for rate in ("sensitivity", "specificity")
    ]
    return [f"`{model.name}`", *errors, *points]


def read_folder(folder: Path) -> Shipped:
    """Return one model's folder with its records, which must be of its weights."""
    try:
        check_measured_weights(folder)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    report = read_report(folder)
    missing = [split for split in (TEST, VALIDATION) if split not in report]
    if missing:
        raise InputError(
            f"{folder} was not scored on {' and '.join(missing)}. Run scripts/score.py."
        )
    again = "Pack the model again with scripts/pack_model.py."
    return Shipped(
        name=folder.name,
        folder=folder,
        config=read_json(folder / CONFIG, fix=again),
        training=read_json(folder / TRAINING, fix=again),
        report=report,
        weight_bytes=(folder / WEIGHTS).stat().st_size,
    )
