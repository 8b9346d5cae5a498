"""All models of the page as one: their probabilities averaged, and their heatmaps."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.classifier import LesionClassifier, class_id
from hf_lesion.errors import InputError
from hf_lesion.explain.explanation import Explanation


class Ensemble:
    """Computed when it is asked, stored nowhere: the mean of what its members say.

    Args:
        members: At least one classifier, by name.
    """

    name = "ensemble"

    def __init__(self, members: Mapping[str, LesionClassifier]):
        self.members = dict(members)

    def predict(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return (N, C) probabilities: the mean of the members'."""
        return np.mean([member.predict(images) for member in self.members.values()], axis=0)

    def explain(
        self, images: Sequence[Image.Image], targets: Sequence[str], method: str = "gradcam"
    ) -> Explanation:
        """Return for each image the mean of the members' maps of one class, stretched to [0, 1].

        Every member's map counts alike: each is on its own scale, and theirs do not compare.

        Args:
            images: Images of any size and mode.
            targets: The code of the diagnosis to explain in each.
            method: As for `LesionClassifier.explain`.

        Raises:
            InputError: As `LesionClassifier.explain`; a member that can't be explained is left out
                of the map as long as another one can.
        """
        # Of "predicted" each member would explain its own.
        ids = np.asarray([class_id(target) for target in targets], dtype=np.int64)
        found, probabilities, trouble = [], [], None
        for member in self.members.values():
            try:
                explanation = member.explain(images, targets, method)
                found.append(explanation)
                probabilities.append(explanation.probabilities)
            except InputError as error:
                trouble = error
                probabilities.append(member.predict(images))
        if trouble is not None and not found:
            raise trouble
        maps = np.stack([_mean_map(found, row) for row in range(len(images))])
        highs = maps.max(axis=(1, 2))
        lows = np.zeros_like(highs)
        scale = np.where(highs > 0, highs, 1)[:, None, None]
        mean = np.mean(probabilities, axis=0)
        return Explanation((maps / scale).astype(np.float32), ids, mean, lows, highs, method)


def _mean_map(explanations: Sequence[Explanation], row: int) -> NDArray[np.float32]:
    """Return the mean map of one image, as fine as the finest member's."""
    maps = [explanation.heatmaps[row] for explanation in explanations]
    width = max(one.shape[1] for one in maps)
    height = max(one.shape[0] for one in maps)
    return np.mean([cv2.resize(one, (width, height)) for one in maps], axis=0)
