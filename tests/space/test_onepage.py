"""The one-page report: whole in one file, with weights, date and notice."""

import base64
import hashlib
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from hf_lesion.io.decoding import load_image
from hf_lesion.labels import CODES, NAMES, NOTICE


@pytest.fixture(scope="module")
def files(page, lesion):
    links = page.report(load_image(lesion), "tiny_cnn", "mel", "gradcam", 50)
    found = dict(re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', links))
    return {name: base64.b64decode(content) for name, content in found.items()}


def test_the_html_says_all_and_asks_no_one(files, classifiers, lesion, model_folders):
    text = html.unescape(files["hf_lesion_report.html"].decode())
    probabilities = classifiers["tiny_cnn"].predict([load_image(lesion)])[0]
    assert f"<h1>{NAMES[CODES[probabilities.argmax()]]}</h1>" in text
    assert NOTICE in text
    assert all(f"{100 * value:.1f}%" in text for value in probabilities if 0.001 < value < 0.999)
    assert "Grad-CAM for Melanoma" in text
    weights = (model_folders[0] / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest()[:16] in text
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", text)
    assert "http" not in text
    assert "<script" not in text
    assert text.count("<img") == 2


def test_the_png_is_a_page_that_is_not_empty(files):
    image = Image.open(io.BytesIO(files["hf_lesion_report.png"]))
    assert image.height / image.width == pytest.approx(2**0.5, rel=0.01)
    assert np.asarray(image.convert("L")).std() > 20


def test_without_an_image_there_is_no_report(page):
    assert page.report(None, "tiny_cnn", "mel", "gradcam", 50) == ""


def test_the_report_of_the_ensemble_names_all_weights(page, classifiers, lesion):
    links = page.report(load_image(lesion), "ensemble", "mel", "gradcam", 50)
    text = base64.b64decode(re.search(r'html;base64,([^"]+)"', links)[1]).decode()
    assert all(f"{name} " in text for name in classifiers)


def test_the_deletion_curve_is_drawn_beside_random_maps(page, lesion):
    shown = page.check(load_image(lesion), "tiny_cnn", "mel", "gradcam")
    assert shown.count("<circle") == 22
    assert "random maps" in shown
    assert re.search(r"its mean is \d\.\d\d, with random maps \d\.\d\d", shown)


def test_the_map_of_the_ensemble_is_not_tested(page, lesion):
    shown = page.check(load_image(lesion), "ensemble", "mel", "gradcam")
    assert "Only the map of one model can be tested." in shown
