"""Results: one forward pass per image and model, cached for a short time."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from gradio.data_classes import ImageData
from predictions import ResultCache
from space.conftest import as_upload, page_of

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.synthetic.lesions import draw_lesion

WAIT = 20


@pytest.fixture
def page(classifiers):
    """A page that has seen no image yet."""
    return page_of(**classifiers)


@pytest.fixture
def upload(lesion):
    """Return what the page's image component passes to a callback, a new one for each event."""
    from uploads import build_image_input

    component = build_image_input(render=False)
    return lambda: component.preprocess(ImageData(path=str(lesion), orig_name="lesion.png"))


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


def test_whatever_is_asked_of_an_image_is_answered_from_one_pass(page, upload, passes, monkeypatch):
    import uploads
    from api import Api

    decoded, load, grad = [], uploads.load_image, torch.autograd.grad
    monkeypatch.setattr(uploads, "load_image", lambda file: decoded.append(file) or load(file))
    calls = Api(page.registry)
    assert "data-label" in page.show(upload(), "tiny_cnn")[0]
    page.show_anyway(upload(), "tiny_cnn", "gradcam", "inferno")
    for target, method in (("mel", "gradcam"), ("runner-up", "layercam"), ("df", "eigencam")):
        figures = []
        for colours in ("inferno", "turbo"):
            asked = (upload(), "tiny_cnn", target, method, colours)
            figures.append(page.explain_again(*asked)[0])
            assert page.save_report(*asked)
            assert page.save_heatmap(*asked)
            monkeypatch.setattr(torch.autograd, "grad", None)  # other colours compute nothing
        assert figures[0] != figures[1]
        assert all('data-has-map="true"' in figure for figure in figures)
        monkeypatch.setattr(torch.autograd, "grad", grad)
    calls.classify(upload(), "tiny_cnn")
    calls.explain(upload(), "tiny_cnn", "vasc")
    assert passes == ["tiny_cnn"]
    assert len(decoded) == 1
    page.compare_models(upload(), "mel")
    calls.compare(upload(), "bkl")
    assert passes == ["tiny_cnn", "tiny_resnet"]
    assert len(decoded) == 2


def test_the_image_itself_is_not_kept(page):
    upload = as_upload(draw_lesion("nv", seed=1)[0])
    page.registry.classify("tiny_cnn", upload)
    image = weakref.ref(upload.decoded)
    assert image() is not None
    del upload
    gc.collect()
    assert image() is None


def test_the_check_of_a_heatmap_lets_others_in_between(page, upload, monkeypatch):
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


def test_the_least_recently_asked_images_go_first():
    cache = ResultCache(images=3)
    first = cache.get("a", "m", object)
    for image in "bc":
        cache.get(image, "m", object)
    assert cache.get("a", "m", object) is first
    cache.get("d", "m", object)
    assert len(cache) == 3
    assert cache.get("a", "m", object) is first
    second = cache.get("b", "m", object)  # was dropped, and takes the place of c
    assert cache.get("b", "m", object) is second
    assert cache.get("b", "n", object) is not second


def test_nothing_is_kept_after_its_time_though_nobody_asks_again():
    cache = ResultCache(seconds=0.2)
    kept = weakref.ref(cache.get("a", "m", lambda: np.zeros(1)))
    assert kept() is not None
    time.sleep(0.1)
    cache.get("b", "m", object)
    end = time.monotonic() + WAIT
    while len(cache) and time.monotonic() < end:
        time.sleep(0.02)
    assert len(cache) == 0
    assert kept() is None


def test_many_who_ask_for_the_same_cause_one_computation():
    cache, computed, found = ResultCache(), [], []

    def compute():
        computed.append(1)
        time.sleep(0.05)
        return object()

    threads = [
        threading.Thread(target=lambda: found.append(cache.get("a", "m", compute)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(computed) == 1
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_failure_is_not_kept():
    cache = ResultCache()

    def fail():
        raise InputError("no")

    with pytest.raises(InputError):
        cache.get("a", "m", fail)
    assert len(cache) == 0
    assert cache.get("a", "m", object) is cache.get("a", "m", object)
