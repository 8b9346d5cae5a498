"""ONNX networks: the outputs of PyTorch, in full precision and in eight bits."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="needs pip install -e '.[export]'")
pytest.importorskip("onnxruntime")

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.evaluation.scoring import EvaluationSet, draw_rows, take_images
from hf_lesion.hub import onnx, quantisation
from hf_lesion.hub.checks import ONNX_FILE, QUANTISED_FILE, check_measured_weights
from hf_lesion.hub.onnx import INPUT, OUTPUT, draw_images, export_onnx, open_session, read_metadata
from hf_lesion.io.checksums import file_sha256
from hf_lesion.labels import CODES, NOTICE
from hf_lesion.synthetic.lesions import draw_lesion

IMAGES = 28


@pytest.fixture(
    scope="module",
    params=["tiny_cnn_model", pytest.param("tiny_timm_model", marks=pytest.mark.slow)],
)
def exported(request, tmp_path_factory):
    """A classifier, its ONNX file, and their agreement."""
    folder = tmp_path_factory.mktemp("export") / "model"
    shutil.copytree(request.getfixturevalue(request.param), folder)
    classifier = LesionClassifier.from_pretrained(folder, device="cpu")
    file = folder / ONNX_FILE
    return classifier, file, export_onnx(classifier, file, images=draw_images(25))


def run(file, pixels):
    return open_session(file).run([OUTPUT], {INPUT: pixels})[0]


def test_it_answers_as_pytorch_does_for_any_batch_size(exported):
    classifier, file, found = exported
    assert found.images == 25
    assert max(found.logits, found.probabilities) <= 1e-4
    assert open_session(file).get_inputs()[0].shape[1:] == [3, 64, 64]
    images = draw_images(14)
    expected = classifier.logits(images)
    for size in (1, 3, 14):
        logits = run(file, classifier.preprocess(images[:size]).numpy())
        assert np.allclose(logits, expected[:size], atol=1e-4)
    assert expected.std(axis=0).mean() > 0.1  # answers that tell images apart


def test_the_file_describes_its_input_and_output(exported):
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
    assert "model.onnx" in {child.name for child in file.parent.iterdir()}


@pytest.mark.slow  # another export of many seconds
def test_a_temperature_in_the_weights_is_in_the_file(exported, tmp_path):
    classifier = copy.deepcopy(exported[0])
    head = [m for m in classifier.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    images = draw_images(3)
    before = classifier.logits(images)
    for parameter in (head.weight, head.bias):
        parameter.data.div_(2)
    export_onnx(classifier, tmp_path / "warm.onnx", images=images)
    logits = run(tmp_path / "warm.onnx", classifier.preprocess(images).numpy())
    assert np.allclose(logits, before / 2, atol=1e-4)


def test_a_file_with_other_outputs_and_a_missing_package_are_refused(exported, monkeypatch):
    classifier, file, _ = exported
    right = classifier.logits
    monkeypatch.setattr(classifier, "logits", lambda images, **more: right(images, **more) + 1e-3)
    with pytest.raises(InputError, match=r"differs from PyTorch's by 1\.0e-03 in a logit"):
        onnx.compare(classifier, file, draw_images(3))
    monkeypatch.setattr(onnx, "NEEDED", ("onnx", "onnx_of_tomorrow"))
    with pytest.raises(InputError, match=r"needs onnx_of_tomorrow: pip install -e '\.\[export"):
        onnx.check_packages()


def draw_set(name, *, first_seed):
    """Drawn lesions of all diagnoses, two images a lesion."""

    def load(index):
        return draw_lesion(CODES[index % len(CODES)], seed=first_seed + index)[0]

    return EvaluationSet(
        name=name,
        image_ids=tuple(map(str, range(IMAGES))),
        references=np.arange(IMAGES) % len(CODES),
        lesion_ids=tuple(str(index // 2) for index in range(IMAGES)),
        source="drawn",
        fingerprint="f" * 64,
        load=load,
    )


def test_eight_bits_answer_much_the_same_and_their_loss_is_measured(exported):
    import onnx

    classifier, full, _ = exported
    folder = full.parents[1]
    eight = folder / QUANTISED_FILE
    train = draw_set("train", first_seed=100)
    quantisation.quantise(classifier, full, eight, take_images(train, draw_rows(IMAGES, 14)))
    graph = onnx.load(str(eight)).graph
    assert "QuantizeLinear" in {node.op_type for node in graph.node}
    assert onnx.TensorProto.INT8 in {one.data_type for one in graph.initializer if one.dims}
    assert eight.stat().st_size < full.stat().st_size
    assert read_metadata(eight) == read_metadata(full)
    images = draw_set("test", first_seed=0)
    pixels = classifier.preprocess([images.load(i) for i in range(IMAGES)]).numpy()
    expected, logits = run(full, pixels), run(eight, pixels)
    assert 0 < np.abs(logits - expected).max() < 0.15 * np.ptp(expected)

    found = quantisation.measure_loss(classifier, full, eight, images)
    assert (found["images"], found["lesions"]) == (IMAGES, IMAGES // 2)
    assert found["bytes"]["quantised"] == eight.stat().st_size
    right = [(one.argmax(axis=1) == images.references).mean() for one in (logits, expected)]
    value, low, high = found["differences"]["accuracy"]
    assert value == pytest.approx(right[0] - right[1])
    assert low <= value <= high
    same = quantisation.measure_loss(classifier, full, full, images)
    assert same["same_answer"] == 1
    assert same["differences"]["balanced_accuracy"] == (0, 0, 0)

    quantisation.write_record(folder, found, data={"split": "test"})
    assert quantisation.read_record(folder)["file_sha256"] == file_sha256(eight)
    quantisation.check_quantised(folder)
    (folder / quantisation.RECORD).write_text("[1]")
    with pytest.raises(InputError, match=r"quantisation\.json holds a list instead of a record"):
        quantisation.read_record(folder)
