import copy
import pickle
import shutil
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.labels import CODES
from hf_lesion.prediction import class_id, class_of


@pytest.fixture(scope="module", params=["tiny_timm_model", "tiny_cnn_model"])
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def classifier(folder):
    return LesionClassifier.from_pretrained(folder, device="cpu")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (6, 5, 6, 3), dtype=np.uint8)
    return [Image.fromarray(c).resize((200, 150), Image.Resampling.NEAREST) for c in colours]


def test_predictions_equal_the_pipelines_whatever_the_batch_size(folder, classifier, images):
    expected = pipeline("image-classification", model=str(folder), top_k=7)(images)
    by_code = [{entry["label"]: entry["score"] for entry in answer} for answer in expected]
    probabilities = classifier.predict(images)
    assert np.allclose(probabilities, [[answer[c] for c in CODES] for answer in by_code], atol=1e-5)
    assert probabilities.std(axis=0).mean() > 0.02  # answers that tell images apart
    assert np.allclose(classifier.predict(images, batch_size=1), probabilities, atol=1e-5)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_features_are_what_the_head_turns_into_logits(classifier, images):
    features = classifier.features(images, batch_size=4)
    head = [m for m in classifier.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    logits = features @ head.weight.numpy().T + head.bias.numpy()
    assert np.allclose(logits, classifier.logits(images), atol=1e-4)
    assert classifier.features([]).shape == (0, features.shape[1])


def answers(classifier, images):
    """Return what every kind of question is answered with, as arrays by name."""
    prediction = classifier(images, target="mel")
    return {
        "probabilities": classifier.predict(images),
        "features": classifier.features(images),
        "heatmaps": classifier.explain(images, "mel").heatmaps,
        "all classes": classifier.explain_classes(images).heatmaps,
        "in one pass": prediction.probabilities,
        "heatmaps in one pass": prediction.heatmaps,
    }


def check_same(found, expected, atol=1e-5):
    for name, values in expected.items():
        assert found[name].dtype == np.float32, name
        assert np.allclose(found[name], values, atol=atol), name


def test_one_image_counts_as_a_list_of_one(classifier, images):
    check_same(answers(classifier, images[0]), answers(classifier, images[:1]), atol=0)
    check_same(answers(classifier, np.asarray(images[0])), answers(classifier, images[:1]), atol=0)
    probabilities, verdicts = classifier.judge(images[0])
    assert (probabilities.shape, len(verdicts)) == ((1, 7), 1)


def test_a_generator_is_read_batch_by_batch(classifier, images):
    sizes, read = [], []

    def watch(_module, _arguments, options):
        sizes.append((len(options["pixel_values"]), len(read)))

    def generate():
        for image in images:
            read.append(image)
            yield image

    calls = {
        "predict": lambda given: classifier.predict(given, batch_size=4),
        "explain": lambda given: classifier.explain(given, "mel", batch_size=4).heatmaps,
        "explain_classes": lambda given: classifier.explain_classes(given, batch_size=4).heatmaps,
        "explain_methods": lambda given: (
            classifier.explain_methods(given, ["gradcam", "eigencam"], batch_size=4)[
                "eigencam"
            ].heatmaps
        ),
    }
    for name, call in calls.items():
        expected = call(images)
        sizes.clear(), read.clear()
        with classifier.model.register_forward_pre_hook(watch, with_kwargs=True):
            found = call(generate())
        assert sizes == [(4, 4), (2, 6)], name
        assert np.allclose(found, expected, atol=1e-5), name


def test_targets_are_one_for_all_or_one_for_each(classifier, images):
    found = classifier.explain(images, ["mel", 0, 1, 2, "nv", "vasc"])
    assert found.targets.tolist() == [4, 0, 1, 2, 5, 6]
    assert np.allclose(found.probabilities, classifier.predict(images), atol=1e-5)
    predicted = classifier.explain(images).targets
    assert np.array_equal(predicted, found.probabilities.argmax(axis=1))
    for three in (np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)):
        assert classifier.explain(images, three).targets.tolist() == [3] * 6
        assert classifier(images, target=three).targets == (3,) * 6
    each = np.array([0, 1, 2, 3, 4, 5])
    assert classifier.explain(iter(images), each, batch_size=4).targets.tolist() == each.tolist()
    with pytest.raises(InputError, match=r"^Expected one target per image \(6\), got 2\.$"):
        classifier.explain(images, ["mel", "nv"])
    with pytest.raises(InputError, match=r"^Expected one target per image, got 7\.$"):
        classifier.explain(iter(images), ["mel"] * 7)
    with pytest.raises(InputError, match=r"^Expected a batch size of at least 1, got 0\.$"):
        classifier.predict(images, batch_size=0)


def test_of_no_images_the_shapes_are_told(classifier):
    assert classifier.predict([]).shape == (0, 7)
    for nothing in ([], iter([])):
        assert classifier.explain(nothing).heatmaps.shape == (0, 64, 64)
    assert classifier.explain_classes([], ["mel", "nv"]).heatmaps.shape == (0, 2, 64, 64)
    assert classifier.explain_methods([], ["gradcam"])["gradcam"].probabilities.shape == (0, 7)
    assert classifier.judge([])[1] == []
    assert classifier.preprocess([]).shape == (0, 3, 64, 64)
    prediction = classifier([])
    assert prediction.probabilities.shape == (0, 7)
    assert prediction.heatmaps.shape == (0, 64, 64)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float16, 0.02), (torch.bfloat16, 0.1)])
