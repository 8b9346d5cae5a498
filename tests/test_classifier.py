import shutil
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from hf_lesion.classifier import LesionClassifier, class_id
from hf_lesion.errors import InputError
from hf_lesion.labels import CODES


@pytest.fixture(params=["tiny_timm_model", "tiny_cnn_model"])
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (6, 5, 6, 3), dtype=np.uint8)
    return [Image.fromarray(c).resize((200, 150), Image.Resampling.BICUBIC) for c in colours]


def test_predictions_equal_the_pipelines(folder, images):
    expected = pipeline("image-classification", model=str(folder), top_k=7)(images)
    by_code = [{entry["label"]: entry["score"] for entry in answer} for answer in expected]
    probabilities = LesionClassifier.from_pretrained(folder).predict(images)
    assert np.allclose(probabilities, [[answer[c] for c in CODES] for answer in by_code], atol=1e-5)
    assert probabilities.std(axis=0).mean() > 0.02  # answers that tell images apart


def test_rows_sum_to_one_whatever_the_batch_size(folder, images):
    classifier = LesionClassifier.from_pretrained(folder)
    alone, together = classifier.predict(images, batch_size=1), classifier.predict(images)
    assert np.allclose(alone, together, atol=1e-5)
    assert np.allclose(alone.sum(axis=1), 1, atol=1e-6)
    assert classifier.predict([]).shape == (0, 7)


def test_features_are_what_the_head_turns_into_logits(folder, images):
    classifier = LesionClassifier.from_pretrained(folder)
    features = classifier.features(images, batch_size=4)
    head = [m for m in classifier.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    logits = features @ head.weight.numpy().T + head.bias.numpy()
    assert np.allclose(logits, classifier.logits(images), atol=1e-4)
    assert classifier.features([]).shape == (0, features.shape[1])


def test_an_explanation_brings_the_probabilities_of_a_prediction(folder, images):
    classifier = LesionClassifier.from_pretrained(folder)
    found = classifier.explain(images, ["mel", 0, 1, 2, "nv", "vasc"])
    assert found.targets.tolist() == [4, 0, 1, 2, 5, 6]
    assert found.heatmaps.shape == (6, 64, 64)
    assert np.allclose(found.probabilities, classifier.predict(images), atol=1e-5)
    predicted = classifier.explain(images)
    assert np.array_equal(predicted.targets, found.probabilities.argmax(axis=1))
    assert classifier.explain([]).heatmaps.shape == (0, 64, 64)


def test_threads_get_the_single_users_answers(tiny_timm_model, images):
    classifier = LesionClassifier.from_pretrained(tiny_timm_model)
    targets = list(range(6))
    expected = classifier.explain(images, targets)
    wrong = []

    def visit(seed):
        for turn in range(5):
            if (seed + turn) % 2:
                answer = classifier.explain(images, targets)
                good = np.allclose(answer.heatmaps, expected.heatmaps, atol=1e-4)
            else:
                answer = classifier.predict(images)
                good = np.allclose(answer, expected.probabilities, atol=1e-5)
            if not good:
                wrong.append((seed, turn))

    threads = [threading.Thread(target=visit, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_name_and_record_come_from_the_folder(tiny_timm_model, tmp_path):
    classifier = LesionClassifier.from_pretrained(tiny_timm_model)
    assert classifier.name == "tiny_resnet"
    assert classifier.codes == CODES
    assert classifier.record == {}
    assert classifier.model.dtype == torch.float32


def test_the_training_record_is_read_and_must_be_json(tiny_timm_model, tmp_path):
    folder = shutil.copytree(tiny_timm_model, tmp_path / "model")
    (folder / "training.json").write_text('{"seed": 3}')
    assert LesionClassifier.from_pretrained(folder).record == {"seed": 3}
    (folder / "training.json").write_text("{")
    with pytest.raises(InputError, match=r"training\.json is not JSON: .* the model again\.$"):
        LesionClassifier.from_pretrained(folder)


@pytest.mark.parametrize("target", ["scc", 7, -1, "4"])
def test_an_unknown_class_is_named(target):
    with pytest.raises(
        InputError, match=r"^Unknown class .*: expected an id from 0 to 6 or one of akiec,"
    ):
        class_id(target)


def test_a_missing_model_folder_is_explained(tmp_path):
    with pytest.raises(
        InputError, match=r"^There is no model folder .*nowhere\. Pass a folder that"
    ):
        LesionClassifier.from_pretrained(tmp_path / "nowhere")


def test_a_damaged_model_folder_is_explained(tiny_timm_model, tmp_path):
    for file in tiny_timm_model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"^The model .* could not be loaded: "):
        LesionClassifier.from_pretrained(tmp_path)
