"""Mixup and CutMix: each image and label mixed with the next one in the batch.

Source: Zhang, Cissé, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization" (ICLR 2018);
Yun, Han, Oh, Chun, Choe, Yoo, "CutMix: Regularization Strategy to Train Strong Classifiers with
Localizable Features" (ICCV 2019). The implementations in torchvision and timm sample once per batch
from the global generator. Here each sample has its own parameters, from (seed, epoch, index), so
that a resumed run repeats them.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import one_hot

from hf_lesion.labels import CODES


class Mix(NamedTuple):
    """Mixing parameters of a sample; without a box, all pixels are blended (mixup)."""

    share: float  # weight of its own label, in [0, 1]
    # CutMix: top, bottom, left and right of the region taken from the next sample.
    box: tuple[int, int, int, int] | None = None


def sample_mix(mixup: float, cutmix: float, side: int) -> Mix | None:
    """Sample the parameters of mixup or CutMix, of either with equal probability.

    Each has its alpha; 0 disables it. None if both are disabled. `side` is in pixels. The random
    numbers are those of torch's global generator.
    """
    if cutmix and (not mixup or float(torch.rand(())) < 0.5):
        return _sample_box(sample_share(cutmix), side)
    return Mix(sample_share(mixup)) if mixup else None


def sample_share(alpha: float) -> float:
    """Sample a weight in [0, 1] from Beta(alpha, alpha) with torch's global generator."""
    return float(torch.distributions.Beta(alpha, alpha).sample())


def mix(batch: dict[str, torch.Tensor], mixes: Sequence[Mix]) -> dict[str, torch.Tensor]:
    """Mix every sample of a batch with the next one, the last with the first.

    (B, 3, S, S) `pixel_values` stay so; (B,) class ids as `labels` become (B, C) soft labels.
    """
    pixels = batch["pixel_values"]
    labels = one_hot(batch["labels"], len(CODES)).to(pixels.dtype)
    shares = torch.tensor([each.share for each in mixes], dtype=pixels.dtype)
    kept = shares.view(-1, 1, 1, 1).repeat(1, 1, *pixels.shape[2:])
    for own, (_, box) in zip(kept, mixes, strict=True):
        if box is not None:
            own.fill_(1)[:, box[0] : box[1], box[2] : box[3]] = 0
    return {"pixel_values": _blend(pixels, kept), "labels": _blend(labels, shares.view(-1, 1))}


def _sample_box(share: float, side: int) -> Mix:
    """Sample the position of a square box of area 1 - share, clipped to the image."""
    length = round(side * math.sqrt(1 - share))
    top, left = (torch.randint(side, (2,)) - length // 2).tolist()
    bottom, right = min(top + length, side), min(left + length, side)
    top, left = max(top, 0), max(left, 0)
    return Mix(1 - (bottom - top) * (right - left) / side**2, (top, bottom, left, right))


def _blend(values: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    return values * shares + values.roll(-1, dims=0) * (1 - shares)
