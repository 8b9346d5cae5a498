"""Faithfulness of heatmaps: class probability under pixel deletion and insertion, and ROAD.

Deletion and insertion curves: Petsiuk et al., "RISE" (BMVC 2018). ROAD: Rong et al., "A consistent
and efficient evaluation strategy for attribution methods" (ICML 2022). All of them by
pytorch-grad-cam's own perturbation metrics, on the probability of the explained class.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam.metrics.perturbation_confidence import (
    PerturbationConfidenceMetric,
    RemoveLeastRelevantFirst,
    RemoveMostRelevantFirst,
)
from pytorch_grad_cam.metrics.road import ROADCombined
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchvision.transforms.functional import gaussian_blur

SHARES = tuple(round(0.1 * step, 1) for step in range(11))  # of the pixels
ROAD_PERCENTILES = (20, 40, 60, 80)
BLUR = 1 / 16  # of the side: colours stay, structure goes
DELETION, INSERTION, ROAD = "deletion", "insertion", "road"

Network = Callable[[torch.Tensor], torch.Tensor]


class Faithfulness(NamedTuple):
    """Class probability under pixel deletion and insertion, and the scores computed from it."""

    deletion: NDArray[np.float64]  # (N, S): the `SHARES` most relevant pixels take the mean colour
    insertion: NDArray[np.float64]  # (N, S): the `SHARES` most relevant pixels enter the blur
    # (N,) half of the difference between the probabilities after removing the least and the most
    # relevant pixels, averaged over `ROAD_PERCENTILES`; NaN if not measured
    road: NDArray[np.float64]

    def areas(self) -> NDArray[np.float64]:
        """Return (N, 3): the areas under both curves, in [0, 1], and ROAD."""
        curves = (self.deletion, self.insertion)
        return np.stack([*(np.trapezoid(one, SHARES, axis=1) for one in curves), self.road], axis=1)


def measure(
    network: Network,
    pixel_values: torch.Tensor,
    maps: NDArray[np.float32],
    targets: NDArray[np.int64],
    *,
    with_road: bool = True,
    seed: int = 0,
) -> Faithfulness:
    """Measure heatmaps of some images against a network.

    Args:
        network: From (N, 3, H, W) pixel values to (N, C) probabilities.
        pixel_values: (N, 3, H, W) preprocessed images.
        maps: (N, H, W) heatmaps in [0, 1]. Only the order of their pixels counts; equal ones, such
            as all that were cut off at zero, come in random order.
        targets: (N,) the explained classes.
        with_road: Also measure ROAD, which takes most of the time.
        seed: Of the random order, and of ROAD's noise.
    """
    ranks = rank_pixels(maps, seed=seed)
    blur = blurrer(min(pixel_values.shape[-2:]) * BLUR)
    given = [RemoveLeastRelevantFirst(100 * share, blur) for share in SHARES]
    deletion = measure_deletion(network, pixel_values, maps, targets, seed=seed)
    insertion = _follow(network, pixel_values, ranks, targets, given)
    road = np.full(len(maps), np.nan)
    if with_road:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            wanted = [ClassifierOutputTarget(target) for target in targets.tolist()]
            road = ROADCombined(list(ROAD_PERCENTILES))(pixel_values, ranks, wanted, network)
    return Faithfulness(deletion, insertion, np.asarray(road, np.float64))


def measure_deletion(
    network: Network,
    pixel_values: torch.Tensor,
    maps: NDArray[np.float32],
    targets: NDArray[np.int64],
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return (N, S) the deletion curves alone, as `measure` does; one call of the network each."""
    removals = [RemoveMostRelevantFirst(100 * (1 - share), to_mean) for share in SHARES]
    return _follow(network, pixel_values, rank_pixels(maps, seed=seed), targets, removals)


def _follow(
    network: Network,
    pixel_values: torch.Tensor,
    ranks: NDArray[np.float32],
    targets: NDArray[np.int64],
    removals: Sequence[RemoveMostRelevantFirst],
) -> NDArray[np.float64]:
    """Return (N, S) the probability of the explained class after each of S removals."""
    wanted = [ClassifierOutputTarget(target) for target in targets.tolist()]
    metrics = map(PerturbationConfidenceMetric, removals)
    points = [one(pixel_values, ranks, wanted, network, return_diff=False) for one in metrics]
    return np.stack(points, axis=1).astype(np.float64)


def rank_pixels(maps: NDArray[np.float32], *, seed: int = 0) -> NDArray[np.float32]:
    """Return (N, H, W) ranks from 0 to 1 of the pixels of each map; ties in random order."""
    generator = np.random.default_rng(seed)
    count = maps[0].size if len(maps) else 1
    ranks = np.empty((len(maps), count), np.float32)
    for row, values in zip(ranks, maps.reshape(len(maps), -1), strict=True):
        order = np.lexsort((generator.random(count), values))
        row[order] = np.linspace(0, 1, count)
    return ranks.reshape(maps.shape)


def to_mean(image: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Return a (3, H, W) image with the pixels outside (H, W) `kept` set to its mean colour."""
    return torch.where(kept > 0, image, image.mean(dim=(1, 2), keepdim=True))


def blurrer(sigma: float) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return a function that blurs the pixels which are not kept, by `sigma` pixels."""
    size = 2 * round(2 * sigma) + 1

    def blur(image: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        blurred = gaussian_blur(image, [size, size], [max(sigma, 0.1)] * 2)
        return torch.where(kept > 0, image, blurred)

    return blur
