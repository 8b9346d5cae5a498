"""Augmentation of training images: torchvision v2 transforms that use torch's generator only.

`student` is the augmentation of the student project that this package follows up (flips, rotation
by 20°, colour jitter 0.1). `standard` uses random resized crops, flips and rotation by multiples
of 90°; `strong` rotates by any angle and also varies sharpness (rescaling, blur, JPEG), in which
cameras differ. All operate on the part of the frame that the network sees at prediction.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
from PIL import Image
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from hf_lesion.models.preprocessing import Preprocessing

Augmentation = Literal["none", "student", "standard", "strong"]
AUGMENTATIONS: tuple[str, ...] = get_args(Augmentation)
CROPPING = ("standard", "strong")  # augmentations with random crops

Transform = Callable[[Image.Image], torch.Tensor]
Step = Callable[[torch.Tensor], torch.Tensor]
Modules = list[torch.nn.Module]

CROP_SCALE = (0.5, 1.0)  # fraction of the area of the frame
STRONG_CROP_SCALE = (0.45, 1.0)
CROP_RATIO = (0.7, 1.4)  # width to height
# Shortest possible side of a crop, as a fraction of the side of a square frame.
LEAST_CROP = math.sqrt(STRONG_CROP_SCALE[0] * min(CROP_RATIO[0], 1 / CROP_RATIO[1]))

LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as in torchvision


class QuarterTurn(torch.nn.Module):
    """Rotate by 0°, 90°, 180° or 270° with equal probability."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the rotated (3, S, S) image."""
        return torch.rot90(image, int(torch.randint(4, ())), dims=(-2, -1))


class RotatedCrop(torch.nn.Module):
    """Crop a rectangle at a random angle, randomly mirrored, and resize it to a square.

    The rectangle is sampled as in torchvision's `RandomResizedCrop`, with the same `scale` and
    `ratio`, and rotated about its centre; parts outside the frame are filled by reflection.
    """

    def __init__(self, side: int, scale: tuple[float, float], ratio: tuple[float, float]):
        super().__init__()
        self.side = side
        self.scale = scale
        self.ratio = ratio

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return a (3, side, side) crop of a (3, H, W) image, both uint8."""
        height, width = image.shape[-2:]
        area, log_ratio, across, down, turn, mirror = torch.rand(6).tolist()
        area = height * width * (self.scale[0] + area * (self.scale[1] - self.scale[0]))
        low, high = map(math.log, self.ratio)
        ratio = math.exp(low + log_ratio * (high - low))
        crop_width = min(math.sqrt(area * ratio), width)
        crop_height = min(math.sqrt(area / ratio), height)
        # Centre and half sides in the coordinates of `grid_sample`, [-1, 1] along each axis.
        centre_x = (2 * across - 1) * (1 - crop_width / width)
        centre_y = (2 * down - 1) * (1 - crop_height / height)
        angle = 2 * math.pi * turn
        sine, cosine = math.sin(angle), math.cos(angle)
        half_width = crop_width if mirror < 0.5 else -crop_width
        theta = torch.tensor(
            [
                [cosine * half_width / width, -sine * crop_height / width, centre_x],
                [sine * half_width / height, cosine * crop_height / height, centre_y],
            ]
        )
        grid = affine_grid(theta[None], [1, 3, self.side, self.side], align_corners=False)
        cut = grid_sample(image[None].float(), grid, padding_mode="reflection", align_corners=False)
        return cut[0].round_().clamp_(0, 255).to(torch.uint8)


class ColourJitter(torch.nn.Module):
    """Jitter brightness, contrast, saturation and hue with a single 3x3 matrix.

    Corresponds to torchvision's `ColorJitter`, which takes four passes over the image, in this
    order and without intermediate clamping; hue is rotated about the grey axis instead of in HSV.
    Factors of brightness, contrast and saturation are sampled from [1 - spread, 1 + spread], the
    hue angle from [-turn, turn], in degrees.
    """

    def __init__(self, spread: float, turn: float = 0.0):
        super().__init__()
        self.spread = spread
        self.turn = turn
        self.luma = torch.tensor(LUMA)
        self.same = torch.eye(3)
        self.grey = torch.ones(3, 1) * self.luma  # sets every channel to the luma
        part = 1 / math.sqrt(3)
        # Cross product with the unit vector along the grey axis.
        self.cross = torch.tensor([[0, -part, part], [part, 0, -part], [-part, part, 0]])
        self.cross_twice = self.cross @ self.cross

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the jittered (3, S, S) image, values in [0, 1]."""
        brightness, contrast, saturation = (1 + self.spread * (2 * torch.rand(3) - 1)).tolist()
        matrix = saturation * self.same + (1 - saturation) * self.grey
        if self.turn:
            angle = math.radians(self.turn) * (2 * float(torch.rand(())) - 1)
            matrix = self.turned(angle) @ matrix
        pixels = image.reshape(3, -1)
        lift = (1 - contrast) * brightness * (self.luma @ pixels.mean(dim=1))
        shifted = torch.addmm(lift, brightness * contrast * matrix, pixels)
        return shifted.clamp_(0, 1).view(image.shape)

    def turned(self, angle: float) -> torch.Tensor:
        """Return the (3, 3) rotation about the grey axis by an angle in radians (Rodrigues)."""
        return self.same + math.sin(angle) * self.cross + (1 - math.cos(angle)) * self.cross_twice


