import io
import json
import shutil
import zipfile

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from prepared import write_dataset
from raised import refusal

from hf_lesion.classifier import LesionClassifier
from hf_lesion.evaluation.scoring import choose_rows, draw_rows, predict, read_images, read_split
from hf_lesion.labels import CODES


class MeanColour:
    """A stand-in classifier whose answer depends on the mean colour, and counts its batches."""

    def __init__(self):
        self.batches = []

    def predict(self, images, *, batch_size):
        assert len(images) <= batch_size
        self.batches.append(len(images))
        means = [np.resize(np.asarray(image).mean(axis=(0, 1)), len(CODES)) for image in images]
        scores = np.asarray(means, dtype=np.float32) + 1
        return scores / scores.sum(axis=1, keepdims=True)


def draw_image(seed, size=(12, 8)):
    return Image.fromarray(
        np.random.default_rng(seed).integers(255, size=(size[1], size[0], 3), dtype=np.uint8)
    )


@pytest.fixture
def folder(tmp_path):
    """Four images in subfolders and of several endings, with their truth in another order."""
    for seed, name in enumerate(["part_1/a.png", "part_2/b.JPG", "part_2/c.jpeg", "d.jpg"]):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_image(seed).save(path)
    draw_image(9).save(tmp_path / "images" / "a_segmentation.png")
    (tmp_path / "truth.csv").write_text("image_id,dx,lesion_id\nd,mel,1\nb,nv,2\na,nv,2\n")
    return tmp_path


def read(folder, name="outside"):
    return read_images(folder / "images", folder / "truth.csv", name=name)


def test_the_fingerprint_sees_pixels_and_references_but_not_order(folder):
    first = read(folder).fingerprint
    truth = pd.read_csv(folder / "truth.csv", dtype=str)
    truth.iloc[::-1].to_csv(folder / "truth.csv", index=False)
    assert read(folder).fingerprint == first
    truth.assign(dx="nv").to_csv(folder / "truth.csv", index=False)
    relabelled = read(folder).fingerprint
    truth.to_csv(folder / "truth.csv", index=False)
    draw_image(5).save(folder / "images" / "d.jpg")
    assert len({first, relabelled, read(folder).fingerprint}) == 3


@pytest.mark.parametrize("place", ["images.zip", "images/part.ZIP"])
def test_a_zip_archive_is_read_in_place_as_its_folder_is(folder, place):
    first = read(folder)
    expected = [np.asarray(first.load(row)) for row in range(3)]
    images = (folder / "images").rename(folder / "unzipped")
    (folder / place).parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / place, "w") as archive:
        for file in sorted(images.rglob("*.*")):
            archive.write(file, f"ISIC Test/{file.relative_to(images)}")
    source = folder / place if place == "images.zip" else folder / "images"
    found = read_images(source, folder / "truth.csv", name="outside")
    assert (found.fingerprint, found.description) == (first.fingerprint, first.description)
    assert all(np.array_equal(found.load(row), expected[row]) for row in range(3))
    assert sorted(file.name for file in found.left_out) == ["a_segmentation.png", "c.jpeg"]


def test_what_is_wrong_in_a_zip_archive_is_named(folder):
    file = folder / "images.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in "abd":
            archive.writestr(f"{name}.png", b"no image")
    message = refusal(read_images, file, folder / "truth.csv", name="x")
    assert message.startswith(f"{file}/d.png: The image can't be read as an image")
    shutil.rmtree(folder / "images")
    assert "images is neither a folder nor a zip archive" in refusal(read, folder)


def test_a_folder_is_predicted_in_the_order_of_its_ground_truth_whatever_the_batch_size(folder):
    classifier, found = MeanColour(), read(folder)
    assert (found.name, found.source) == ("outside", "truth.csv")
    assert [CODES[index] for index in found.references] == ["mel", "nv", "nv"]
    assert np.array_equal(np.asarray(found.load(2)), np.asarray(draw_image(0)))
    predictions = predict(classifier, found, batch_size=2)
    assert classifier.batches == [2, 1]
    alone = [MeanColour().predict([found.load(i)], batch_size=1)[0] for i in range(3)]
    assert np.array_equal(predictions.probabilities, np.asarray(alone, dtype=np.float64))
    assert predictions.image_ids == ("d", "b", "a")
    assert predictions.lesion_ids == ("1", "2", "2")


def test_a_split_is_read_as_prepared(sample_dataset):
    found = read_split(sample_dataset, "test")
    expected = datasets.load_dataset(str(sample_dataset), split="test")
    assert found.image_ids == tuple(expected["image_id"])
    assert found.lesion_ids == tuple(expected["lesion_id"])
    assert found.references.tolist() == list(expected["label"])
    record = json.loads((sample_dataset / "prepared.json").read_text())
    assert (found.name, found.source) == ("test", "dataset")
    assert found.fingerprint == record["fingerprint"]
    assert found.origin["description"] == record["description"]
    assert record["description"] == "drawn sample set, 84 images, 200×150 px, whole frame (4:3)"
    for index in (0, len(expected) - 1):
        assert np.array_equal(np.asarray(found.load(index)), np.asarray(expected[index]["image"]))


def test_a_dataset_that_cannot_be_scored_is_refused(tmp_path):
    def refused(name, **options):
        return refusal(read_split, write_dataset(tmp_path / name, **options), "test")

    twice = refused("a", labels=(0, 1, 2), image_ids=["I1", "I2", "I1"])
    assert twice.startswith(f"1 image_ids of {tmp_path / 'a'} repeat: I1.")
    assert " have no label: I1. Leave them out" in refused("b", labels=[0, -1, 3])
    buffer = io.BytesIO()
    draw_image(0, size=(100, 100)).save(buffer, "JPEG")
    cut = write_dataset(tmp_path / "cut", labels=[0], images=[buffer.getvalue()[:-2000]])
    found = read_split(cut, "test")
    assert found.lesion_ids is None
    assert "Image I0 of the dataset can't be read: its bytes are damaged" in refusal(
        predict, MeanColour(), found, batch_size=1
    )


def test_the_answers_to_several_views_are_averaged(folder, tiny_timm_model):
    classifier = LesionClassifier.from_pretrained(tiny_timm_model)
    images = [read(folder).load(index) for index in range(3)]
    quarters = [
        images,
        [image.transpose(Image.Transpose.ROTATE_90) for image in images],
        [image.transpose(Image.Transpose.ROTATE_180) for image in images],
    ]
    expected = np.mean([classifier.predict(turned) for turned in quarters], axis=0)
    found = predict(classifier, read(folder), batch_size=2, views=3)
    assert np.allclose(found.probabilities, expected, atol=1e-6)
    assert not np.allclose(found.probabilities, classifier.predict(images), atol=1e-3)


def test_rows_are_chosen_from_every_class():
    references = np.repeat(np.arange(7), [2, 30, 30, 1, 30, 30, 30])
    rows = choose_rows(references, 5)
    assert np.bincount(references[rows]).tolist() == [2, 5, 5, 1, 5, 5, 5]
    assert rows == sorted(set(rows)) == choose_rows(references, 5)
    assert len(draw_rows(50, 10)) == 10
    assert draw_rows(50, 10) == draw_rows(50, 10) != draw_rows(60, 10)
