"""All models of the page as one: their probabilities averaged, and their heatmaps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.explain.heatmap import RANKS
from hf_lesion.inference import Explanation, LesionClassifier, class_id

if TYPE_CHECKING:
    from hf_lesion.decision import Verdict


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

    def judge(self, images: Sequence[Image.Image]) -> "tuple[NDArray[np.float32], list[Verdict]]":
        """Return the mean probabilities, and the verdicts of the first member that has a gate."""
        gated = next((one for one in self.members.values() if one.gate is not None), None)
        judging = gated or next(iter(self.members.values()))
        found, verdicts = [], []
        for member in self.members.values():
            probabilities, judged = member.judge(images)
            found.append(probabilities)
            if member is judging:
                verdicts = judged
        return np.mean(found, axis=0), verdicts

    def explain(
        self,
        images: Sequence[Image.Image],
        targets: Sequence[int | str] | None = None,
        method: str = "gradcam",
    ) -> Explanation:
        """Return for each image the mean of the members' maps of one class, stretched to [0, 1].

        Every member's map counts alike: each is on its own scale, and theirs do not compare.

        Args:
            images: Images of any size and mode.
            targets: As for `LesionClassifier.explain`; what is predicted is what the mean says.
            method: As for `LesionClassifier.explain`.

        Raises:
            InputError: As `LesionClassifier.explain`; a member that can't be explained is left out
                of the map as long as another one can.
        """
        found, probabilities, trouble = [], [], None
        for member in self.members.values():
            try:
                explanation = member.explain_classes(images, None, method)
                found.append(explanation)
                probabilities.append(explanation.probabilities)
            except InputError as error:
                trouble = error
                probabilities.append(member.predict(images))
        if trouble is not None and not found:
            raise trouble
        mean = np.mean(probabilities, axis=0)
        ids = _choose(mean, targets)
        maps = np.stack([_mean_map(found, row, target) for row, target in enumerate(ids)])
        highs = maps.max(axis=(1, 2))
        lows = np.zeros_like(highs)
        scale = np.where(highs > 0, highs, 1)[:, None, None]
        return Explanation((maps / scale).astype(np.float32), ids, mean, lows, highs, method)


def _choose(
    probabilities: NDArray[np.float32], targets: Sequence[int | str] | None
) -> NDArray[np.int64]:
    order = np.argsort(-probabilities, axis=1, kind="stable")
    wanted = ["predicted"] * len(order) if targets is None else targets
    return np.asarray(
        [
            row[RANKS[target]] if target in RANKS else class_id(target)
            for row, target in zip(order, wanted, strict=True)
        ],
        dtype=np.int64,
    )


def _mean_map(
    explanations: Sequence[Explanation], row: int, target: np.int64
) -> NDArray[np.float32]:
    """Return the mean map of one image, as fine as the finest member's."""
    maps = [explanation.heatmaps[row, target] for explanation in explanations]
    width = max(one.shape[1] for one in maps)
    height = max(one.shape[0] for one in maps)
    return np.mean([cv2.resize(one, (width, height)) for one in maps], axis=0)
