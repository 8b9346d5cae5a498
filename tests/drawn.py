"""Predictions drawn at random, for the tests of metrics."""

import numpy as np
from scipy.special import softmax

from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.labels import LABEL2ID

MEL, NV = LABEL2ID["mel"], LABEL2ID["nv"]


def draw_predictions(images=210, classes=7, lean=2.0):
    """Predictions that lean towards references of some classes, two images of a lesion each."""
    references = np.arange(images) % classes
    logits = np.random.default_rng(0).normal(size=(images, 7)) + lean * np.eye(7)[references]
    lesions = tuple(f"L{index // 2}" for index in range(images))
    names = tuple(map(str, range(images)))
    return Predictions(names, references, softmax(logits, axis=1), lesions)


def melanomas_and_nevi(melanomas, nevi, lesions=None):
    """Predictions of these probabilities of melanoma, the rest of a nevus."""
    scores = np.asarray([*melanomas, *nevi], dtype=float)
    probabilities = np.zeros((len(scores), 7))
    probabilities[:, MEL], probabilities[:, NV] = scores, 1 - scores
    references = np.asarray([MEL] * len(melanomas) + [NV] * len(nevi))
    return Predictions(tuple(map(str, range(len(scores)))), references, probabilities, lesions)
