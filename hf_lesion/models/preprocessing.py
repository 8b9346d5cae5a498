"""Preprocessing of an image: crop, input size and normalisation.

Stored with the weights as a standard image processor.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import timm
from PIL import Image
from timm.data import resolve_data_config
from transformers import (
    BaseImageProcessor,
    CLIPImageProcessor,
    LlavaImageProcessor,
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
CropMode = Literal["centre", "squash", "pad"]
CROP_MODES: tuple[str, ...] = get_args(CropMode)
CROP_MODE: CropMode = "centre"  # chosen by measurement: scripts/configs/README.md
TIMM_CROP_MODES = {"centre": "center", "squash": "squash", "pad": "border"}
# The longer side of an image to its shorter side; beyond, scaling alone would take gigabytes.
LONGEST = 30
STRIP = 1020  # pixels: the length of a longer strip that is to be padded
# An edge of this many pixels or more is squashed to by a ConvNext processor, which crops below it.
CONVNEXT_SQUASHES = 384

# Left, upper, right and lower edge, as shares of an image's width and height.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """An image is made a square, scaled to [0, 1] and normalised per channel.

    The crop mode makes a frame square. centre: the centre square of its shorter side; squash: the
    whole frame, distorted; pad: the whole frame, with borders of the mean colour.
    """

    image_size: int  # height and width in pixels
    mean: tuple[float, float, float]  # per RGB channel, of values in [0, 1]
    std: tuple[float, float, float]
    crop_mode: str = CROP_MODE
    crop_pct: float = 1.0  # share of the square's side that is kept about its centre

    def __post_init__(self) -> None:
        if self.crop_mode not in CROP_MODES:
            raise InputError(
                f"Unknown crop_mode {self.crop_mode!r}: expected one of {', '.join(CROP_MODES)}."
            )


def cnn_preprocessing(image_size: int, crop_mode: str = CROP_MODE) -> Preprocessing:
    """Return the preprocessing of our own CNN: values scaled to [-1, 1]."""
    mean, std = tuple(IMAGENET_STANDARD_MEAN), tuple(IMAGENET_STANDARD_STD)
    return Preprocessing(image_size, mean, std, crop_mode)


def timm_preprocessing(
    architecture: str, image_size: int | None = None, crop_mode: str = CROP_MODE
) -> Preprocessing:
    """Return the mean and std that timm states for an architecture, at its or another size."""
    config = resolve_data_config(timm.get_pretrained_cfg(architecture).to_dict(), verbose=False)
    size = image_size or config["input_size"][-1]
    return Preprocessing(size, tuple(config["mean"]), tuple(config["std"]), crop_mode)


def build_stock_processor(preprocessing: Preprocessing) -> BaseImageProcessor:
    """Return a stock transformers processor that anyone can load without our code."""
    side = preprocessing.image_size
    square = {"height": side, "width": side}
    options = {
        "resample": PILImageResampling[INTERPOLATION.upper()],
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
        "do_convert_rgb": True,
    }
    if preprocessing.crop_mode == "squash":
        return ViTImageProcessor(size=square, **options)
    options |= {"size": {"shortest_edge": side}, "crop_size": square}
    if preprocessing.crop_mode == "pad":
        return LlavaImageProcessor(do_pad=True, **options)
    return CLIPImageProcessor(**options)


def describe_for_timm(config: dict[str, Any], preprocessing: Preprocessing) -> dict[str, Any]:
    """Return timm's `pretrained_cfg`, of timm or a checkpoint, with our preprocessing in it.

    `TimmWrapperImageProcessor` has no file of its own and is configured by these values.
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
        "crop_mode": TIMM_CROP_MODES[preprocessing.crop_mode],
        # A stale larger test size would ride along and win over input_size.
        "test_input_size": None,
        "test_crop_pct": None,
    }


