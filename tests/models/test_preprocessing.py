import numpy as np
import pytest
import timm
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    BeitImageProcessor,
    BitImageProcessor,
    CLIPImageProcessor,
    ConvNextImageProcessor,
    DeiTImageProcessor,
    MobileViTImageProcessor,
    TimmWrapperImageProcessor,
    ViTImageProcessor,
    pipeline,
)

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.labels import CODES
from hf_lesion.models.preprocessing import (
    CROP_MODES,
    LONGEST,
    Preprocessing,
    change_processor,
    limit_shape,
    preprocessing_of,
    seen_box,
)
from hf_lesion.training.augmentation import build_train_transform
from hf_lesion.training.samples import EvalTransform

SIDE = 64
SQUARE = ("height", "width")
# 4:3 and 3:4, exact and odd; a strip either way, one pixel too wide, small ones; squares.
SIZES = [(200, 150), (450, 600), (451, 333), (600, 21), (9, 250), (301, 300), (10, 7)]
SQUARES = [(64, 64), (225, 225), (31, 31)]


@pytest.fixture(scope="module", params=["tiny_timm_model", "tiny_cnn_model"])
def source(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module", params=CROP_MODES)
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def folder(mode, source, tmp_path_factory):
    """A model that is saved under each crop mode."""
    output = tmp_path_factory.mktemp(mode)
    classifier = LesionClassifier.from_pretrained(source)
    config = classifier.model.config
    processor = change_processor(config, classifier.processor, crop_mode=mode)
    classifier.model.save_pretrained(output)
    processor.save_pretrained(output)
    return output


@pytest.fixture(scope="module")
def classifier(folder):
    return LesionClassifier.from_pretrained(folder)


def noise(size, seed=0):
    colours = np.random.default_rng(seed).integers(0, 256, (7, 8, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)


def timms(architecture, **changes):
    return TimmWrapperImageProcessor(timm.get_pretrained_cfg(architecture).to_dict() | changes)


def pixels_of(processor, image):
    return processor(images=image, return_tensors="pt")["pixel_values"][0]


def test_everyone_sees_the_same_pixels(folder, classifier, mode):
    """AutoImageProcessor, pipeline(), the training's evaluation and the classifier."""
    processor = AutoImageProcessor.from_pretrained(folder)
    found = preprocessing_of(processor)
    assert (found.crop_mode, found.crop_pct, found.image_size) == (mode, 1.0, SIDE)
    assert classifier.preprocessing == found
    asked = pipeline("image-classification", model=str(folder), top_k=len(CODES))
    for size in SIZES + SQUARES:
        image = noise(size)
        expected = pixels_of(processor, image)
        assert expected.shape == (3, SIDE, SIDE)
        assert torch.equal(asked.preprocess(image)["pixel_values"][0], expected)
        assert torch.equal(EvalTransform(processor)(image), expected)
        assert torch.equal(classifier.preprocess([image])[0], expected)
        answers = {answer["label"]: answer["score"] for answer in asked(image)}
        own = classifier.predict([image])[0]
        assert np.allclose([answers[code] for code in CODES], own, atol=1e-5)


def test_a_square_image_is_the_same_to_the_bit_in_every_mode(source):
    classifier = LesionClassifier.from_pretrained(source)
    config, own = classifier.model.config, classifier.processor
    processors = [change_processor(config, own, crop_mode=mode) for mode in CROP_MODES]
    for size in SQUARES:
        first, *others = (pixels_of(processor, noise(size)) for processor in processors)
        assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize(
    ("processor", "side", "mode", "share"),
    [
        (BitImageProcessor(), 224, "centre", 1),
        (CLIPImageProcessor(size={"shortest_edge": 256}), 224, "centre", 0.875),
        (ConvNextImageProcessor(size={"shortest_edge": 224}, crop_pct=0.875), 224, "centre", 0.875),
        (ConvNextImageProcessor(size={"shortest_edge": 384}), 384, "squash", 1),
        (DeiTImageProcessor(), 224, "squash", 0.875),
        (BeitImageProcessor(), 224, "squash", 1),
        (timms("resnet18"), 224, "centre", 0.95),
        (timms("test_resnet", crop_pct=1.0, crop_mode="squash"), 160, "squash", 1),
    ],
)
def test_other_peoples_processors_are_read_too(processor, side, mode, share):
    found = preprocessing_of(processor)
    assert (found.image_size, found.crop_mode, found.crop_pct) == (side, mode, share)
    assert pixels_of(processor, noise((80, 60))).shape == (3, side, side)


def test_what_is_no_square_is_refused():
    for processor in (
        ViTImageProcessor(size={"height": 48, "width": 64}),
        MobileViTImageProcessor(size={"shortest_edge": 224}, crop_size=dict.fromkeys(SQUARE, 256)),
        CLIPImageProcessor(do_center_crop=False),
    ):
        with pytest.raises(InputError, match=r"^Expected a processor that makes square images"):
            preprocessing_of(processor)
    with pytest.raises(InputError, match=r"^Unknown crop_mode 'center': expected one of centre, "):
        Preprocessing(64, (0.5,) * 3, (0.5,) * 3, "center")


@pytest.mark.parametrize("size", [(200, 150), (150, 200), (256, 256)])
def test_unaugmented_training_pixels_equal_evaluation_pixels(classifier, size):
    """Smooth images: half a pixel, by which a crop may be off, makes no difference."""
    own = classifier.preprocessing
    ramp = np.linspace(0, 255, size[0], dtype=np.uint8)[None].repeat(size[1], axis=0)
    image = Image.merge("RGB", [Image.fromarray(ramp)] * 2 + [Image.new("L", size, 77)])
    train = build_train_transform(own, "none")(image)
    evaluated = EvalTransform(classifier.processor)(image)
    step = 1 / 255 / min(own.std)
    difference = (train - evaluated).abs()
    # A ramp over 64 pixels rises by four steps a pixel.
    assert difference[:, 12:-12, 12:-12].max() <= 4 * step
    assert difference.mean() <= 2 * step


@pytest.mark.parametrize("size", [size for size in SIZES if max(size) < 2 * min(size)])
def test_the_box_is_what_the_network_sees(classifier, size):
    """Ramps over the image tell which place of it a pixel of the input shows."""
    own = classifier.preprocessing
    left, upper, right, lower = seen_box(own.crop_mode, size)
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    image = Image.fromarray(
        np.stack([columns * 200 / width, rows * 200 / height, 0 * rows], axis=-1).astype(np.uint8)
    )
    pixels = classifier.preprocess([image])[0].numpy()
    mean, std = (np.asarray(values)[:, None, None] for values in (own.mean, own.std))
    shares = (pixels * std + mean) * 255 / 200  # of width and height, where the image is
    places = (np.arange(SIDE) + 0.5) / SIDE
    inside = slice(SIDE // 2 - 4, SIDE // 2 + 4)
    wide, high = (right - left) / SIDE, (lower - upper) / SIDE  # a pixel of the input
    across, down = shares[0, inside].mean(axis=0), shares[1, :, inside].mean(axis=1)
    expected = left + places * (right - left), upper + places * (lower - upper)
    seen = [(where > 0.1) & (where < 0.9) for where in expected]
    coarse = 1 / 100 + 1 / min(size)  # of the ramps' own steps
    assert np.abs(across - expected[0])[seen[0]].max(initial=0) < wide + coarse
    assert np.abs(down - expected[1])[seen[1]].max(initial=0) < high + coarse


@pytest.mark.parametrize(
    ("mode", "size", "share", "box"),
    [
        ("centre", (600, 450), 1, (0.125, 0, 0.875, 1)),
        ("centre", (450, 600), 1, (0, 0.125, 1, 0.875)),
        ("centre", (256, 256), 1, (0, 0, 1, 1)),
        ("centre", (600, 450), 0.5, (0.3125, 0.25, 0.6875, 0.75)),
        ("squash", (600, 450), 1, (0, 0, 1, 1)),
        ("pad", (600, 450), 1, (0, -1 / 6, 1, 7 / 6)),
    ],
)
def test_boxes_by_hand(mode, size, share, box):
    assert seen_box(mode, size, share) == pytest.approx(box)


@pytest.mark.parametrize("size", [(1, 10_000), (3, 901)])
def test_a_strip_takes_little_memory_and_shows_its_middle(classifier, mode, size):
    shape = limit_shape(Image.new("RGB", size), classifier.processor).size
    assert mode == "squash" or max(shape) <= (LONGEST + 1) * min(shape)
    strip = Image.new("RGB", size, "white")
    middle = [slice(0, side) if side < 5 else slice(side // 2 - 4, side // 2 + 4) for side in size]
    strip.paste("black", (middle[0].start, middle[1].start, middle[0].stop, middle[1].stop))
    pixels = classifier.preprocess([strip])[0]
    assert pixels.shape == (3, SIDE, SIDE)
    if mode == "centre":
        assert (pixels < 0).all()