def test_a_model_in_half_precision_answers_nearly_the_same(classifier, images, dtype, atol):
    expected = answers(classifier, images)
    found = answers(classifier.to(dtype), images)
    assert classifier.model.dtype == dtype
    for name in ("probabilities", "in one pass"):
        assert found[name].dtype == np.float32
        assert np.allclose(found[name], expected[name], atol=atol)
    for name in ("all classes", "heatmaps in one pass"):
        assert np.abs(found[name] - expected[name]).mean() < atol


@pytest.mark.parametrize("way", ["around", "in place", "from the start"])
def test_a_compiled_model_answers_the_same(classifier, images, way):
    expected = answers(classifier, images)
    if way == "in place":
        classifier.model.compile(backend="eager")
    elif way == "around":
        classifier.model = torch.compile(classifier.model, backend="eager")
    else:
        compiled = torch.compile(classifier.model, backend="eager")
        classifier = LesionClassifier(compiled, classifier.processor, name="compiled")
    classifier.predict(images)  # compiled now: hooks that come later are not called in it
    check_same(answers(classifier, images), expected, atol=1e-4)


@pytest.mark.parametrize("way", ["around", "in place"])
def test_layers_of_a_model_that_is_compiled_in_part_are_not_read(classifier, images, way):
    name, part = next(classifier.model.named_children())
    if way == "in place":
        part.compile(backend="eager")
    else:
        setattr(classifier.model, name, torch.compile(part, backend="eager"))
    for call in (classifier.explain, lambda images: classifier.look(images, ["colours"])):
        with pytest.raises(InputError, match=r"^A part of the model is compiled, so its layers "):
            call(images)
    assert isinstance(classifier([]).heatmaps, np.ndarray)


def test_a_copy_answers_the_same(classifier, images):
    expected = answers(classifier, images)
    for way in (copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        other = way(classifier)
        assert (other.name, other.codes) == (classifier.name, classifier.codes)
        check_same(answers(other, images), expected)
        assert (other.model is classifier.model) == (way is copy.copy)


def test_it_works_whatever_the_caller_does_with_gradients(folder, classifier, images):
    expected = answers(classifier, images)
    for around in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with around():
            loaded = LesionClassifier.from_pretrained(folder)
            check_same(answers(loaded, images), expected)
        check_same(answers(loaded, images), expected)


def test_a_model_that_was_set_to_training_is_evaluated_all_the_same(classifier, images):
    expected = answers(classifier, images)
    before = copy.deepcopy(classifier.model.state_dict())
    for part in (classifier.model, next(classifier.model.children())):
        part.train()
        check_same(answers(classifier, images), expected)
    for name, value in classifier.model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_it_moves_to_a_gpu(classifier, images):
    expected = answers(classifier, images)
    assert classifier.to("cuda").model.device.type == "cuda"
    check_same(answers(classifier, images), expected, atol=1e-2)


def test_threads_get_the_single_users_answers(tiny_timm_model, images):
    """Also threads of classifiers that share a model, whose hooks belong to all of them."""
    classifier = LesionClassifier.from_pretrained(tiny_timm_model)
    sharing = [classifier, copy.copy(classifier)]
    sharing.append(LesionClassifier(classifier.model, classifier.processor, name=""))
    targets = list(range(6))
    expected = classifier.explain(images, targets)
    wrong = []

    def visit(seed):
        own = sharing[seed % 3]
        for turn in range(4):
            if (seed + turn) % 2:
                answer = own.explain(images, targets)
                good = np.allclose(answer.heatmaps, expected.heatmaps, atol=1e-4)
            else:
                good = np.allclose(own.predict(images), expected.probabilities, atol=1e-5)
            if not good:
                wrong.append((seed, turn))

    threads = [threading.Thread(target=visit, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_name_and_record_come_from_the_folder(tiny_timm_model, tmp_path):
    classifier = LesionClassifier.from_pretrained(tiny_timm_model)
    assert (classifier.name, classifier.codes, classifier.record) == ("tiny_resnet", CODES, {})
    assert classifier.model.dtype == torch.float32
    folder = shutil.copytree(tiny_timm_model, tmp_path / "model")
    (folder / "training.json").write_text('{"seed": 3}')
    assert LesionClassifier.from_pretrained(folder).record == {"seed": 3}
    (folder / "training.json").write_text("{")
    with pytest.raises(InputError, match=r"training\.json is not JSON: .* the model again\.$"):
        LesionClassifier.from_pretrained(folder)


@pytest.mark.parametrize("target", ["scc", 7, -1, "4", 3.0, np.float32(2), None, torch.tensor(1.5)])
def test_an_unknown_class_is_named(target):
    message = r"^Unknown class .*: expected an id from 0 to 6 or one of akiec,"
    with pytest.raises(InputError, match=message):
        class_id(target)
    with pytest.raises(InputError, match=message):
        class_of([target])


def test_a_damaged_model_folder_is_explained(tiny_timm_model, tmp_path):
    for file in tiny_timm_model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"^The model .* could not be loaded: "):
        LesionClassifier.from_pretrained(tmp_path)