def preprocessing_of(processor: BaseImageProcessor) -> Preprocessing:
    """Return the preprocessing of a processor, which the training transforms also use.

    Raises InputError if the processor does not produce square images of one size.
    """
    if hasattr(processor, "data_config"):
        config = processor.data_config
        (height, width), mode = config["input_size"][-2:], config["crop_mode"]
        modes = {timm_mode: own for own, timm_mode in TIMM_CROP_MODES.items()}
        mode, share = modes.get(mode, "centre"), config["crop_pct"]
        mean, std = config["mean"], config["std"]
    else:
        height, width, mode, share = _geometry_of(processor)
        mean, std = processor.image_mean, processor.image_std
    if height is None or height != width or not 0 < share <= 1:
        raise InputError(
            "Expected a processor that makes square images, no larger than it scales an image to; "
            f"got {height}×{width}."
        )
    return Preprocessing(int(height), tuple(mean), tuple(std), mode, float(share))


def _geometry_of(processor: BaseImageProcessor) -> tuple[int | None, int | None, str, float]:
    """Return height, width, crop mode and kept share of a transformers processor."""
    size = dict(processor.size)
    edge, height, width = size.get("shortest_edge"), size.get("height"), size.get("width")
    if edge and getattr(processor, "crop_pct", None):  # ConvNext's kind
        is_cropped = edge < CONVNEXT_SQUASHES
        return edge, edge, *(("centre", processor.crop_pct) if is_cropped else ("squash", 1.0))
    if not getattr(processor, "do_center_crop", False):
        return height, width, "squash", 1.0
    crop = dict(processor.crop_size)
    scaled = edge or height or math.inf
    is_padded = hasattr(processor, "pad_to_square") and processor.do_pad
    mode = "pad" if is_padded else "centre" if edge else "squash"
    return crop["height"], crop["width"], mode, crop["height"] / scaled


def build_processor(config: TimmWrapperConfig) -> BaseImageProcessor:
    """Return the processor that `AutoImageProcessor` builds from this config once it is saved."""
    from transformers import TimmWrapperImageProcessor

    return TimmWrapperImageProcessor(
        pretrained_cfg=config.pretrained_cfg, architecture=config.architecture
    )


def change_processor(
    config: PretrainedConfig, processor: BaseImageProcessor, **changes: Any
) -> BaseImageProcessor:
    """Return a copy of a processor with some fields of its `Preprocessing` changed.

    The config of a timm network takes the changes in.
    """
    own = replace(preprocessing_of(processor), **{"crop_pct": 1.0, **changes})
    if not isinstance(config, TimmWrapperConfig):
        return build_stock_processor(own)
    config.pretrained_cfg = describe_for_timm(config.pretrained_cfg, own)
    return build_processor(config)


def seen_box(crop_mode: str, size: tuple[int, int], crop_pct: float = 1.0) -> Box:
    """Return the box of an image that fills a network's input, to one pixel of that input.

    `size` is width and height of the upright image. The edges are shares of both, below 0 and above
    1 where the image is padded.
    """
    width, height = size
    across, down = crop_pct, crop_pct
    if crop_mode != "squash":
        side = max(size) if crop_mode == "pad" else min(size)
        across, down = crop_pct * side / width, crop_pct * side / height
    return (1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2


def limit_shape(image: Image.Image, processor: BaseImageProcessor) -> Image.Image:
    """Return an image that is at most `LONGEST` times as long as wide, so that it can be scaled.

    A strip of 1×10,000 pixels would be scaled to gigabytes before its centre is cut out, or to a
    width of no pixel before it is padded. So strips lose their ends, or get a little wider.
    """
    shorter, longer = sorted(image.size)
    if longer <= LONGEST * shorter:
        return image
    crop_mode = preprocessing_of(processor).crop_mode
    if crop_mode == "squash":
        return image
    if crop_mode == "pad":
        scale = STRIP / longer
        width, height = (max(STRIP // LONGEST, round(side * scale)) for side in image.size)
        return image.resize((width, height))
    width, height = (min(side, LONGEST * shorter + side % 2) for side in image.size)
    left, upper = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, upper, left + width, upper + height))


def describe_geometry(preprocessing: Preprocessing) -> str:
    """Return in a sentence what part of an image the network sees, and at which size."""
    side = preprocessing.image_size
    return {
        "centre": f"The centre square of the image is scaled to {side}×{side} pixels",
        "squash": f"The whole image is squashed to {side}×{side} pixels",
        "pad": f"The whole image is scaled into {side}×{side} pixels, with borders",
    }[preprocessing.crop_mode]
