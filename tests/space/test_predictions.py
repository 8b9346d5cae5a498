"""Results: one forward pass per image and model, cached for a short time."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.synthetic.lesions import draw_lesion

WAIT = 20


@pytest.fixture
def page(classifiers):
    """A page that has seen no image yet."""
    from callbacks import Page
    from registry import Registry

    return Page(Registry.from_classifiers(classifiers))


@pytest.fixture
def upload(tmp_path):
    """Return what the page's image component hands to a handler, anew for each event."""
    from gradio.data_classes import ImageData
    from uploads import build_image_input

    file = tmp_path / "lesion.png"
    draw_lesion("mel", seed=3)[0].save(file)
    component = build_image_input(render=False)
    return lambda: component.preprocess(ImageData(path=str(file), orig_name="lesion.png"))


@pytest.fixture
def passes(classifiers):
    """A list of the networks that ran, in order."""
    ran = []
    hooks = [
        classifier.model.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, classifier in classifiers.items()
    ]
    yield ran
    for hook in hooks:
        hook.remove()


@pytest.fixture
def decoded(monkeypatch):
    """A list of the files that were decoded."""
    import uploads

    files, load = [], uploads.load_image
    monkeypatch.setattr(uploads, "load_image", lambda file: files.append(file) or load(file))
    return files


def test_whatever_is_asked_of_an_image_is_answered_from_one_pass(page, upload, passes, decoded):
    from api import Api

    calls = Api(page.registry)
    assert "data-label" in page.show(upload(), "tiny_cnn")[0]
    page.show_anyway(upload(), "tiny_cnn", "gradcam", "inferno")
    for target, method in (("mel", "gradcam"), ("runner-up", "layercam"), ("df", "eigencam")):
        for colours in ("inferno", "turbo"):
            asked = (upload(), "tiny_cnn", target, method, colours)
            assert 'data-has-map="true"' in page.explain_again(*asked)[0]
            assert page.save_report(*asked)
            assert page.save_heatmap(*asked)
    calls.classify(upload(), "tiny_cnn")
    calls.explain(upload(), "tiny_cnn", "vasc")
    assert passes == ["tiny_cnn"]
    assert len(decoded) == 1
    page.compare_models(upload(), "mel")
    calls.compare(upload(), "bkl")
    assert passes == ["tiny_cnn", "tiny_resnet"]
    assert len(decoded) == 2


def test_other_colours_compute_nothing(page, upload, passes, monkeypatch):
    first, _ = page.explain_again(upload(), "tiny_cnn", "mel", "gradcam", "inferno")
    monkeypatch.setattr(torch.autograd, "grad", None)
    second, _ = page.explain_again(upload(), "tiny_cnn", "mel", "gradcam", "turbo")
    assert passes == ["tiny_cnn"]
    assert first != second


def test_the_answers_are_those_of_the_classifier(page, upload, classifiers):
    from predictions import explain

    image = upload().decoded
    for name, classifier in classifiers.items():
        reading = page.registry.classify(name, upload())
        np.testing.assert_allclose(reading.probabilities, classifier.predict(image)[0], atol=1e-5)
        expected = classifier.explain(image, "mel", "hirescam").heatmaps[0]
        found = explain(reading, "mel", "hirescam")
        np.testing.assert_allclose(found.heatmap, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 48), (300, 400), (1600, 1200)])
def test_what_is_shown_is_768_pixels_long_whatever_was_sent(size):
    from predictions import resize

    assert max(resize(Image.new("RGB", size)).size) == 768


def test_the_image_itself_is_not_kept(page, tmp_path):
    from uploads import UploadedImage, decode_image

    file = tmp_path / "large.png"
    draw_lesion("nv", seed=1, size=(1600, 1200))[0].save(file)
    picture = UploadedImage("large", lambda: decode_image("large.png", file.read_bytes()))
    reading = page.registry.classify("tiny_cnn", picture)
    image = weakref.ref(picture.decoded)
    assert reading.picture.size == (768, 576)
    del picture
    gc.collect()
    assert image() is None


def test_a_bad_image_is_refused_each_time_and_never_kept(page, upload, tmp_path, passes):
    (tmp_path / "lesion.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing else")
    for _ in range(2):
        shown, *_ = page.show(upload(), "tiny_cnn")
        assert "Image not usable" in shown
        assert "Image not usable" in page.compare_models(upload(), "mel")
        asked = (upload(), "tiny_cnn", "mel", "gradcam", "inferno")
        assert "lesion.png can" in page.save_report(*asked)
    assert not passes


def test_the_deletion_test_lets_others_in_between(page, upload, classifiers, monkeypatch):
    forward, waits = LesionClassifier.forward, []

    def ask(classifier, pixel_values):
        other = threading.Thread(target=classifier.predict, args=(upload().decoded,))
        other.start()
        other.join(WAIT)
        waits.append(other.is_alive())
        return forward(classifier, pixel_values)

    monkeypatch.setattr(LesionClassifier, "forward", ask)
    shown = page.check(upload(), "tiny_cnn", "mel", "gradcam")
    assert "Hiding the bright regions" in shown
    assert waits == [False] * 11  # one batch for each share of the pixels


def reading():
    return object()


def test_the_least_recently_asked_images_go_first():
    from predictions import ResultCache

    recent = ResultCache(images=3)
    first = recent.get("a", "m", reading)
    for image in "bc":
        recent.get(image, "m", reading)
    assert recent.get("a", "m", reading) is first
    recent.get("d", "m", reading)
    assert len(recent) == 3
    assert recent.get("a", "m", reading) is first
    second = recent.get("b", "m", reading)  # was dropped, and takes the place of c
    assert recent.get("b", "m", reading) is second
    assert recent.get("b", "n", reading) is not second


def test_nothing_is_kept_after_its_time_though_nobody_asks_again():
    from predictions import ResultCache

    recent = ResultCache(seconds=0.2)
    kept = weakref.ref(recent.get("a", "m", lambda: np.zeros(1)))
    assert kept() is not None
    time.sleep(0.1)
    recent.get("b", "m", reading)
    end = time.monotonic() + WAIT
    while len(recent) and time.monotonic() < end:
        time.sleep(0.02)
    assert len(recent) == 0
    assert kept() is None


def test_many_who_ask_for_the_same_cause_one_computation():
    from predictions import ResultCache

    recent, computed, found = ResultCache(), [], []

    def compute():
        computed.append(1)
        time.sleep(0.05)
        return reading()

    threads = [
        threading.Thread(target=lambda: found.append(recent.get("a", "m", compute)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(computed) == 1
    assert len(found) == 8
    assert len({id(one) for one in found}) == 1


def test_a_failure_is_not_kept():
    from predictions import ResultCache

    recent = ResultCache()

    def fail():
        raise InputError("no")

    with pytest.raises(InputError):
        recent.get("a", "m", fail)
    assert len(recent) == 0
    assert recent.get("a", "m", reading) is recent.get("a", "m", reading)


def test_pictures_of_the_same_pixels_are_the_same():
    from uploads import UploadedImage

    first, same = Image.new("RGB", (4, 3), "red"), Image.new("RGB", (4, 3), "red")
    assert UploadedImage.of(first).sha256 == UploadedImage.of(same).sha256
    for other in (Image.new("RGB", (3, 4), "red"), Image.new("RGB", (4, 3), "blue")):
        assert UploadedImage.of(first).sha256 != UploadedImage.of(other).sha256
