"""How an image becomes a tensor: one description, saved with the weights and read from there."""

from dataclasses import dataclass, replace
from typing import Any

import timm
from timm.data import resolve_data_config
from transformers import (
    BaseImageProcessor,
    PretrainedConfig,
    TimmWrapperConfig,
    ViTImageProcessor,
)
from transformers.image_utils import (
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    PILImageResampling,
)

from hf_lesion.errors import InputError

INTERPOLATION = "bicubic"


@dataclass(frozen=True)
class Preprocessing:
    """The whole frame is squashed to a square, scaled to [0, 1] and normalised per channel.

    Squashing keeps all of the lesion: a centre crop to a square loses more than 10 % of it in 7.1 %
    of HAM10000's lesions (16.2 % of akiec).

    Attributes:
        image_size: Height and width in pixels.
        mean: Mean per RGB channel, of values in [0, 1].
        std: Standard deviation per RGB channel.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def cnn_preprocessing(image_size: int) -> Preprocessing:
    """Return the preprocessing of our own CNN: values scaled to [-1, 1]."""
    return Preprocessing(image_size, tuple(IMAGENET_STANDARD_MEAN), tuple(IMAGENET_STANDARD_STD))


def timm_preprocessing(architecture: str, image_size: int | None = None) -> Preprocessing:
    """Return the mean and std that timm states for an architecture, at its or another size."""
    config = resolve_data_config(timm.get_pretrained_cfg(architecture).to_dict(), verbose=False)
    size = image_size or config["input_size"][-1]
    return Preprocessing(size, tuple(config["mean"]), tuple(config["std"]))


def build_stock_processor(preprocessing: Preprocessing) -> BaseImageProcessor:
    """Return a stock transformers processor that anyone can load without our code."""
    side = preprocessing.image_size
    return ViTImageProcessor(
        size={"height": side, "width": side},
        resample=PILImageResampling[INTERPOLATION.upper()],
        image_mean=list(preprocessing.mean),
        image_std=list(preprocessing.std),
        do_convert_rgb=True,
    )


def describe_for_timm(config: dict[str, Any], preprocessing: Preprocessing) -> dict[str, Any]:
    """Return timm's `pretrained_cfg` with our preprocessing in it.

    `TimmWrapperImageProcessor` has no file of its own: what stands here is what it does.

    Args:
        config: The `pretrained_cfg` as timm or a checkpoint gives it.
        preprocessing: What to put into it.
    """
    side = preprocessing.image_size
    return {
        **config,
        "input_size": [3, side, side],
        "fixed_input_size": False,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "interpolation": INTERPOLATION,
        "crop_pct": 1.0,
        "crop_mode": "squash",
        # A stale larger test size would ride along and win over input_size.
        "test_input_size": None,
        "test_crop_pct": None,
    }


def preprocessing_of(processor: BaseImageProcessor) -> Preprocessing:
    """Return what a processor does, for the training transforms to do the same.

    Raises:
        InputError: If the processor does not make square images of one size.
    """
    if hasattr(processor, "data_config"):
        config = processor.data_config
        height, width = config["input_size"][-2:]
        mean, std = config["mean"], config["std"]
    else:
        size = dict(processor.size)
        side = size.get("shortest_edge")
        height, width = size.get("height") or side, size.get("width") or side
        mean, std = processor.image_mean, processor.image_std
    if height is None or height != width:
        raise InputError(f"Expected a processor that makes square images, got {height}×{width}.")
    return Preprocessing(int(height), tuple(mean), tuple(std))


def change_processor(
    config: PretrainedConfig, processor: BaseImageProcessor, **changes: Any
) -> BaseImageProcessor:
    """Return a processor of our kind that does what another one does but for some changes.

    Args:
        config: The model's; that of a timm network takes the changes in.
        processor: The model's.
        changes: Fields of `Preprocessing`.

    Raises:
        InputError: As `preprocessing_of`.
    """
    own = replace(preprocessing_of(processor), **changes)
    if not isinstance(config, TimmWrapperConfig):
        return build_stock_processor(own)
    config.pretrained_cfg = describe_for_timm(config.pretrained_cfg, own)
    return build_processor(config)


def build_processor(config: TimmWrapperConfig) -> BaseImageProcessor:
    """Return the processor that `AutoImageProcessor` will make of this config once it is saved."""
    from transformers import TimmWrapperImageProcessor

    return TimmWrapperImageProcessor(
        pretrained_cfg=config.pretrained_cfg, architecture=config.architecture
    )
