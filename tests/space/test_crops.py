"""Whole frames on the page: heat where the model looked, and what it did not see told apart."""

import html

import numpy as np
import predictions
import pytest
from PIL import Image

from hf_lesion.classifier import LesionClassifier
from hf_lesion.models.preprocessing import CROP_MODES, change_processor, seen_box

SIZE = (1600, 900)  # larger than what is shown
NOT_SEEN = "The model did not see what is dark and grey"


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


def grey_columns(picture):
    return (np.ptp(np.asarray(picture.convert("RGB")).astype(int), axis=-1) == 0).all(axis=0)


@pytest.mark.parametrize("mode", CROP_MODES)
def test_what_was_not_seen_is_grey_on_the_page_and_in_the_report(mode, modes, frame):
    from handlers import Page
    from shelf import Shelf

    page = Page(Shelf.of({mode: modes[mode]}))
    *_, slider, caption = page.show(frame, mode, "mel")
    picture, shown = slider["value"]
    assert picture.size == shown.size == (768, 432)
    # The centre square of 900 pixels: from 350 on, of 1,600.
    margin = 168 if mode == "centre" else 0
    grey = grey_columns(shown)
    assert np.flatnonzero(~grey).min() == margin
    assert np.flatnonzero(~grey).max() == 767 - margin
    assert grey.sum() == 2 * margin
    report = html.unescape(page.report(frame, mode, "mel", "gradcam", 50))
    assert (NOT_SEEN in html.unescape(caption)) == (mode == "centre")
    assert report.count("Download") == 2


def test_the_comparison_says_what_was_not_seen(modes, frame):
    import comparison
    from answers import build_answers

    readings = {mode: predictions.read(one, frame) for mode, one in modes.items()}
    answers = build_answers(readings, "mel")
    assert [answer.is_cropped for answer in answers.values()] == [True, False, False]
    assert answers["centre"].box == seen_box("centre", SIZE)
    assert NOT_SEEN in comparison.render(answers)
    assert NOT_SEEN not in comparison.render({"squash": answers["squash"]})
    found = comparison.compare(answers)
    assert set(found) == {("centre", "squash"), ("centre", "pad"), ("squash", "pad")}
    # One network: where all saw the image, it finds much the same.
    assert all(-1 <= one.pearson <= 1 for one in found.values())


def test_several_models_show_what_all_of_them_saw(modes, frame):
    each = {mode: predictions.read(one, frame) for mode, one in modes.items()}
    heatmap, box = predictions.join(list(each.values())).heatmap("mel", "gradcam")
    assert box == seen_box("centre", SIZE)
    assert heatmap.max() == 1
    alone, own = each["centre"].heatmap("mel", "gradcam")
    same, shared = predictions.join([each["centre"]] * 2).heatmap("mel", "gradcam")
    assert np.allclose(same, alone, atol=1e-6)
    assert own == shared == box
