"""What the page shows: equal to what the classifier says, and nothing old beside a problem."""

import html
import re

import httpx
import numpy as np
import pytest

from hf_lesion.errors import InputError
from hf_lesion.io.decoding import load_image
from hf_lesion.labels import CODES, NAMES, NOTICE


def page_of(**models):
    from handlers import Page
    from shelf import Shelf

    return Page(Shelf.of(models))


def test_bars_show_the_probabilities_of_predict(page, classifiers, lesion):
    image = load_image(lesion)
    for name, classifier in classifiers.items():
        expected = classifier.predict([image])[0]
        verdict, _anyway, details, bars, _slider, _caption = page.show(image, name, "predicted")
        shown = re.findall(r'data-code="(\w+)" data-probability="([\d.]+)"', bars)
        assert [code for code, _ in shown] == [CODES[i] for i in np.argsort(-expected)]
        values = [float(dict(shown)[code]) for code in CODES]
        np.testing.assert_allclose(values, expected, atol=1e-5)
        assert NAMES[CODES[expected.argmax()]] in html.unescape(verdict)
        assert details["visible"]


def test_without_an_image_there_is_no_result(page):
    verdict, _anyway, details, bars, slider, caption = page.show(None, "tiny_cnn", "predicted")
    assert "No image yet" in verdict
    assert (details["visible"], bars, slider, caption) == (False, "", None, "")


def test_a_bad_image_leaves_no_old_result_behind(page):
    from hf_lesion.errors import InputError

    verdict, _anyway, details, *rest = page.show(InputError("<i>bad</i>"), "tiny_cnn", "predicted")
    assert 'role="alert"' in verdict
    assert "&lt;i&gt;bad&lt;/i&gt;" in verdict
    assert not details["visible"]
    assert rest == ["", None, ""]


def test_a_class_without_evidence_is_said_to_have_none(tiny_cnn_model, lesion):
    import torch

    from hf_lesion.classifier import LesionClassifier

    classifier = LesionClassifier.from_pretrained(tiny_cnn_model)
    head = [m for m in classifier.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad():
        head.weight[CODES.index("vasc")] = -1  # activations are not negative: no evidence
    *_, slider, caption = page_of(m=classifier).show(load_image(lesion), "m", "vasc")
    assert slider["visible"] is False
    assert "No evidence for Vascular lesion in the last layer" in caption


def test_a_network_without_a_known_layer_still_classifies(lesion):
    import torch

    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.models.build import build_model

    torch.manual_seed(0)
    classifier = LesionClassifier(*build_model("test_vit"), name="vit")
    classifier.model.timm_model.feature_info = None
    verdict, _anyway, _details, bars, slider, caption = page_of(vit=classifier).show(
        load_image(lesion), "vit", "predicted"
    )
    assert "Looks most like" in verdict
    assert bars.count('role="meter"') == len(CODES)
    assert slider["visible"] is False
    assert "No heat map: No Grad-CAM target layer is known" in caption


def test_the_notice_stands_at_both_ends_of_the_page_and_in_about(page_url):
    config = httpx.get(f"{page_url}/config").json()
    texts = [c["props"].get("value") for c in config["components"] if c["type"] == "html"]
    assert sum(NOTICE in text for text in texts if text) == 3


def test_nothing_is_kept_counted_or_monitored(page_url):
    config = httpx.get(f"{page_url}/config").json()
    assert config["analytics_enabled"] is False
    assert not config.get("run_history")
    assert httpx.get(f"{page_url}/monitoring").status_code >= 400


def test_opacity_and_method_change_the_map_and_nothing_else(page, lesion):
    image = load_image(lesion)
    first = page.show(image, "tiny_cnn", "mel", "gradcam", 100)
    faint, _ = page.explain_again(image, "tiny_cnn", "mel", "gradcam", 0)
    other, caption = page.explain_again(image, "tiny_cnn", "mel", "eigencam", 100)
    strong = np.asarray(first[4]["value"][1])
    np.testing.assert_array_equal(np.asarray(faint["value"][1]), np.asarray(faint["value"][0]))
    assert np.abs(strong.astype(int) - np.asarray(other["value"][1])).max() > 20
    assert "EigenCAM for Melanoma." in caption
    assert "the same for every diagnosis" in caption


@pytest.mark.parametrize("opacity", ["much", None, [], float("nan"), -5, 1e9, True])
def test_an_opacity_that_is_none_is_said_wherever_one_asks(page, lesion, opacity):
    image = load_image(lesion)
    choices = (image, "tiny_cnn", "mel", "gradcam", opacity)
    for shown in (page.show(*choices)[0], page.explain_again(*choices)[1], page.report(*choices)):
        assert 'role="alert"' in shown
        assert "Expected an opacity from 0 to 100, got" in shown


def test_a_model_that_cannot_be_used_is_said_in_the_pages_words(page, lesion):
    shown, _anyway, details, *_ = page.show(load_image(lesion), "<b>", "predicted")
    assert "There is no model &#x27;&lt;b&gt;&#x27; here" in shown
    assert not details["visible"]


def test_the_comparison_shows_each_model_and_whether_they_agree(page, classifiers, lesion):
    shown = page.compare_models(load_image(lesion), "mel")
    for name, classifier in classifiers.items():
        label = CODES[classifier.predict([load_image(lesion)])[0].argmax()]
        assert f'data-model="{name}" data-label="{label}"' in shown
    assert shown.count("map for mel") == len(classifiers)
    assert "Do the heat maps agree?" in shown


@pytest.mark.parametrize("image", [None, InputError("<i>bad</i>")])
def test_without_a_usable_image_nothing_is_compared(page, image):
    shown = page.compare_models(image, "predicted")
    assert "<img" not in shown
    assert ("No image yet" if image is None else "&lt;i&gt;bad&lt;/i&gt;") in shown


def test_drawn_only_models_are_announced_together_or_one_by_one(classifiers, page_url):
    import copy

    from app import build_demo

    drawn = {name: copy.copy(classifier) for name, classifier in classifiers.items()}
    for classifier in drawn.values():
        classifier.record = {"dataset": {"synthetic": True}}
    texts = str([block.get_config() for block in build_demo(drawn).blocks.values()])
    assert "These models know only drawn lesions:" in texts
    assert "drawn lesions only" not in str(page_of(**drawn).choices())
    drawn["tiny_cnn"].record = {}
    assert ("tiny_resnet · drawn lesions only", "tiny_resnet") in page_of(**drawn).choices()
    config = httpx.get(f"{page_url}/config").text
    assert "drawn lesions only" not in config
    assert "These models know only drawn lesions" not in config
