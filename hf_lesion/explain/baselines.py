"""Baselines of heatmaps: a centred Gaussian, noise, and the same network with random weights.

Lesions lie in the middle of dermoscopic images, so a map that ignores the image can score well. The
untrained network is the check of Adebayo et al., "Sanity checks for saliency maps" (NeurIPS 2018).
"""

import copy

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

# Where it is at least half of its maximum, the Gaussian covers 27 % of the frame: what the mean
# lesion of HAM10000 covers.
GAUSSIAN_SIGMA = 0.25  # of the side
RANDOM_CELLS = 4  # a side: as coarse as the last feature map of a network at 128 pixels


def gaussian_map(size: tuple[int, int]) -> NDArray[np.float32]:
    """Return an (H, W) Gaussian centred in the frame, from 0 to 1."""
    places = [(np.arange(side) + 0.5) / side - 0.5 for side in size]
    distance = places[0][:, None] ** 2 + places[1][None, :] ** 2
    return _to_unit(np.exp(-distance / (2 * GAUSSIAN_SIGMA**2)))


def random_maps(seeds: list[int], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return (N, H, W) maps of coarse uniform noise from 0 to 1, one for each seed."""
    maps = []
    for seed in seeds:
        noise = np.random.default_rng(seed).random((RANDOM_CELLS, RANDOM_CELLS))
        maps.append(_to_unit(np.asarray(cv2.resize(noise, size[::-1]), np.float64)))
    return np.stack(maps)


def untrained_copy(model: nn.Module, pixel_values: torch.Tensor, *, seed: int = 0) -> nn.Module:
    """Return a copy of a network with all weights randomly initialised.

    Layers use torch's default initialisation; weights outside such layers are sampled from a normal
    distribution with their own mean and standard deviation. The statistics of batch norms are then
    computed on (B, 3, H, W) `pixel_values`, since the activations of deep untrained networks vanish
    without them. The global random generator is not changed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = copy.deepcopy(model)
        redrawn: set[int] = set()
        for module in drawn.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
                redrawn |= {id(own) for own in module.parameters(recurse=False)}
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = None  # the mean over all batches seen: here, of one
        for parameter in drawn.parameters():
            if id(parameter) not in redrawn:
                mean, spread = parameter.data.mean(), parameter.data.std(correction=0)
                parameter.data.copy_(mean + spread * torch.randn(parameter.shape))
        with torch.no_grad():
            drawn.train()(pixel_values=pixel_values)
    return drawn.eval().requires_grad_(False)


def _to_unit(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return ((values - values.min()) / np.ptp(values)).astype(np.float32)
