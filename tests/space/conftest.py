"""Fixtures of the Space's tests: a running page with two small models, and a browser."""

import base64
import contextlib
import copy
import dataclasses
import io
import os
import re
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from playwright.sync_api import sync_playwright
from space.browsing import CHROMIUM, FLAGS

from hf_lesion.labels import CODES
from hf_lesion.ood.gate import STRANGE, Gate
from hf_lesion.synthetic.lesions import draw_lesion

LOGIT_SPREAD = 2.0
SPACE = Path(__file__).resolve().parents[2] / "space"
# As `python space/app.py` does: the page's modules import one another by their bare names.
sys.path.insert(0, str(SPACE))


@pytest.fixture(scope="session")
def model_folders(tiny_cnn_model, tiny_timm_model):
    return [tiny_cnn_model, tiny_timm_model]


@pytest.fixture(scope="session")
def classifiers(model_folders):
    from registry import Registry, read_entries

    entries, lines = read_entries(model_folders)
    assert not lines
    registry = Registry(entries)
    registry.load()
    found = {name: registry.get(name) for name in registry.names()}
    for classifier in found.values():
        give_evidence(classifier)
    return found


def give_evidence(classifier):
    """Turn the head so that every class has a heatmap and no probability is nearly 0 or 1.

    The features are not negative, so positive weights give every class a heatmap.
    """
    head = [layer for layer in classifier.model.modules() if isinstance(layer, torch.nn.Linear)][-1]
    images = [draw_lesion(code, seed=seed)[0] for seed, code in enumerate(CODES)]
    with torch.no_grad():
        head.weight.abs_()
        head.bias.zero_()
        logits = classifier.logits(images)
        scale = LOGIT_SPREAD / logits.std(axis=0).mean()
        head.weight.mul_(scale)
        head.bias.copy_(torch.from_numpy(-scale * logits.mean(axis=0)))


def registry_of(classifiers):
    """Return a registry of loaded classifiers, by the name of each."""
    import registry

    entries = []
    for name, classifier in classifiers.items():
        entry = registry.read_entry(name, Path(classifier.model.name_or_path))
        entries.append(dataclasses.replace(entry, record=classifier.record))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "load_classifier", lambda entry: classifiers[entry.name])
        (found := registry.Registry(registry.best_first(entries))).load()
    return found


def page_of(**classifiers):
    from callbacks import Page

    return Page(registry_of(classifiers))


@pytest.fixture(scope="session")
def page(classifiers):
    return page_of(**classifiers)


@pytest.fixture(scope="session")
def lesion(tmp_path_factory):
    file = tmp_path_factory.mktemp("lesion") / "lesion.png"
    draw_lesion("mel", seed=3)[0].save(file)
    return file


@pytest.fixture(scope="session")
def image(lesion):
    """The lesion as the page's events receive it."""
    from uploads import UploadedImage

    return UploadedImage("lesion.png", lesion.read_bytes())


def as_upload(picture):
    """Return a drawn picture as the page's events receive it."""
    from uploads import UploadedImage

    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return UploadedImage("drawn.png", stream.getvalue())


def linked(link):
    """Return the file that a link contains."""
    return base64.b64decode(re.search(r"base64,([^\"]+)", link)[1])


@pytest.fixture(scope="session")
def page_url(classifiers):
    from server import build_page

    with served(build_page(registry_of(classifiers))) as url:
        yield url


@contextlib.contextmanager
def served(demo):
    """Serve a page in this process; yield its address."""
    from server import launch_options

    _app, url, _share = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield url.rstrip("/")
    demo.close()


@pytest.fixture(scope="session")
def client(page_url):
    from gradio_client import Client

    return Client(page_url, verbose=False)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no chromium: .ci/run should have installed it")
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


def rejecting(classifiers):
    """Return copies of models to whose gate every image is strange."""
    found = {name: copy.copy(classifier) for name, classifier in classifiers.items()}
    for classifier in found.values():
        classifier.gate = build_refusing_gate(classifier)
    return found


def build_refusing_gate(classifier):
    features = classifier.look([Image.new("RGB", (8, 8))], ("colours",))[1]["colours"].shape[1]
    return Gate(
        ("colours",),
        mean=torch.zeros(features),
        scale=torch.ones(features),
        directions=torch.eye(features)[:, :1],
        centre=torch.zeros(1, 2),
        precision=torch.eye(2),
        reference=torch.zeros(1),
        refused_below=0.5,
        rates={STRANGE: 0.04},
    )
