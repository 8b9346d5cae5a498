"""Robustness: a model's scores under distortions of its images."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hf_lesion.calibration.metrics import answered_right
from hf_lesion.errors import InputError
from hf_lesion.evaluation import bootstrap
from hf_lesion.evaluation.distortions import DISTORTIONS, distort
from hf_lesion.evaluation.predictions import Predictions, take
from hf_lesion.evaluation.scoring import EvaluationSet, take_images
from hf_lesion.io.files import write_json
from hf_lesion.io.markdown import table_lines
from hf_lesion.io.numbers import format_interval
from hf_lesion.io.provenance import provenance
from hf_lesion.labels import CODES

RECORD = "robustness.json"
SHOWN = ("accuracy", "balanced_accuracy", "sensitivity_mel")
HEADER = ("images", "balanced accuracy", "difference", "melanoma sensitivity", "same prediction")


def measure(
    predict: Callable[[EvaluationSet], Predictions],
    images: EvaluationSet,
    names: Sequence[str],
    *,
    model: dict[str, Any],
) -> dict[str, Any]:
    """Return the record of a model's scores on the original images and under `DISTORTIONS`.

    Returns:
        `images`, `unchanged` (scores), `distortions` (name → scores, `label`, `images`, and against
        the same images unchanged `difference` in balanced accuracy and `agreement`), `worst` (the
        name with the lowest balanced accuracy on all images) and `always_right`: an image counts as
        right only if it is predicted correctly unchanged and under every distortion.

    Raises:
        InputError: If a name is unknown or an image can't be read.
    """
    if unknown := [name for name in names if name not in DISTORTIONS]:
        raise InputError(f"Unknown distortion {unknown[0]!r}: expected {', '.join(DISTORTIONS)}.")
    before = predict(images)
    right = answered_right(before.probabilities, before.references)
    found: dict[str, Any] = {}
    shown = map(images.load, range(len(images.image_ids)))
    whole = np.asarray([image.width != image.height for image in shown])
    for name in names:
        rows = np.flatnonzero(whole | (not DISTORTIONS[name].whole_frames_only))
        if not len(rows):
            continue
        after = predict(_changed_by(take_images(images, rows.tolist()), name))
        found[name] = _compare(name, take(before, rows), after)
        right[rows] &= answered_right(after.probabilities, after.references)
    complete = [name for name, scores in found.items() if scores["images"] == len(right)]
    wrong = (before.references + 1) % len(CODES)
    always = np.eye(len(CODES))[np.where(right, before.references, wrong)]
    return {
        "schema_version": 1,
        "images": len(right),
        "unchanged": _score(before),
        "distortions": found,
        "worst": min(complete, key=lambda name: _balanced(found[name]), default=None),
        "always_right": _score(replace(before, probabilities=always)),
        "method": {
            "level": bootstrap.LEVEL,
            "resamples": bootstrap.RESAMPLES,
            "seed": bootstrap.SEED,
        },
        "data": images.origin,
        "model": model,
        "provenance": provenance(),
    }


def _changed_by(images: EvaluationSet, name: str) -> EvaluationSet:
    """Return the images after a distortion, each with its own random stream."""
    return replace(
        images, name=name, load=lambda index: distort(images.load(index), name, seed=index)
    )


def write_record(folder: Path, record: dict[str, Any]) -> Path:
    """Write `robustness.json` into a model's folder."""
    write_json(folder / RECORD, record)
    return folder / RECORD


def render_table(record: dict[str, Any]) -> str:
    """Return the scores as a Markdown table, the lowest balanced accuracy first."""
    before = [_cell(record["unchanged"], name) for name in ("balanced_accuracy", "sensitivity_mel")]
    rows = [("unchanged", before[0], "", before[1], "")]
    ordered = sorted(record["distortions"].items(), key=lambda entry: _balanced(entry[1]))
    for name, scores in ordered:
        change, low, high = scores["difference"]
        label = scores["label"] if name != record["worst"] else f"**{scores['label']}**"
        if scores["images"] != record["images"]:
            label += f" ({scores['images']:,} images)"
        rows.append(
            (
                label,
                _cell(scores, "balanced_accuracy"),
                format_interval(change, (low, high), signed=True),
                _cell(scores, "sensitivity_mel"),
                f"{scores['agreement']:.1%}",
            )
        )
    worst = record["always_right"]
    rows.append(("correct under all distortions", _cell(worst, "balanced_accuracy"), "", "", ""))
    return "\n".join(table_lines(HEADER, rows))


def _compare(name: str, before: Predictions, after: Predictions) -> dict[str, Any]:
    answers = [each.probabilities.argmax(axis=1) for each in (before, after)]
    differences = bootstrap.paired_differences(
        before.probabilities, after.probabilities, before.references, before.lesion_ids
    )
    return {
        "label": DISTORTIONS[name].label,
        "images": len(before.image_ids),
        **_score(after),
        "difference": list(differences["balanced_accuracy"]),
        "agreement": float((answers[0] == answers[1]).mean()),
    }


def _score(predictions: Predictions) -> dict[str, Any]:
    found = bootstrap.estimate_metrics(
        predictions.probabilities, predictions.references, predictions.lesion_ids, names=SHOWN
    )
    return {
        "metrics": {name: one.value for name, one in found.items()},
        "intervals": {name: [one.low, one.high] for name, one in found.items()},
    }


def _balanced(scores: dict[str, Any]) -> float:
    return float(scores["metrics"]["balanced_accuracy"])


def _cell(scores: dict[str, Any], name: str) -> str:
    return format_interval(scores["metrics"][name], scores["intervals"][name])
