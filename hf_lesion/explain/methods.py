"""Methods that weigh feature maps into a heatmap: those of pytorch-grad-cam, without its hooks.

Sources: Grad-CAM (Selvaraju et al., ICCV 2017), Grad-CAM++ (Chattopadhay et al., WACV 2018),
HiResCAM (Draelos and Carin, arXiv 2011.08891), LayerCAM (Jiang et al., IEEE TIP 2021), EigenCAM
(Muhammad and Yeasin, IJCNN 2020).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from pytorch_grad_cam.base_cam import BaseCAM
from torch import nn

from hf_lesion.errors import InputError

GRADCAM, GRADCAM_PP, HIRESCAM = "gradcam", "gradcam++", "hirescam"
LAYERCAM, EIGENCAM = "layercam", "eigencam"
METHODS: dict[str, type[BaseCAM]] = {
    GRADCAM: GradCAM,
    GRADCAM_PP: GradCAMPlusPlus,
    HIRESCAM: HiResCAM,
    LAYERCAM: LayerCAM,
    EIGENCAM: EigenCAM,
}


def check_method(method: str) -> None:
    """Raise InputError unless the method is known."""
    if method not in METHODS:
        raise InputError(f"Unknown method {method!r}: expected one of {', '.join(METHODS)}.")


def weigh(
    method: str, activations: NDArray[np.float32], gradients: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Return the (B, h, w) raw heatmaps of a method, before the ReLU and rescaling.

    EigenCAM is the first principal component of the activations: the same for every class, and its
    sign is whatever the decomposition gives.

    Args:
        method: One of `METHODS`.
        activations: (B, K, h, w) of the target layer.
        gradients: (B, K, h, w) of a class's logit by them; None for EigenCAM.
    """
    # The library's classes keep no state in this call: it is a function of what is passed.
    maps = _library(method).get_cam_image(None, None, None, activations, gradients, False)
    return np.asarray(maps, dtype=np.float32)


@cache
def _library(method: str) -> BaseCAM:
    """Return the library's object, built without a network or layer and so without hooks."""
    return METHODS[method](nn.Linear(1, 1), [])
