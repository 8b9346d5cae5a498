import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from hf_lesion.data import near_duplicates
from hf_lesion.data.near_duplicates import (
    HASH_DISTANCE,
    Candidate,
    confirm_candidates,
    correlate,
    extract_detail,
    find_candidates,
    hash_image,
)
from hf_lesion.labels import CODES
from hf_lesion.synthetic.lesions import draw_lesion


def draw(number):
    return draw_lesion(CODES[number % 7], seed=number)[0]


def recode(image, quality=60):
    """Return what another camera's software might make of the same picture."""
    stream = io.BytesIO()
    ImageEnhance.Brightness(image).enhance(1.15).save(stream, "JPEG", quality=quality)
    return Image.open(stream)


@pytest.fixture(scope="module")
def images():
    return [draw(number) for number in range(6)]


def search(images, groups=None, contents=None):
    hashes = np.stack([hash_image(image) for image in images])
    every = np.arange(len(images))
    return find_candidates(
        hashes,
        every if groups is None else np.array(groups),
        every if contents is None else np.array(contents),
    )


@pytest.mark.parametrize(
    ("change", "turn"),
    [
        (recode, 0),
        (lambda image: recode(ImageOps.mirror(image)), 1),
        (ImageOps.flip, 2),
        (lambda image: recode(image.rotate(180)), 3),
        (lambda image: image.resize((120, 90)), 0),
        (lambda image: image.crop((4, 3, 200, 150)), 0),
    ],
)
def test_changed_copy_is_found_among_others(images, change, turn):
    crowd = [*images, change(images[4])]
    candidates, _ = search(crowd)
    first = candidates[0]
    assert (first.first, first.second, first.orientation) == (4, 6, turn)
    details = {number: extract_detail(image) for number, image in enumerate(crowd)}
    (found,) = confirm_candidates(candidates, details)
    assert (found.first, found.second, found.orientation) == (4, 6, turn)
    assert found.correlation > 0.8


def test_images_of_one_lesion_and_identical_files_are_no_candidates(images):
    crowd = [images[0], recode(images[0]), recode(images[0], quality=90)]
    assert len(search(crowd)[0]) == 3
    assert search(crowd, groups=[0, 0, 0]) == ([], 0)
    pairs, _ = search(crowd, contents=[0, 0, 1])
    assert {(pair.first, pair.second) for pair in pairs} == {(0, 2), (1, 2)}


def test_distances_are_counts_of_different_bits(monkeypatch):
    """Against counting bit by bit, over block borders."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(near_duplicates, "BLOCK", 7)
    hashes = rng.integers(0, 256, (40, 4, 32), dtype=np.uint8)
    hashes[:, :, :19] = hashes[0, 0, :19]  # so that some are close
    numbers = np.arange(40)
    expected = set()
    for i in range(40):
        for j in range(i + 1, 40):
            bits = np.unpackbits(hashes[i, 0] ^ hashes[j], axis=1).sum(axis=1)
            if bits.min() <= HASH_DISTANCE:
                expected.add(Candidate(i, j, int(bits.argmin()), int(bits.min())))
    found, _ = find_candidates(hashes, numbers, numbers)
    assert set(found) == expected
    assert len(expected) == len(found) > 100
    assert [pair.distance for pair in found] == sorted(pair.distance for pair in expected)
    monkeypatch.setattr(near_duplicates, "MOST_CANDIDATES", 10)
    capped = find_candidates(hashes, numbers, numbers)
    assert capped == (found[:10], len(expected) - 10)


def test_detail_ignores_light_and_colour_but_not_structure(images):
    detail = extract_detail(images[0])
    assert detail.shape == (96, 128)
    assert np.linalg.norm(detail) == pytest.approx(1, abs=1e-5)
    assert correlate(detail, detail) == pytest.approx(1, abs=1e-5)
    darker = extract_detail(ImageEnhance.Brightness(images[0]).enhance(0.8))
    assert correlate(detail, darker) > 0.95
    assert correlate(detail, np.roll(detail, (5, -9), (0, 1))) == pytest.approx(1, abs=1e-5)
    others = [correlate(detail, extract_detail(image)) for image in images[1:]]
    assert max(others) < 0.5
    assert not extract_detail(Image.new("L", (64, 48), 90)).any()
