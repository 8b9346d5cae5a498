"""Does the heatmap name what the model relies on? Its pixels are taken away, brightest first."""

from typing import TYPE_CHECKING

import numpy as np
from answers import build_answer
from charts import curves, figure
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.labels import NAMES

if TYPE_CHECKING:
    from ensemble import Ensemble

    from hf_lesion.classifier import LesionClassifier

RANDOM_SEEDS = [0, 1, 2, 3]
MAP, RANDOM = "this heat map", "random maps"


def render(
    classifier: "LesionClassifier | Ensemble", image: Image.Image, target: str, method: str
) -> str:
    """Return the deletion curve of one heatmap beside the mean of some random ones.

    Args:
        classifier: One model: an ensemble's map is no single network's.
        image: RGB image.
        target: As for `answers.build_answer`.
        method: As for `answers.build_answer`.

    Raises:
        InputError: If there is no heatmap to test.
    """
    from hf_lesion.classifier import LesionClassifier, class_id
    from hf_lesion.explain.controls import random_maps
    from hf_lesion.explain.faithfulness import SHARES, measure

    if not isinstance(classifier, LesionClassifier):
        raise InputError("Only the map of one model can be tested. Choose one instead of all.")
    answer = build_answer(classifier, image, target, method=method)
    if answer.heatmap is None:
        raise InputError(answer.notice)
    pixel_values = classifier.preprocess([image]).to(classifier.model.device)
    size = (int(pixel_values.shape[-2]), int(pixel_values.shape[-1]))
    maps = np.concatenate([answer.heatmap[np.newaxis], random_maps(RANDOM_SEEDS, size)])
    # Other requests may not use the network meanwhile: heatmaps are taken by hooks.
    with classifier._lock:
        found = measure(
            classifier.model,
            pixel_values.expand(len(maps), -1, -1, -1),
            maps.astype(np.float32),
            np.full(len(maps), class_id(answer.target)),
            with_road=False,
        )
    own, others = found.deletion[0], found.deletion[1:].mean(axis=0)
    areas = np.trapezoid(np.stack([own, others]), SHARES, axis=1)
    lines = {MAP: (SHARES, own.tolist()), RANDOM: (SHARES, others.tolist())}
    return figure(
        "Deletion curve",
        curves(
            lines,
            across="share of the pixels taken away",
            up=f"the model's score of {answer.target}",
            words=_words(answer.target, areas),
        ),
        _words(answer.target, areas),
    )


def _words(code: str, areas: "np.ndarray") -> str:
    name, (own, others) = NAMES[code], areas
    text = (
        f"The brightest pixels take the image's mean colour first, and the model's score of {name} "
        f"is asked again: its mean is {own:.2f}, with random maps {others:.2f}."
    )
    if own < others:
        return f"{text} It falls faster than by chance: for this image the map points at something."
    return f"{text} It falls no faster than by chance: do not rely on this map for this image."
