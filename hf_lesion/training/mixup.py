"""Mixup and CutMix: images mixed with their neighbours in the batch, and their labels alike.

Source: Zhang, Cissé, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization" (ICLR 2018);
Yun, Han, Oh, Chun, Choe, Yoo, "CutMix: Regularization Strategy to Train Strong Classifiers with
Localizable Features" (ICCV 2019). torchvision's and timm's own draw once for a whole batch from the
global generator; here each sample brings its own draw, from (seed, epoch, index), so that a resumed
run repeats it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import one_hot

from hf_lesion.labels import CODES


class Mix(NamedTuple):
    """How a sample is mixed with its neighbour.

    Attributes:
        share: How much of its own label it keeps, in [0, 1].
        box: Top, bottom, left and right of the neighbour's pixels that it takes; None blends all
            pixels in these shares.
    """

    share: float
    box: tuple[int, int, int, int] | None = None


def draw_mix(mixup: float, cutmix: float, side: int) -> Mix | None:
    """Draw one of the two, each as often, by torch's global generator; None if both are off.

    Args:
        mixup: Alpha of mixup; small values leave most images nearly unmixed. 0: off.
        cutmix: The same of CutMix; 1 makes all sizes of the box as likely.
        side: Of the square image in pixels.
    """
    if cutmix and (not mixup or float(torch.rand(())) < 0.5):
        return _cut(draw_share(cutmix), side)
    return Mix(draw_share(mixup)) if mixup else None


def draw_share(alpha: float) -> float:
    """Return a share in [0, 1] from Beta(alpha, alpha), by torch's global generator.

    Args:
        alpha: Above 0.
    """
    return float(torch.distributions.Beta(alpha, alpha).sample())


def mix(batch: dict[str, torch.Tensor], mixes: Sequence[Mix]) -> dict[str, torch.Tensor]:
    """Return the batch with every sample mixed with the next one, the last with the first.

    Args:
        batch: `{"pixel_values": (B, 3, S, S), "labels": (B,) class ids}`.
        mixes: B of them.

    Returns:
        `{"pixel_values": (B, 3, S, S), "labels": (B, C) soft labels}`.
    """
    pixels = batch["pixel_values"]
    labels = one_hot(batch["labels"], len(CODES)).to(pixels.dtype)
    shares = torch.tensor([each.share for each in mixes], dtype=pixels.dtype)
    kept = shares.view(-1, 1, 1, 1).repeat(1, 1, *pixels.shape[2:])
    for own, (_, box) in zip(kept, mixes, strict=True):
        if box is not None:
            own.fill_(1)[:, box[0] : box[1], box[2] : box[3]] = 0
    return {
        "pixel_values": _blend(pixels, kept),
        "labels": _blend(labels, shares.view(-1, 1)),
    }


def _cut(share: float, side: int) -> Mix:
    """Draw where a square box lies that leaves this share; what is cut off at an edge is kept."""
    length = round(side * math.sqrt(1 - share))
    top, left = (torch.randint(side, (2,)) - length // 2).tolist()
    bottom, right = min(top + length, side), min(left + length, side)
    top, left = max(top, 0), max(left, 0)
    return Mix(1 - (bottom - top) * (right - left) / side**2, (top, bottom, left, right))


def _blend(values: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    return values * shares + values.roll(-1, dims=0) * (1 - shares)
