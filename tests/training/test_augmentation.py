import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from hf_lesion.models.preprocessing import Preprocessing
from hf_lesion.training.augmentation import (
    AUGMENTATIONS,
    CROP_RATIO,
    STRONG_CROP_SCALE,
    ColourJitter,
    RotatedCrop,
    build_train_transform,
    least_side,
)

PREPROCESSING = Preprocessing(32, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_augmentations_give_normalised_tensors_and_torchs_generator_alone_decides(
    augmentation, image
):
    transform = build_train_transform(PREPROCESSING, augmentation)
    mean, std = torch.tensor(PREPROCESSING.mean), torch.tensor(PREPROCESSING.std)

    def draw(seed):
        torch.manual_seed(seed)
        return transform(image)

    for pixels in map(draw, range(10)):
        assert pixels.shape == (3, 32, 32)
        assert pixels.dtype == torch.float32
        scaled = pixels * std[:, None, None] + mean[:, None, None]
        if augmentation != "strong":  # erased patches are at 0 after normalisation: the mean
            assert scaled.min() >= -1e-6
        assert scaled.max() <= 1 + 1e-6
    assert torch.equal(draw(1), draw(1))
    assert torch.equal(draw(1), draw(2)) == (augmentation == "none")


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
@pytest.mark.parametrize("size", [(60, 80), (81, 60)])
def test_training_on_frames_equals_training_on_their_centre_squares(augmentation, size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    frame, side = Image.fromarray(noise), min(size)
    left, upper = (size[0] - side) // 2, (size[1] - side) // 2
    square = frame.crop((left, upper, left + side, upper + side))
    transform = build_train_transform(PREPROCESSING, augmentation)
    for seed in range(3):
        pair = []
        for shown in (frame, square):
            torch.manual_seed(seed)
            pair.append(transform(shown))
        assert torch.equal(*pair)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
@pytest.mark.parametrize(("mode", "is_seen"), [("centre", False), ("squash", True), ("pad", True)])
def test_training_sees_what_the_network_will_see(augmentation, mode, is_seen):
    """White margins beside the centre square: seen now and then, or never."""
    frame = Image.new("RGB", (80, 60), "white")
    frame.paste("black", (10, 0, 70, 60))
    own = Preprocessing(32, (0.0,) * 3, (1.0,) * 3, mode)
    transform = build_train_transform(own, augmentation)
    brightest = []
    for seed in range(20):
        torch.manual_seed(seed)
        brightest.append(float(transform(frame).max()))
    assert (max(brightest) > 0.5) == is_seen


def test_colours_shift_as_torchvision_shifts_them_one_after_the_other():
    image = 0.4 + 0.2 * torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(3)
    shifted = ColourJitter(0.2)(image)
    torch.manual_seed(3)
    brightness, contrast, saturation = (0.8 + 0.4 * torch.rand(3)).tolist()
    expected = functional.adjust_brightness(image, brightness)
    expected = functional.adjust_contrast(expected, contrast)
    expected = functional.adjust_saturation(expected, saturation)
    assert torch.allclose(shifted, expected, atol=1e-3)  # 0.9999 is torchvision's sum of the luma
    assert not torch.allclose(shifted, image, atol=1e-2)


def test_turning_the_hue_spares_greys_and_moves_red_towards_yellow():
    shift = ColourJitter(0.0, turn=90)
    turned = shift.turned(math.radians(30))
    assert torch.allclose(turned @ torch.ones(3), torch.ones(3), atol=1e-6)
    assert torch.allclose(turned @ turned.T, torch.eye(3), atol=1e-6)
    red, green, blue = (turned @ torch.tensor([1.0, 0.0, 0.0])).tolist()
    assert red > green > 0 > blue
    torch.manual_seed(0)
    assert torch.allclose(shift(torch.full((3, 4, 4), 0.3)), torch.full((3, 4, 4), 0.3), atol=1e-4)
    assert shift(torch.tensor([0.6, 0.3, 0.3]).view(3, 1, 1)).flatten().tolist() != [0.6, 0.3, 0.3]


@pytest.mark.parametrize("augmentation", ["standard", "strong"])
def test_no_crop_of_a_smallest_image_is_enlarged(augmentation):
    own = Preprocessing(128, (0.5,) * 3, (0.5,) * 3)
    assert least_side(own, "student") == 128  # does not crop
    side = least_side(own, augmentation)
    assert 128 < side < 2 * 128
    torch.manual_seed(0)
    frame = torch.zeros(3, side, side)  # what is left of a frame, at the least
    crop = v2.RandomResizedCrop(128, scale=STRONG_CROP_SCALE, ratio=CROP_RATIO)
    sides = [crop.make_params([frame]) for _ in range(2000)]
    assert min(min(found["height"], found["width"]) for found in sides) in range(127, 140)


def test_strong_rotates_by_any_angle_and_fills_by_reflection():
    image = torch.zeros(3, 90, 120, dtype=torch.uint8)
    image[:, :, 60:] = 200  # an upright edge
    crop = RotatedCrop(64, scale=(0.9, 0.9), ratio=(1.0, 1.0))
    torch.manual_seed(0)
    cuts = [crop(image) for _ in range(8)]
    assert all(cut.shape == (3, 64, 64) and cut.dtype == torch.uint8 for cut in cuts)
    # Reflection brings in no colour that is not in the image.
    assert all(set(cut.unique().tolist()) <= set(range(201)) for cut in cuts)
    slanted = [cut for cut in cuts if (cut[0, 0] != cut[0, 31]).any() and (cut[0, :, 0] != 0).any()]
    assert slanted  # some edge is neither upright nor level


def test_an_unrotated_crop_of_the_whole_frame_is_a_plain_resize(monkeypatch):
    image = torch.randint(0, 256, (3, 48, 48), dtype=torch.uint8)
    monkeypatch.setattr(torch, "rand", lambda n: torch.tensor([0.5, 0.5, 0.5, 0.5, 0.0, 0.0]))
    cut = RotatedCrop(96, scale=(1.0, 1.0), ratio=(1.0, 1.0))(image)
    plain = v2.functional.resize(image, [96, 96], antialias=False)
    assert (cut.int() - plain.int())[:, 2:-2, 2:-2].abs().max() <= 1
