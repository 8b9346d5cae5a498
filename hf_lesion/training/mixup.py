"""Mixup: each image blended with its neighbour in the batch, and their labels alike.

Source: Zhang, Cissé, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization" (ICLR 2018).
torchvision's own MixUp draws one share for a whole batch from the global generator; here each
sample brings its own, drawn from (seed, epoch, index), so that a resumed run repeats it.
"""

import torch
from torch.nn.functional import one_hot

from hf_lesion.labels import CODES


def draw_share(alpha: float) -> float:
    """Return a share in [0, 1] from Beta(alpha, alpha), by torch's global generator.

    Args:
        alpha: Above 0; small values leave most images nearly alone.
    """
    return float(torch.distributions.Beta(alpha, alpha).sample())


def mix(batch: dict[str, torch.Tensor], shares: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the batch with every sample mixed into the one before it, the first into the last.

    Args:
        batch: `{"pixel_values": (B, 3, S, S), "labels": (B,) class ids}`.
        shares: (B,) how much of itself each sample keeps, in [0, 1].

    Returns:
        `{"pixel_values": (B, 3, S, S), "labels": (B, C) soft labels}`.
    """
    pixels = batch["pixel_values"]
    labels = one_hot(batch["labels"], len(CODES)).to(pixels.dtype)
    return {
        "pixel_values": _blend(pixels, shares.view(-1, 1, 1, 1)),
        "labels": _blend(labels, shares.view(-1, 1)),
    }


def _blend(values: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    return values * shares + values.roll(-1, dims=0) * (1 - shares)
