"""Callbacks: the classifier's results, and no old result next to an error."""

import copy
import html
import io
import re

import numpy as np
import predictions
import pytest
from gradio import EventData
from PIL import Image
from space.conftest import as_upload, linked, page_of, registry_of, rejecting
from space.http_calls import HTTP
from uploads import ImageError, UploadedFile, UploadedImage
from views import comparison

from hf_lesion.classifier import LesionClassifier
from hf_lesion.labels import CODES, NAMES
from hf_lesion.models.preprocessing import CROP_MODES, change_processor

VERDICT, ANYWAY, DETAILS, BARS, FIGURE, TRUST, TARGET, CHECKED, SAVED = range(9)
SHOWN = ("gradcam", "inferno")
NOT_SEEN = "Grey parts were not seen by the model."


def bars_of(shown):
    return re.findall(r'data-dx="(\w+)" data-probability="([\d.]+)"', shown)


def pictures(shown):
    """Return the pictures of a heatmap by the class of each."""
    found = re.findall(r'(<img class="(\w+)" src="data:image/jpeg;base64,[^"]+")', shown)
    return {kind: Image.open(io.BytesIO(linked(link))) for link, kind in found}


def says_a_diagnosis(shown):
    return any(html.escape(NAMES[code]) in shown for code in CODES)


def test_headline_bars_and_report_are_the_numbers_of_predict(page, classifiers, image):
    for name, classifier in classifiers.items():
        expected = classifier.predict([image.decoded])[0]
        shown = page.show(image, name)
        bars = bars_of(shown[BARS])
        assert [code for code, _ in bars] == [CODES[i] for i in np.argsort(-expected)]
        values = [float(dict(bars)[code]) for code in CODES]
        np.testing.assert_allclose(values, expected, atol=1e-5)
        words = html.unescape(re.sub("<[^>]+>", "", shown[VERDICT]))
        top, score = NAMES[bars[0][0]], f"{100 * expected.max():.0f}%"
        assert f"{top} {score}" in words
        assert shown[DETAILS]["visible"]
        assert f'data-target="{bars[0][0]}"' in shown[FIGURE]
        assert (shown[TARGET], shown[CHECKED], shown[SAVED]) == ("predicted", "", "")
        report = linked(page.save_report(image, name, "predicted", *SHOWN)).decode()
        assert f"<h1>{html.escape(top)}, {score}</h1>" in report
        assert report.count("<img") == 2
        assert "Not a medical device." in report


@pytest.mark.parametrize(
    ("image", "part"),
    [
        (None, "Upload a"),
        (ImageError("<i>a</i>"), "&lt;i"),
        (UploadedImage("lesion.png", b"\x89PNG\r\n\x1a\nnothing else"), "lesion.png can&#x27;t be"),
    ],
)
def test_without_a_usable_image_no_old_result_is_left(page, image, part):
    shown = page.show(image, "tiny_cnn")
    assert part in shown[VERDICT]
    assert not shown[DETAILS]["visible"]
    assert (shown[BARS], shown[FIGURE], shown[TRUST], shown[SAVED]) == ("", "", "", "")
    compared = page.compare_models(image, "predicted")
    assert "<img" not in compared
    assert part in compared
    saved = page.save_report(image, "tiny_cnn", "predicted", *SHOWN)
    assert saved == "" or part in saved
    for panel in filter(None, (shown[VERDICT], compared, saved)):
        assert ("Image not usable" in panel) == (image is not None)
        assert "Something went wrong" not in panel


def test_a_bar_shows_the_heatmap_of_its_class(page, image):
    event = EventData(None, {"dx": "df"})
    target, figure, checked = page.explain_class(image, "tiny_cnn", *SHOWN, event)
    assert (target, checked) == ("df", "")
    found = pictures(figure)
    assert {one.size for one in found.values()} == {(768, 576)}
    assert list(found) == ["image", "overlay", "map"]
    assert re.search(rf'alt="Heatmap over the image for {NAMES["df"]}, ', figure)
    for sent in (None, "mel", {"dx": 7}, {}):
        event = EventData(None, sent)
        assert "Unknown class " in page.explain_class(image, "tiny_cnn", *SHOWN, event)[1]


