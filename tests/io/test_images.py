"""Images as people pass them: the same pixels whatever they come as, and words for what is none."""

import io
import re

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.io.images import count_images, read_images

ARRAY = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
IMAGE = Image.fromarray(ARRAY)
EXPECTED = "Expected a PIL image, the path of a file, or a uint8 array of H×W or H×W×3 (RGB), got "


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("images") / "image.png"
    IMAGE.save(file)
    return file


def column(form=None):
    features = datasets.Features({"image": datasets.Image()})
    return datasets.Dataset.from_dict({"image": [IMAGE] * 2}, features).with_format(form)["image"]


@pytest.mark.parametrize(
    ("one", "count"),
    [
        (lambda file: IMAGE, 1),
        (lambda file: file, 1),
        (lambda file: file.read_bytes(), 1),
        (lambda file: io.BytesIO(file.read_bytes()), 1),
        (lambda file: [file.read_bytes(), file.open("rb")], 2),
        (lambda file: ARRAY, 1),
        (lambda file: ARRAY[None], 1),
        (lambda file: np.stack([ARRAY, ARRAY]), 2),
        (lambda file: [IMAGE, file, ARRAY], 3),
        (lambda file: np.array([str(file), str(file)], object), 2),
        (lambda file: (ARRAY for _ in range(3)), None),
        (lambda file: column(), 2),
        (lambda file: column("numpy"), 2),
        (lambda file: [], 0),
    ],
)
def test_one_or_many_are_read_to_the_same_pixels(file, one, count):
    images = one(file)
    assert count_images(images) == count
    found = list(read_images(images))
    assert count is None or len(found) == count
    assert all(image.mode == "RGB" for image in found)
    assert all(np.array_equal(np.asarray(image), ARRAY) for image in found)


@pytest.mark.parametrize("grey", [ARRAY[..., 0], ARRAY[..., :1]])
def test_grey_arrays_are_grey(grey):
    (image,) = read_images(grey)
    assert np.array_equal(np.asarray(image), np.repeat(ARRAY[..., :1], 3, axis=2))


def test_images_are_read_one_at_a_time():
    taken = []
    images = (taken.append(number) or IMAGE for number in range(9))
    next(read_images(images))
    assert taken == [0]


TO_8_BITS = "Values from 0 to 1 become 8 bits by (255 * array).round().astype('uint8')."


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (ARRAY / 255, f"{EXPECTED}float64 of 4×6×3. {TO_8_BITS}"),
        (
            ARRAY.astype(np.int64),
            f"{EXPECTED}int64 of 4×6×3. Values from 0 to 255 become 8 bits by "
            "array.astype('uint8').",
        ),
        (ARRAY[..., 0] > 9, f"{EXPECTED}bool of 4×6. {TO_8_BITS}"),
        (
            ARRAY.transpose(2, 0, 1),
            f"{EXPECTED}uint8 of 3×4×6. Channels come last: array.transpose(1, 2, 0) moves them "
            "there.",
        ),
        (ARRAY[None, None], f"{EXPECTED}uint8 of 1×1×4×6×3."),
        (ARRAY[:0], "The image has 6×0 pixels. Pass an image."),
        (
            torch.from_numpy(ARRAY.copy()).permute(2, 0, 1),
            f"{EXPECTED}Tensor. Pixels are array = tensor.permute(1, 2, 0).numpy(), in 8 bits.",
        ),
        (
            {"image": IMAGE},
            f"{EXPECTED}dict. Of rows of a dataset, pass the column: dataset['image'].",
        ),
        (
            b"\x89PNG",
            "The image can't be read as an image (UnidentifiedImageError): the file is damaged or "
            "not an image. Pass a JPEG or PNG.",
        ),
        (io.StringIO("no bytes"), f"{EXPECTED}StringIO."),
        (7, f"{EXPECTED}int."),
        ("nowhere.png", "nowhere.png not found."),
    ],
)
def test_what_is_no_image_is_refused_alone_and_in_a_list(image, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        list(read_images(image))
    with pytest.raises(InputError, match=rf"^images\[1\]: {re.escape(message)}$"):
        list(read_images([IMAGE, image]))


def test_rows_of_a_dataset_and_tensors_are_no_images():
    rows = datasets.Dataset.from_dict({"image": [IMAGE]}).cast_column("image", datasets.Image())
    with pytest.raises(InputError, match=r"pass the column: dataset\['image'\]\.$"):
        list(read_images(rows))
    with pytest.raises(InputError, match="got Tensor"):
        list(read_images(column("torch")))
