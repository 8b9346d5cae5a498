"""Networks for browsers: Grad-CAM without a backward pass, the gate in the graph, short files."""

import shutil

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs pip install -e '.[export]'")
pytest.importorskip("onnxruntime")

import torch
from conftest import save_telling_model

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.hub import browser
from hf_lesion.hub.browser import BrowserNetwork, check_ending, compare, export_for_browser, shorten
from hf_lesion.hub.onnx import draw_images, open_session
from hf_lesion.models.preprocessing import change_processor
from hf_lesion.ood.gate import Gate


def load(folder, gate=None):
    found = LesionClassifier.from_pretrained(folder, device="cpu")
    found.gate = gate
    return found


@pytest.fixture
def gate():
    """A gate of the 65 colours, whose limit lies among the held-out distances."""
    return Gate(
        ("colours",),
        mean=torch.zeros(65),
        scale=torch.ones(65),
        directions=torch.eye(65)[:, :3],
        centre=torch.zeros(1, 4),
        precision=torch.eye(4),
        reference=torch.arange(10.0),
        refused_below=0.3,
        weight=torch.full((65,), 0.01),
        offset=-0.2,
        scores=torch.arange(10.0),
    )


@pytest.fixture(scope="module")
def exported(tiny_cnn_model, tmp_path_factory):
    """A network, its file in full precision, and how far the two are apart."""
    file = tmp_path_factory.mktemp("browser") / "tiny.onnx"
    classifier = load(tiny_cnn_model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser, "shorten", lambda file: None)
        found = export_for_browser(classifier, file, images=draw_images(10))
    return classifier, file, found


def test_it_answers_and_explains_as_pytorch_does(exported):
    _classifier, _file, found = exported
    assert found.images == 10
    assert found.worst <= 1e-4
    assert found.heatmap <= 1e-3
    assert found.same_top == found.same_gate == 1


@pytest.mark.parametrize("large", [100, 100_000])
def test_short_weights_make_a_short_file_that_answers_alike(exported, tmp_path, monkeypatch, large):
    classifier, file, _found = exported
    short = tmp_path / "short.onnx"
    shutil.copyfile(file, short)
    monkeypatch.setattr(browser, "SMALL", 100)
    monkeypatch.setattr(browser, "LARGE", large)
    shorten(short)
    assert short.stat().st_size < file.stat().st_size
    found = compare(classifier, open_session(short), draw_images(10))
    assert 0 < found.median <= found.worst <= 0.05


@pytest.mark.parametrize(
    ("name", "options"), [("test_resnet", {}), ("test_efficientnet", {"act_layer": "relu6"})]
)
def test_heatmaps_are_those_of_back_propagation(tmp_path, name, options):
    check_ending(load(save_telling_model(tmp_path / name, name, options)))


def test_a_bent_activation_before_the_pooling_is_refused(tmp_path):
    folder = save_telling_model(tmp_path / "silu", "test_efficientnet")
    with pytest.raises(InputError, match="silu does not end in global average pooling"):
        check_ending(load(folder))


def test_the_gate_is_part_of_the_network(tiny_cnn_model, gate):
    classifier = load(tiny_cnn_model, gate)
    images = draw_images(8)
    pixels = classifier.preprocess(images)
    with torch.no_grad():
        network = BrowserNetwork(classifier).eval()
        found = torch.cat([network(one[None])[2] for one in pixels]).numpy()
    features = classifier.look(images, gate.inputs)[1]["colours"]
    assert np.allclose(found[:, 0], gate.distances(features), rtol=1e-4)
    assert np.allclose(found[:, 1], gate.classify(features), atol=1e-4)


@pytest.mark.parametrize(
    "shape",
    [
        {"widths": [8, 16], "pooling": "flatten", "hidden_sizes": []},
        {"widths": [8, 16], "pooling": "average", "hidden_sizes": [12]},
    ],
)
def test_a_network_that_ends_otherwise_is_refused(tmp_path, shape):
    classifier = load(save_telling_model(tmp_path / "other", "cnn", shape))
    expected = "other does not end in global average pooling and one linear layer"
    with pytest.raises(InputError, match=expected):
        export_for_browser(classifier, tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


def test_a_network_that_is_shown_whole_frames_is_refused(tiny_cnn_model, tmp_path):
    classifier = load(tiny_cnn_model)
    config, processor = classifier.network.config, classifier.processor
    classifier.processor = change_processor(config, processor, crop_mode="squash")
    with pytest.raises(InputError, match="The page crops images to the centre square"):
        export_for_browser(classifier, tmp_path / "squashed.onnx")