def test_a_class_or_network_without_a_heatmap_is_still_shown(classifiers, image):
    import torch

    from hf_lesion.models.build import build_model

    classifier = LesionClassifier.from_pretrained(classifiers["tiny_cnn"].model.name_or_path)
    head = [m for m in classifier.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad():
        head.weight[CODES.index("vasc")] = -1  # activations are not negative: no evidence
    figure, _ = page_of(m=classifier).explain_again(image, "m", "vasc", *SHOWN)
    assert list(pictures(figure)) == ["image"]
    assert "nothing in the image raised the score for Vascular lesion" in figure
    torch.manual_seed(0)
    unknown = LesionClassifier(*build_model("test_vit"), name="vit")
    unknown.model.timm_model.feature_info = None
    shown = page_of(vit=unknown).show(image, "vit")
    assert len(bars_of(shown[BARS])) == len(CODES)
    assert "No heatmap: No Grad-CAM target layer is known" in shown[FIGURE]


def test_a_saved_heatmap_is_named_after_method_and_class_and_has_its_legend(page, image):
    link = page.save_heatmap(image, "tiny_cnn", "akiec", "gradcam++", "turbo")
    assert 'download="lesion_gradcampp_actinic_keratosis_bowen.png"' in link
    assert Image.open(io.BytesIO(linked(link))).size == (768, 576 + 56)


def test_a_rejected_image_shows_no_diagnosis_anywhere_until_one_insists(classifiers, image, lesion):
    from api import Api

    page = page_of(**rejecting(classifiers))
    shown = page.show(image, "tiny_cnn")
    assert "so its result is hidden. (About 1 in 25 genuine" in html.unescape(shown[VERDICT])
    assert (shown[ANYWAY]["visible"], shown[DETAILS]["visible"]) == (True, False)
    assert not says_a_diagnosis("".join(map(str, shown)))
    compared = page.compare_models(image, "predicted")
    assert compared.count("Not judged") == len(classifiers)
    assert not says_a_diagnosis(compared)
    listed = page.classify_batch([UploadedFile("a.png", lesion)], "tiny_cnn")
    assert not says_a_diagnosis(listed)
    assert linked(listed).decode().splitlines()[1] == "a,,,,,,,,strange"
    report = linked(page.save_report(image, "tiny_cnn", "predicted", *SHOWN)).decode()
    assert not says_a_diagnosis(report)
    calls = Api(page.registry)
    overlay, explained = calls.explain(image, "tiny_cnn", "mel")
    assert overlay is None
    compared = calls.compare(image)["models"]["tiny_cnn"]
    for one in (explained, calls.classify(image, "tiny_cnn"), compared):
        assert one["gate"] == "strange"
        assert [one[key] for key in ("label", "name", "probabilities")] == [None] * 3
    insisted = page.show_anyway(image, "tiny_cnn", *SHOWN)
    assert says_a_diagnosis(insisted[VERDICT])
    assert (insisted[ANYWAY]["visible"], insisted[DETAILS]["visible"]) == (False, True)


def test_a_blank_image_has_its_own_sentence(page):
    shown = page.show(as_upload(Image.new("RGB", (60, 40), "tan")), "tiny_cnn")
    assert "The image is blank" in shown[VERDICT]
    assert not says_a_diagnosis(shown[VERDICT])


def test_the_comparison_shows_each_model_and_whether_they_agree(page, classifiers, image):
    shown = page.compare_models(image, "mel")
    for name, classifier in classifiers.items():
        label = CODES[classifier.predict([image.decoded])[0].argmax()]
        assert f'data-model="{name}" data-label="{label}"' in shown
    assert shown.count("Heatmap of ") == len(classifiers)
    assert "Agreement of the heatmaps: " in shown


def test_what_a_model_does_not_see_is_grey_and_said_everywhere(classifiers):
    noise = np.random.default_rng(0).integers(60, 200, (9, 16, 3), dtype=np.uint8)
    frame = Image.fromarray(noise).resize((1600, 900), Image.Resampling.BICUBIC)
    one, found = classifiers["tiny_cnn"], {}
    for mode in CROP_MODES:
        processor = change_processor(one.model.config, one.processor, crop_mode=mode)
        page = page_of(**{mode: LesionClassifier(one.model, processor, name=mode)})
        upload = as_upload(frame)
        figure = page.show(upload, mode)[FIGURE]
        assert {shown.size for shown in pictures(figure).values()} == {(768, 432)}
        found[mode] = predictions.explain(page.registry.classify(mode, upload))
        # The centre square of 900 pixels: from 350 on, of 1,600. Before compression, which tints.
        margin = 168 if mode == "centre" else 0
        overlay = np.asarray(found[mode].overlay(), int)
        is_grey = (np.ptp(overlay, axis=-1) == 0).all(axis=0)
        assert is_grey[:margin].all()
        assert is_grey[768 - margin :].all()
        assert is_grey.sum() == 2 * margin
        report = linked(page.save_report(upload, mode, "predicted", *SHOWN)).decode()
        compared = comparison.render({mode: found[mode]}, {mode: mode})
        assert [NOT_SEEN in html.unescape(one) for one in (figure, report, compared)] == (
            [mode == "centre"] * 3
        )
    # Of each pair, where both saw the image.
    assert set(comparison.compare(found)) == {
        ("centre", "squash"),
        ("centre", "pad"),
        ("squash", "pad"),
    }


def test_drawn_only_models_are_announced_together_or_one_by_one(classifiers, page_url):
    from server import build_page

    drawn = {name: copy.copy(classifier) for name, classifier in classifiers.items()}
    for classifier in drawn.values():
        classifier.record = {"dataset": {"synthetic": True}}
    texts = str([block.get_config() for block in build_page(registry_of(drawn)).blocks.values()])
    assert "These models were trained on drawn lesions only:" in texts
    assert "drawn lesions only" not in str(page_of(**drawn).model_choices())
    drawn["tiny_cnn"].record = {}
    assert ("tiny_resnet · drawn lesions only", "tiny_resnet") in page_of(**drawn).model_choices()
    assert "drawn lesions only" not in HTTP.get(f"{page_url}/config").text
