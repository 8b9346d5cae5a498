"""Does the heatmap name what the model relies on? Its pixels are taken away, brightest first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from answers import build_answer
from charts import curves, figure
from predictions import Reading

from hf_lesion.errors import InputError
from hf_lesion.labels import LABEL2ID, NAMES

if TYPE_CHECKING:
    from hf_lesion.classifier import LesionClassifier

RANDOM_SEEDS = [0, 1, 2, 3]
MAP, RANDOM = "this heat map", "random maps"


def render(
    networks: "Sequence[LesionClassifier]", reading: Reading, target: str, method: str
) -> str:
    """Return the deletion curve of one heatmap beside the mean of some random ones.

    The network is held for one batch at a time: other visitors' images go in between.

    Args:
        networks: One: the map of several is no single network's.
        reading: Of the image, by this network.
        target: As for `answers.build_answer`.
        method: As for `answers.build_answer`.

    Raises:
        InputError: If there is no heatmap to test.
    """
    import torch

    from hf_lesion.explain.baselines import random_maps
    from hf_lesion.explain.faithfulness import SHARES, measure_deletion

    if len(networks) > 1:
        raise InputError("Only the map of one model can be tested. Choose one instead of all.")
    answer = build_answer(reading, target, method=method)
    if answer.heatmap is None:
        raise InputError(answer.notice)
    (classifier,) = networks
    pixel_values = reading.predictions[0].pixel_values
    size = (int(pixel_values.shape[-2]), int(pixel_values.shape[-1]))
    maps = np.concatenate([answer.heatmap[np.newaxis], random_maps(RANDOM_SEEDS, size)])
    deletion = measure_deletion(
        lambda shown: torch.from_numpy(classifier.forward(shown)).softmax(dim=-1),
        pixel_values.expand(len(maps), -1, -1, -1),
        maps.astype(np.float32),
        np.full(len(maps), LABEL2ID[answer.target]),
    )
    own, others = deletion[0], deletion[1:].mean(axis=0)
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
