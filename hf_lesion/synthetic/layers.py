"""The layers of painted skin: absorbing pigments, what covers them, and relief."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_lesion.synthetic.texture import Map, Patch

# Absorbance of one unit of pigment in red, green and blue: rough shapes of the known spectra
# (melanin falls towards red, haemoglobin peaks in green, deep melanin looks blue-grey).
MELANIN = np.array([0.52, 0.86, 1.10], np.float32)
BLOOD = np.array([0.10, 0.80, 0.46], np.float32)
VEIL = np.array([0.95, 0.72, 0.40], np.float32)
WHITE = np.array([0.95, 0.90, 0.90], np.float32)
YELLOW = np.array([0.86, 0.70, 0.45], np.float32)
SHADING = 0.4  # share of light per unit of slope


@dataclass
class Layers:
    """Layers of skin: (H, W) maps, 0 where there is nothing."""

    melanin: Map  # absorbance: brown, at 2 nearly black
    blood: Map  # absorbance: red
    veil: Map  # absorbance: blue-grey, melanin that lies deep
    white: Map  # share in [0, 1]: scar, scale, cysts
    yellow: Map  # share in [0, 1]: keratin
    height: Map  # relief, in units

    @classmethod
    def empty(cls, patch: Patch) -> "Layers":
        """Return blank layers."""
        return cls(*(np.zeros(patch.shape, np.float32) for _ in range(6)))

    def over(self, below: "Layers") -> "Layers":
        """Return these layers on top of others: pigments and relief add up, covers occlude."""
        return Layers(
            self.melanin + below.melanin,
            self.blood + below.blood,
            self.veil + below.veil,
            np.maximum(self.white, below.white),
            np.maximum(self.yellow, below.yellow),
            self.height + below.height,
        )


def render(
    layers: Layers, tone: NDArray[np.float32], *, scale: float, light: tuple[float, float]
) -> NDArray[np.float32]:
    """Return an (H, W, 3) image of skin seen through its pigments (Beer-Lambert law).

    Args:
        layers: Pigments, covers and relief.
        tone: (3,) RGB in [0, 1] of the bare skin.
        scale: Pixels per unit.
        light: Unit vector towards the light, x and y.
    """
    absorbers = np.stack([layers.melanin, layers.blood, layers.veil], axis=-1)
    seen = tone * np.exp(absorbers @ -np.stack([MELANIN, BLOOD, VEIL]))
    for share, colour in ((layers.yellow, YELLOW), (layers.white, WHITE)):
        seen = seen + np.clip(share, 0, 1)[:, :, None] * (np.float32(colour) - seen)
    down, across = np.gradient(layers.height * np.float32(scale))
    slope = np.clip(across * np.float32(light[0]) + down * np.float32(light[1]), -0.5, 0.5)
    return np.asarray(seen * (1 - np.float32(SHADING) * slope)[:, :, None], np.float32)