class Rescale(torch.nn.Module):
    """Downscale by a factor in [lowest, 1] and upscale again, to simulate a lower resolution."""

    def __init__(self, lowest: float):
        super().__init__()
        self.lowest = lowest

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the (3, S, S) image at a simulated lower resolution."""
        side = image.shape[-1]
        factor = self.lowest + (1 - self.lowest) * float(torch.rand(()))
        small = max(1, round(side * factor))
        shrunk = functional.resize(image, [small, small], antialias=True)
        return functional.resize(shrunk, [side, side], antialias=True)


def build_train_transform(preprocessing: Preprocessing, augmentation: str) -> Transform:
    """Return a transform from a PIL image to an augmented, normalised (3, S, S) float tensor.

    Geometry, mean and std are the same as at prediction.
    """
    on_bytes, on_floats, on_normalised = _list_steps(augmentation, preprocessing.image_size)
    return v2.Compose(
        [
            _as_tensor,
            *_frame(preprocessing, augmentation),
            *on_bytes,
            v2.ToDtype(torch.float32, scale=True),
            *on_floats,
            v2.Normalize(list(preprocessing.mean), list(preprocessing.std)),
            *on_normalised,
        ]
    )


def least_side(preprocessing: Preprocessing, augmentation: str) -> int:
    """Return the shorter side in pixels of an image for which no crop has to be enlarged.

    A JPEG may be decoded at a half, a quarter or an eighth of its size, which is faster, as long as
    its shorter side is not below this.
    """
    return math.ceil(preprocessing.image_size / (LEAST_CROP if augmentation in CROPPING else 1))


def _as_tensor(image: Image.Image) -> torch.Tensor:
    return functional.pil_to_tensor(image if image.mode == "RGB" else image.convert("RGB"))


def _frame(preprocessing: Preprocessing, augmentation: str) -> list[Step]:
    """Return the transforms of a frame to the part that the network sees at prediction."""
    if preprocessing.crop_mode == "centre":
        return [_centre_square]
    # Random crops of a padded frame would include its borders.
    if preprocessing.crop_mode == "pad" and augmentation not in CROPPING:
        return [partial(_pad, colour=[round(255 * value) for value in preprocessing.mean])]
    return []


def _centre_square(image: torch.Tensor) -> torch.Tensor:
    height, width = image.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[..., top : top + side, left : left + side]


def _pad(image: torch.Tensor, colour: list[int]) -> torch.Tensor:
    """Pad the image to a square with one colour."""
    height, width = image.shape[-2:]
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    borders = [left, top, side - width - left, side - height - top]
    return functional.pad(image, borders, fill=colour)


def _reduce(image: torch.Tensor, side: int) -> torch.Tensor:
    """Reduce the image to a shorter side of at most `side` pixels."""
    if min(image.shape[-2:]) <= side:
        return image
    return functional.resize(image, [side], antialias=True)


def _list_steps(augmentation: str, side: int) -> tuple[Modules, Modules, Modules]:
    """Return the transforms of uint8 pixels, of values in [0, 1], and of normalised values.

    `augmentation` is one of `AUGMENTATIONS`, as the command line checks.
    """
    squash = v2.Resize([side, side], interpolation=v2.InterpolationMode.BICUBIC, antialias=True)
    if augmentation == "none":
        return [squash], [], []
    if augmentation == "student":
        rotation = v2.RandomRotation(20, interpolation=v2.InterpolationMode.BILINEAR)
        jitter = v2.ColorJitter(brightness=0.1, contrast=0.1, saturation=0.1)
        flips = [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
        return [squash, *flips, rotation, jitter], [], []
    if augmentation == "standard":
        crop = v2.RandomResizedCrop(side, scale=CROP_SCALE, ratio=CROP_RATIO, antialias=True)
        return [crop, v2.RandomHorizontalFlip(), QuarterTurn()], [ColourJitter(0.2)], []
    geometry = [
        # The smallest crop keeps its resolution; larger ones are reduced by less than two.
        v2.Lambda(partial(_reduce, side=math.ceil(side / LEAST_CROP))),
        RotatedCrop(side, STRONG_CROP_SCALE, CROP_RATIO),
    ]
    camera = [
        v2.RandomApply([Rescale(lowest=0.4)], p=0.35),
        v2.RandomApply([v2.GaussianBlur(5, sigma=(0.1, 1.2))], p=0.2),
        v2.RandomApply([v2.JPEG(quality=(40, 95))], p=0.5),
    ]
    erasing = v2.RandomErasing(p=0.1, scale=(0.02, 0.15))
    return [*geometry, *camera], [ColourJitter(0.2, turn=7)], [erasing]
