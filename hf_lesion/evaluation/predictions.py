"""Predictions and references as arrays and CSV: the input of every metric."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_lesion.errors import InputError
from hf_lesion.io.files import whole_file
from hf_lesion.labels import CODES, LABEL2ID

if TYPE_CHECKING:
    from hf_lesion.evaluation.scoring import EvaluationSet


@dataclass(frozen=True)
class Predictions:
    """Predictions of a classifier with the references: the input of every metric."""

    image_ids: tuple[str, ...]
    references: NDArray[np.int64]  # (N,) class ids
    probabilities: NDArray[np.float64]  # (N, 7) in the order of `CODES`
    lesion_ids: tuple[str, ...] | None = None  # None where they are unknown


def take(predictions: Predictions, rows: NDArray[np.int64]) -> Predictions:
    """Return the predictions of these rows, in their order."""
    lesions = predictions.lesion_ids
    return Predictions(
        image_ids=tuple(predictions.image_ids[row] for row in rows),
        references=predictions.references[rows],
        probabilities=predictions.probabilities[rows],
        lesion_ids=None if lesions is None else tuple(lesions[row] for row in rows),
    )


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write image_id, reference, one column of probabilities per code and, if known, lesion_id.

    Probabilities have all their digits; pandas reads them back exactly with
    `float_precision="round_trip"`.
    """
    table = pd.DataFrame(predictions.probabilities, columns=list(CODES))
    table.insert(0, "image_id", list(predictions.image_ids))
    table.insert(1, "reference", [CODES[index] for index in predictions.references])
    if predictions.lesion_ids is not None:
        table["lesion_id"] = list(predictions.lesion_ids)
    with whole_file(path) as partial:
        table.to_csv(partial, index=False)


def read_predictions(path: Path, images: "EvaluationSet | Predictions") -> Predictions:
    """Read what `write_predictions` wrote for these images.

    Raises:
        InputError: If the file does not exist, cannot be read, or contains other images.
    """
    if not path.is_file():
        raise InputError(f"{path} not found. scripts/score.py writes predictions_<split>.csv.")
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            found = parse_predictions(stream)
    except (ValueError, KeyError) as error:
        raise InputError(f"{path} holds no predictions: {error}. Run scripts/score.py.") from error
    if found.image_ids != images.image_ids or (found.references != images.references).any():
        raise InputError(
            f"{path} is of {len(found.image_ids):,} images that are not the "
            f"{len(images.image_ids):,} to be scored. Leave it out to run the model."
        )
    return found


def parse_predictions(stream: TextIO) -> Predictions:
    """Parse what `write_predictions` wrote, to the last bit."""
    table = pd.read_csv(
        stream,
        dtype={"image_id": str, "lesion_id": str, "reference": str},
        keep_default_na=False,
        float_precision="round_trip",
    )
    return Predictions(
        image_ids=tuple(table["image_id"]),
        references=np.asarray(table["reference"].map(LABEL2ID), dtype=np.int64),
        probabilities=table[list(CODES)].to_numpy(dtype=np.float64),
        lesion_ids=tuple(table["lesion_id"]) if "lesion_id" in table else None,
    )
