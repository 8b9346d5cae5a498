"""An ONNX network in eight bits: nearly the same answers, never without what that costs."""

import shutil

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs pip install -e '.[export]'")
pytest.importorskip("onnxruntime")

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.evaluation.scoring import EvaluationSet, draw_rows, take_images
from hf_lesion.hub import quantisation
from hf_lesion.hub.checks import ONNX_FILE, QUANTISED_FILE
from hf_lesion.hub.onnx import draw_images, export_onnx, open_session, read_metadata
from hf_lesion.hub.quantisation import RECORD
from hf_lesion.labels import CODES
from hf_lesion.synthetic.lesions import draw_lesion

IMAGES = 28


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


@pytest.fixture(scope="module")
def quantised(tiny_cnn_model, tmp_path_factory):
    """A classifier, and its folder with its network in full precision and in eight bits."""
    folder = tmp_path_factory.mktemp("quantised") / "model"
    shutil.copytree(tiny_cnn_model, folder)
    classifier = LesionClassifier.from_pretrained(folder, device="cpu")
    export_onnx(classifier, folder / ONNX_FILE, images=draw_images(4))
    train = draw_set("train", first_seed=100)
    shown = take_images(train, draw_rows(IMAGES, 14))
    assert len(shown.references) == len(set(shown.image_ids)) == 14
    quantisation.quantise(classifier, folder / ONNX_FILE, folder / QUANTISED_FILE, shown)
    return classifier, folder


@pytest.fixture
def folder(quantised, tmp_path):
    """A copy of the folder, to change."""
    return shutil.copytree(quantised[1], tmp_path / "model")


def test_it_is_smaller_answers_much_the_same_and_says_how_it_is_fed(quantised):
    import onnx

    classifier, folder = quantised
    full, eight = folder / ONNX_FILE, folder / QUANTISED_FILE
    kinds = {node.op_type for node in onnx.load(str(eight)).graph.node}
    assert "QuantizeLinear" in kinds
    stored = {one.data_type for one in onnx.load(str(eight)).graph.initializer if one.dims}
    assert onnx.TensorProto.INT8 in stored
    assert eight.stat().st_size < full.stat().st_size
    assert read_metadata(eight) == read_metadata(full)
    pixels = classifier.preprocess(draw_images(7)).numpy()
    expected, found = (
        open_session(f).run(None, {"pixel_values": pixels})[0] for f in (full, eight)
    )
    assert not np.array_equal(found, expected)
    spread = expected.max() - expected.min()
    assert np.abs(found - expected).max() < 0.1 * spread
    assert sorted(file.name for file in eight.parent.iterdir()) == [
        "model.onnx",
        "model_quantized.onnx",
    ]


def test_what_it_costs_is_measured_on_the_same_images(quantised):
    classifier, folder = quantised
    images = draw_set("test", first_seed=0)
    found = quantisation.measure_loss(
        classifier, folder / ONNX_FILE, folder / QUANTISED_FILE, images
    )
    assert (found["images"], found["lesions"]) == (IMAGES, IMAGES // 2)
    assert found["bytes"]["quantised"] == (folder / QUANTISED_FILE).stat().st_size
    right = {}
    for name, file in (("full", ONNX_FILE), ("eight", QUANTISED_FILE)):
        pixels = classifier.preprocess([images.load(i) for i in range(IMAGES)]).numpy()
        logits = open_session(folder / file).run(None, {"pixel_values": pixels})[0]
        right[name] = logits.argmax(axis=1) == images.references
    value, low, high = found["differences"]["accuracy"]
    assert value == pytest.approx(right["eight"].mean() - right["full"].mean())
    assert low <= value <= high
    same = quantisation.measure_loss(classifier, folder / ONNX_FILE, folder / ONNX_FILE, images)
    assert same["same_answer"] == 1
    assert same["differences"]["balanced_accuracy"] == (0, 0, 0)


LOSS = {
    "images": 1495,
    "lesions": 1120,
    "same_answer": 0.984,
    "differences": {
        "balanced_accuracy": (-0.012, -0.02, 0.001),
        "accuracy": (0.001, -0.003, 0.004),
    },
    "bytes": {"full": 3_074_000, "quantised": 809_000},
}


def test_without_its_price_or_with_that_of_another_file_it_is_refused(folder):
    text = r"accuracy of .*model_quantized\.onnx was not measured\. Run scripts/export\.py"
    with pytest.raises(InputError, match=text):
        quantisation.check_quantised(folder)
    quantisation.write_record(folder, LOSS, data={"split": "test"})
    quantisation.check_quantised(folder)
    (folder / QUANTISED_FILE).write_bytes((folder / QUANTISED_FILE).read_bytes() + b"\0")
    with pytest.raises(InputError, match=text):
        quantisation.check_quantised(folder)
    (folder / QUANTISED_FILE).unlink()
    quantisation.check_quantised(folder)


def test_the_record_is_read_back_and_said(folder):
    assert quantisation.read_record(folder) == {}
    quantisation.write_record(folder, LOSS, data={"split": "test"})
    assert quantisation.say_loss(quantisation.read_record(folder)) == (
        "`onnx/model_quantized.onnx` is the network of `onnx/model.onnx` in 0.8 MB instead of 3.1. "
        "On 1,495 images (test) it predicts the same class for 98.4%. Its scores minus those in "
        "full precision, with intervals by paired bootstrap: balanced accuracy "
        "-0.012 [-0.020, +0.001]; accuracy +0.001 [-0.003, +0.004]."
    )
    (folder / RECORD).write_text("[1]")
    with pytest.raises(InputError, match=r"quantisation\.json holds a list instead of a record"):
        quantisation.read_record(folder)
