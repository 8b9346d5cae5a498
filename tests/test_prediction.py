"""One forward pass gives answers, verdicts and any heatmap of some images."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from hf_lesion.calibration.reliability import Reliability
from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.explain.gradcam import METHODS
from hf_lesion.explain.overlay import overlay
from hf_lesion.labels import CODES
from hf_lesion.models.build import build_model
from hf_lesion.ood.features import feature_layers
from hf_lesion.ood.gate import Gate


@pytest.fixture(scope="module", params=["tiny_timm_model", "tiny_cnn_model"])
def classifier(request):
    """A classifier with a gate on two of its layers, the target layer among them."""
    found = LesionClassifier.from_pretrained(request.getfixturevalue(request.param), device="cpu")
    layers = feature_layers(found.model)
    inputs = ("colours", layers[0], layers[-2])
    sizes = [one.shape[1] for one in found.look([], inputs)[1].values()]
    found.gate = Gate(
        inputs,
        mean=torch.zeros(sum(sizes)),
        scale=torch.ones(sum(sizes)),
        directions=torch.eye(sum(sizes))[:, :2],
        centre=torch.zeros(1, 3),
        precision=torch.eye(3),
        reference=torch.arange(100.0),
        refused_below=0.9,
        unsure_below=0.5,
    )
    found.reliability = Reliability(
        scores=(0.1, 1.0),
        shares=(0.2, 0.9),
        weights_sha256="",
        fitted_on={},
        cross_validated={},
    )
    return found


@pytest.fixture(scope="module")
def images():
    colours = np.random.default_rng(0).integers(0, 256, (5, 5, 6, 3), dtype=np.uint8)
    return [Image.fromarray(c).resize((200, 150), Image.Resampling.BICUBIC) for c in colours]


def passes(classifier):
    """Return a list that grows with each forward pass, and the hook that makes it grow."""
    found = []
    return found, classifier.model.register_forward_hook(lambda *_: found.append(1))


def test_everything_comes_from_one_forward_pass(classifier, images):
    probabilities, verdicts = classifier.judge(images)
    expected = classifier.explain(images, "runner-up", "layercam")
    counted, hook = passes(classifier)
    with hook:
        found = classifier(images, target="runner-up", method="layercam")
        assert np.allclose(found.heatmaps, expected.heatmaps, atol=1e-4)
    assert len(counted) == 1
    assert np.allclose(found.probabilities, probabilities, atol=1e-6)
    expected = np.interp(probabilities.max(axis=1), (0.1, 1.0), (0.2, 0.9))
    assert found.reliability == pytest.approx(expected, abs=1e-5)
    assert np.ptp(expected) > 0
    assert [one.kind for one in found.verdicts] == [one.kind for one in verdicts]
    likeness = [one.likeness for one in verdicts]
    assert [one.likeness for one in found.verdicts] == pytest.approx(likeness)
    assert found.labels == [CODES[label] for label in probabilities.argmax(axis=1)]
    assert torch.equal(found.pixel_values, classifier.preprocess(images))
    assert [np.array_equal(a, b) for a, b in zip(found.images, images, strict=True)] == [True] * 5


def test_another_class_or_method_takes_no_further_pass(classifier, images):
    found = classifier(images)
    expected = {method: classifier.explain(images, "bkl", method) for method in METHODS}
    counted, hook = passes(classifier)
    with hook:
        for method, own in expected.items():
            again = found.explain("bkl", method)
            assert again.targets.tolist() == [CODES.index("bkl")] * 5
            assert np.allclose(again.heatmaps, own.heatmaps, atol=1e-4)
            assert np.allclose(again.highs, own.highs, rtol=1e-3)
        each = found.explain(["mel", 0, "nv", "predicted", 6])
    assert not counted
    assert each.targets.tolist() == [4, 0, 5, found.probabilities[3].argmax(), 6]


def test_another_opacity_computes_nothing(classifier, images, monkeypatch):
    found = classifier(images, target="mel")
    heatmap = found.heatmaps[2]
    monkeypatch.setattr(torch.autograd, "grad", None)
    for opacity in (0.2, 0.8):
        shown = found.overlay(2, opacity=opacity)
        assert np.array_equal(shown, overlay(images[2], heatmap, opacity=opacity))
    assert found.heatmaps[2] is not None


def test_batches_make_no_difference(classifier, images):
    together, apart = (classifier(images, target="mel", batch_size=size) for size in (32, 2))
    assert np.allclose(apart.probabilities, together.probabilities, atol=1e-5)
    assert np.allclose(apart.heatmaps, together.heatmaps, atol=1e-4)
    assert [one.kind for one in apart.verdicts] == [one.kind for one in together.verdicts]


def test_threads_may_ask_for_heatmaps_of_one_prediction(classifier, images):
    """Also after the model was used for other images: what was kept is of this pass."""
    found = classifier(images)
    expected = classifier.explain_classes(images)
    classifier.explain(images[::-1])
    wrong = []

    def visit(first):
        for turn in range(7):
            label = (first + turn) % 7
            maps = found.explain(label, ["gradcam", "hirescam"][first % 2]).heatmaps
            if first % 2 == 0 and not np.allclose(maps, expected.heatmaps[:, label], atol=1e-4):
                wrong.append(label)

    threads = [threading.Thread(target=visit, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "scc"}, "^Unknown class 'scc'"),
        ({"target": ["mel"]}, r"^Expected one target per image \(5\), got 1\.$"),
        ({"method": "cam"}, "^Unknown method 'cam'"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_computed(classifier, images, options, message):
    counted, hook = passes(classifier)
    with hook, pytest.raises(InputError, match=message):
        classifier(images, **options)
    assert not counted


def test_a_network_that_can_not_be_explained_still_answers(images):
    torch.manual_seed(0)
    classifier = LesionClassifier(*build_model("test_vit"), name="vit")
    found = classifier(images)
    assert np.allclose(found.probabilities, classifier.predict(images), atol=1e-6)
    assert found.verdicts[0].kind == "unjudged"
    assert found.reliability is None
    with pytest.raises(InputError, match="which is not a feature map"):
        found.explain("mel")


def test_a_prediction_is_not_copied(classifier, images):
    found = classifier(images)
    for way in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="can't be copied or pickled: it holds a graph"):
            way(found)
