"""What a classifier hands out when asked to explain: heatmaps and probabilities."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_lesion.explain.methods import GRADCAM
from hf_lesion.explain.scaling import find_flat
from hf_lesion.models.preprocessing import Box


@dataclass(frozen=True)
class Explanation:
    """Heatmaps and the probabilities of the same forward pass; "…" is N, or N and K classes.

    Attributes:
        heatmaps: (…, H, W) float32 in [0, 1] over the model's input, each stretched to its own
            range; all zero where it is flat.
        targets: (…) the class ids that were explained.
        probabilities: (N, C) float32.
        lows: (…) what 0 stands for, in the method's own units.
        highs: (…) what 1 stands for.
        boxes: The part of each of N images that fills the input, for `overlay`: its left, upper,
            right and lower edge as shares of the image's width and height.
        method: Of `explain.methods.METHODS`.
    """

    heatmaps: NDArray[np.float32]
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    lows: NDArray[np.float32]
    highs: NDArray[np.float32]
    boxes: tuple[Box, ...]
    method: str = GRADCAM

    @property
    def flat(self) -> NDArray[np.bool_]:
        """(…) whether no place stands out: the layer holds no evidence for this class."""
        return find_flat(self.heatmaps)

    @property
    def raw(self) -> NDArray[np.float32]:
        """(…, H, W) the maps on their raw scale, where those of one model compare."""
        lows, highs = self.lows[..., None, None], self.highs[..., None, None]
        return lows + self.heatmaps * (highs - lows)
