import numpy as np
import pytest
import timm
import torch
from PIL import Image
from transformers import AutoImageProcessor, pipeline

from hf_lesion.classifier import LesionClassifier
from hf_lesion.models.build import build_model
from hf_lesion.models.preprocessing import preprocessing_of
from hf_lesion.models.transforms import build_train_transform
from hf_lesion.training.samples import EvalTransform


@pytest.fixture(params=["tiny_timm_model", "tiny_cnn_model"])
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def image():
    noise = np.random.default_rng(0).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((200, 150), Image.Resampling.BICUBIC)


def test_everyone_sees_the_same_pixels(folder, image):
    """AutoImageProcessor, pipeline(), the training's evaluation and the classifier."""
    processor = AutoImageProcessor.from_pretrained(folder)
    expected = processor(images=image, return_tensors="pt")["pixel_values"][0]
    seen = pipeline("image-classification", model=str(folder)).preprocess(image)["pixel_values"][0]
    classifier = LesionClassifier.from_pretrained(folder)
    assert torch.equal(seen, expected)
    assert torch.equal(EvalTransform(processor)(image), expected)
    assert torch.equal(classifier.preprocess([image])[0], expected)


def test_the_whole_frame_is_squashed_to_the_size_that_was_asked_for(folder):
    image = Image.new("RGB", (200, 150))
    image.paste((255, 0, 0), (0, 0, 10, 150))
    image.paste((0, 0, 255), (190, 0, 200, 150))
    pixels = LesionClassifier.from_pretrained(folder).preprocess([image])[0]
    assert pixels.shape == (3, 64, 64)
    assert (pixels[0, :, 0] > 0).all()
    assert (pixels[2, :, -1] > 0).all()


def test_timm_makes_the_same_transform_of_the_saved_config(tiny_timm_model, image):
    processor = AutoImageProcessor.from_pretrained(tiny_timm_model)
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(tiny_timm_model)
    data_config = timm.data.resolve_data_config(config.pretrained_cfg)
    expected = timm.data.create_transform(**data_config)(image)
    assert torch.equal(processor(images=image)["pixel_values"][0], expected)


def test_mean_and_std_are_the_architectures_own():
    _, processor = build_model("tf_efficientnet_lite0", image_size=96)
    assert preprocessing_of(processor).mean == (0.5, 0.5, 0.5)
    _, processor = build_model("resnet18", image_size=96)
    assert preprocessing_of(processor).mean == timm.get_pretrained_cfg("resnet18").mean


def test_unaugmented_training_pixels_equal_evaluation_pixels(folder, image):
    processor = AutoImageProcessor.from_pretrained(folder)
    train = build_train_transform(preprocessing_of(processor), "none")(image)
    evaluated = EvalTransform(processor)(image)
    # PIL and torchvision round a bicubic resize differently: one or two of 255 steps.
    step = 1 / 255 / min(preprocessing_of(processor).std)
    assert (train - evaluated).abs().max() <= 4 * step
    assert (train - evaluated).abs().mean() <= step
