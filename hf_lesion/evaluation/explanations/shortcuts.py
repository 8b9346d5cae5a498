"""Shortcut scores: how often the prediction stays the same when the image is changed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_lesion.classifier import LesionClassifier
from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.bootstrap import bootstrap_intervals, estimate
from hf_lesion.evaluation.explanations.masked_set import MaskedSet
from hf_lesion.explain.shortcuts import CHANGES, change
from hf_lesion.labels import CODES

UNCHANGED = "unchanged"


def answer_changed(
    classifier: LesionClassifier, masked: MaskedSet, rows: Sequence[int], *, batch_size: int = 32
) -> dict[str, NDArray[np.float32]]:
    """Return (N, C) probabilities of the original images (`UNCHANGED`) and under each change.

    What is drawn on an image is the same for every model: its row is the seed.
    """
    answers: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (UNCHANGED, *CHANGES)}
    for part in masked.batches(rows, batch_size, "Changing images"):
        shown = [masked.images.load(row) for row in part]
        masks = [masked.load_mask(row) for row in part]
        answers[UNCHANGED].append(classifier.predict(shown, batch_size=batch_size))
        for name in CHANGES:
            changed = [
                change(image, mask, name, seed=row)
                for image, mask, row in zip(shown, masks, part, strict=True)
            ]
            answers[name].append(classifier.predict(changed, batch_size=batch_size))
    return {name: np.concatenate(own) for name, own in answers.items()}


def describe_shortcuts(
    answers: Mapping[str, NDArray[np.float32]],
    references: NDArray[np.int64],
    lesion_ids: Sequence[str] | None,
) -> dict[str, Any]:
    """Return how often the prediction stays the same, and the balanced accuracy under each change.

    Args:
        answers: As from `answer_changed`.
        references: (N,) class ids.
        lesion_ids: N lesions, or None.
    """
    before = answers[UNCHANGED].argmax(axis=1)
    changes = {}
    for name in CHANGES:
        after = answers[name].argmax(axis=1)
        same = (after == before).astype(float)[:, None]
        counts = np.bincount(after, minlength=len(CODES))
        changes[name] = {
            "same_answer": estimate(same, lesion_ids)[0].rounded(),
            "balanced_accuracy": _balanced_accuracy(answers[name], references, lesion_ids),
            "answers": dict(zip(CODES, counts.tolist(), strict=True)),
        }
    return {
        "images": len(references),
        "balanced_accuracy": _balanced_accuracy(answers[UNCHANGED], references, lesion_ids),
        "answers": dict(
            zip(CODES, np.bincount(before, minlength=len(CODES)).tolist(), strict=True)
        ),
        "changes": changes,
    }


def _balanced_accuracy(
    probabilities: NDArray[np.float32],
    references: NDArray[np.int64],
    lesion_ids: Sequence[str] | None,
) -> list[float]:
    predicted = metrics.predicted_classes(probabilities, references)
    value = float(metrics.balanced_accuracy(metrics.confusion_matrix(references, predicted)))
    bounds = bootstrap_intervals(probabilities, references, lesion_ids)["balanced_accuracy"]
    return [round(number, 4) for number in (value, *bounds)]
