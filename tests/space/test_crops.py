"""Models with different crops: heatmaps over the crop only, and the rest in grey."""

import base64
import html
import re

import numpy as np
import predictions
import pytest
from PIL import Image
from space.test_callbacks import pictures
from uploads import UploadedImage

from hf_lesion.classifier import LesionClassifier
from hf_lesion.models.preprocessing import CROP_MODES, change_processor, seen_box

SIZE = (1600, 900)  # larger than what is shown
NOT_SEEN = "Grey parts were not seen by the model."


@pytest.fixture(scope="module")
def frame():
    noise = np.random.default_rng(0).integers(60, 200, (9, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def modes(classifiers):
    """One model under each crop mode."""
    one = classifiers["tiny_cnn"]
    found = {}
    for mode in CROP_MODES:
        processor = change_processor(one.model.config, one.processor, crop_mode=mode)
        found[mode] = LesionClassifier(one.model, processor, name=mode)
    return found


def page_overlay(page, frame, mode):
    """Return the overlay before it is compressed, which tints grey."""
    return predictions.explain(page.registry.classify(mode, UploadedImage.of(frame))).overlay()


def grey_columns(picture):
    return (np.ptp(np.asarray(picture.convert("RGB")).astype(int), axis=-1) == 0).all(axis=0)


@pytest.mark.parametrize("mode", CROP_MODES)
def test_what_was_not_seen_is_grey_on_the_page_and_in_the_report(mode, modes, frame):
    from callbacks import Page
    from registry import Registry

    page = Page(Registry.from_classifiers({mode: modes[mode]}))
    figure = page.show(frame, mode)[4]
    shown = pictures(figure)
    assert {one.size for one in shown.values()} == {(768, 432)}
    # The centre square of 900 pixels: from 350 on, of 1,600.
    margin = 168 if mode == "centre" else 0
    grey = grey_columns(page_overlay(page, frame, mode))
    assert np.flatnonzero(~grey).min() == margin
    assert np.flatnonzero(~grey).max() == 767 - margin
    assert grey.sum() == 2 * margin
    assert (NOT_SEEN in html.unescape(figure)) == (mode == "centre")
    link = page.save_report(frame, mode, "predicted", "gradcam", "inferno")
    report = base64.b64decode(re.search(r"base64,([^\"]+)", link)[1]).decode()
    assert (NOT_SEEN in report) == (mode == "centre")


def test_the_comparison_says_what_was_not_seen(modes, frame):
    from views import comparison

    answers = {
        mode: predictions.explain(predictions.classify_explainable(one, frame), "mel")
        for mode, one in modes.items()
    }
    assert [answer.is_cropped for answer in answers.values()] == [True, False, False]
    assert answers["centre"].box == seen_box("centre", SIZE)
    assert NOT_SEEN in comparison.render(answers, {mode: mode for mode in modes})
    assert NOT_SEEN not in comparison.render({"squash": answers["squash"]}, {"squash": "squash"})
    found = comparison.compare(answers)
    assert set(found) == {("centre", "squash"), ("centre", "pad"), ("squash", "pad")}
    # One network: where all saw the image, it finds much the same.
    assert all(-1 <= one.pearson <= 1 for one in found.values())
