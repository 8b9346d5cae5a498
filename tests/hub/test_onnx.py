"""ONNX files as other runtimes take them: the same answers, any batch size, told how to be fed."""

import json
import shutil

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="needs pip install -e '.[export]'")
pytest.importorskip("onnxruntime")

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.hub import onnx
from hf_lesion.hub.checks import ONNX_FILE, check_measured_weights
from hf_lesion.hub.onnx import (
    INPUT,
    OUTPUT,
    compare,
    draw_images,
    export_onnx,
    open_session,
    read_metadata,
)
from hf_lesion.io.checksums import file_sha256
from hf_lesion.labels import CODES, NOTICE


@pytest.fixture(
    scope="module",
    params=["tiny_cnn_model", pytest.param("tiny_timm_model", marks=pytest.mark.slow)],
)
def exported(request, tmp_path_factory):
    """A classifier, its ONNX file, and how far the two are apart; on 200 images if slow."""
    folder = tmp_path_factory.mktemp("export") / "model"
    shutil.copytree(request.getfixturevalue(request.param), folder)
    classifier = LesionClassifier.from_pretrained(folder, device="cpu")
    file = folder / ONNX_FILE
    images = None if request.param == "tiny_timm_model" else draw_images(50)
    return classifier, file, export_onnx(classifier, file, images=images)


def test_it_answers_as_pytorch_does(exported):
    classifier, file, found = exported
    assert found.images in (50, onnx.CHECKED_IMAGES)
    assert found.logits <= 1e-4
    assert found.probabilities <= 1e-4
    images = draw_images(14)
    session = open_session(file)
    logits = session.run([OUTPUT], {INPUT: classifier.preprocess(images).numpy()})[0]
    assert np.allclose(logits, classifier.logits(images), atol=1e-4)
    assert logits.std(axis=0).mean() > 0.1  # answers that tell images apart


def test_any_batch_size_goes(exported):
    session = open_session(exported[1])
    assert session.get_inputs()[0].shape[1:] == [3, 64, 64]
    for size in (1, 3, 7):
        pixels = np.zeros((size, 3, 64, 64), np.float32)
        assert session.run([OUTPUT], {INPUT: pixels})[0].shape == (size, len(CODES))


def test_the_file_says_how_it_is_fed_and_what_comes_out(exported):
    _, file, _ = exported
    found = read_metadata(file)
    assert json.loads(found["labels"]) == list(CODES)
    told = json.loads(found["preprocessing"])
    assert (told["image_size"], told["crop_mode"], told["crop_pct"]) == (64, "centre", 1.0)
    assert told["resize"] == "The centre square of the image is scaled to 64×64 pixels"
    assert len(told["mean"]) == len(told["std"]) == 3
    assert found["notice"] == NOTICE
    weights = file.parents[1] / "model.safetensors"
    assert found["weights_sha256"] == file_sha256(weights)
    check_measured_weights(weights.parent)  # what publishing asks of it
    assert [child.name for child in file.parent.iterdir()] == ["model.onnx"]


@pytest.mark.slow  # another export of many seconds
def test_a_temperature_in_the_weights_is_in_the_file(exported, tmp_path):
    classifier, _, _ = exported
    head = [m for m in classifier.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    images = draw_images(3)
    before = classifier.logits(images)
    try:
        with torch.no_grad():
            head.weight.div_(2)
            head.bias.div_(2)
        export_onnx(classifier, tmp_path / "warm.onnx", images=images)
    finally:
        with torch.no_grad():
            head.weight.mul_(2)
            head.bias.mul_(2)
    session = open_session(tmp_path / "warm.onnx")
    logits = session.run([OUTPUT], {INPUT: classifier.preprocess(images).numpy()})[0]
    assert np.allclose(logits, before / 2, atol=1e-4)


def test_a_file_that_answers_otherwise_is_found_out(exported, monkeypatch):
    classifier, file, _ = exported
    right = classifier.logits
    monkeypatch.setattr(classifier, "logits", lambda images, **more: right(images, **more) + 1e-3)
    with pytest.raises(InputError, match=r"differs from PyTorch's by 1\.0e-03 in a logit"):
        compare(classifier, file, draw_images(3))


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(onnx, "NEEDED", ("onnx", "onnx_of_tomorrow"))
    with pytest.raises(InputError, match=r"needs onnx_of_tomorrow: pip install -e '\.\[export"):
        onnx.check_packages()
