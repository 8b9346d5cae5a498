"""Callbacks: the classifier's results, and no old result next to an error."""

import base64
import copy
import html
import io
import re

import httpx
import numpy as np
import pytest
from gradio import EventData
from PIL import Image
from space.conftest import build_refusing_gate
from uploads import ImageError

from hf_lesion.io.decoding import load_image
from hf_lesion.labels import CODES, NAMES

VERDICT, ANYWAY, DETAILS, BARS, FIGURE, TRUST, TARGET, CHECKED, SAVED = range(9)


def page_of(**models):
    from callbacks import Page
    from registry import Registry

    return Page(Registry.from_classifiers(models))


def press(code):
    return EventData(None, {"dx": code})


def bars_of(shown):
    return re.findall(r'data-dx="(\w+)" data-probability="([\d.]+)"', shown)


def pictures(shown):
    """Return the pictures of a heatmap by the class of each."""
    found = re.findall(r'<img class="(\w+)" src="data:image/jpeg;base64,([^"]+)"', shown)
    return {kind: Image.open(io.BytesIO(base64.b64decode(data))) for kind, data in found}


def test_headline_longest_bar_and_predict_are_one_number(page, classifiers, lesion):
    image = load_image(lesion)
    for name, classifier in classifiers.items():
        expected = classifier.predict([image])[0]
        shown = page.show(image, name)
        bars = bars_of(shown[BARS])
        assert [code for code, _ in bars] == [CODES[i] for i in np.argsort(-expected)]
        values = [float(dict(bars)[code]) for code in CODES]
        np.testing.assert_allclose(values, expected, atol=1e-5)
        words = html.unescape(re.sub("<[^>]+>", "", shown[VERDICT]))
        assert f"{NAMES[bars[0][0]]} {100 * expected.max():.0f}%" in words
        assert shown[DETAILS]["visible"]
        assert f'data-target="{bars[0][0]}"' in shown[FIGURE]


@pytest.mark.parametrize(("image", "part"), [(None, "Upload a"), (ImageError("<i>a</i>"), "&lt;i")])
def test_without_a_usable_image_no_old_result_is_left(page, image, part):
    shown = page.show(image, "tiny_cnn")
    assert part in shown[VERDICT]
    assert not shown[DETAILS]["visible"]
    assert (shown[BARS], shown[FIGURE], shown[TRUST], shown[SAVED]) == ("", "", "", "")
    compared = page.compare_models(image, "predicted")
    assert "<img" not in compared
    assert part in compared


def test_a_bar_shows_the_heatmap_of_its_class(page, lesion):
    image = load_image(lesion)
    target, figure, checked = page.explain_class(
        image, "tiny_cnn", "gradcam", "inferno", press("df")
    )
    assert (target, checked) == ("df", "")
    assert f"Regions that raised the score for {NAMES['df']}." in figure or "&lt; 1%" in figure
    found = pictures(figure)
    assert {one.size for one in found.values()} == {(768, 576)}
    assert list(found) == ["image", "overlay", "map"]
    assert re.search(rf'alt="Heatmap over the image for {NAMES["df"]}, ', figure)


@pytest.mark.parametrize("sent", [None, [], "mel", {"dx": 7}, {}])
def test_a_bar_that_is_none_is_said(page, lesion, sent):
    _, figure, _ = page.explain_class(
        load_image(lesion), "tiny_cnn", "gradcam", "inferno", EventData(None, sent)
    )
    assert "Unknown class " in figure


def test_every_new_image_is_explained_for_its_own_predicted_class(page, lesion):
    shown = page.show(load_image(lesion), "tiny_cnn")
    assert shown[TARGET] == "predicted"
    assert (shown[CHECKED], shown[SAVED]) == ("", "")


def test_a_class_without_evidence_is_said_to_have_none(tiny_cnn_model, lesion):
    import torch

    from hf_lesion.classifier import LesionClassifier

    classifier = LesionClassifier.from_pretrained(tiny_cnn_model)
    head = [m for m in classifier.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad():
        head.weight[CODES.index("vasc")] = -1  # activations are not negative: no evidence
    figure, _ = page_of(m=classifier).explain_again(
        load_image(lesion), "m", "vasc", "gradcam", "inferno"
    )
    assert list(pictures(figure)) == ["image"]
    assert "nothing in the image raised the score for Vascular lesion" in figure


def test_a_network_without_a_known_layer_still_classifies(lesion):
    import torch

    from hf_lesion.classifier import LesionClassifier
    from hf_lesion.models.build import build_model

    torch.manual_seed(0)
    classifier = LesionClassifier(*build_model("test_vit"), name="vit")
    classifier.model.timm_model.feature_info = None
    shown = page_of(vit=classifier).show(load_image(lesion), "vit")
    assert len(bars_of(shown[BARS])) == len(CODES)
    assert "No heatmap: No Grad-CAM target layer is known" in shown[FIGURE]


def test_colours_and_method_change_the_map(page, lesion):
    image = load_image(lesion)
    maps = {}
    for method, colours in (("gradcam", "inferno"), ("gradcam", "turbo"), ("eigencam", "inferno")):
        figure, _ = page.explain_again(image, "tiny_cnn", "mel", method, colours)
        maps[method, colours] = np.asarray(pictures(figure)["map"], int)
        assert f'data-colours="{colours}"' in figure
    assert "EigenCAM shows what stands out for any class." in figure
    first, *others = maps.values()
    assert all(np.abs(first - other).max() > 20 for other in others)


@pytest.mark.parametrize("colours", ["jet", None, [], 7])
def test_colours_that_are_none_are_said_wherever_one_asks(page, lesion, colours):
    image = load_image(lesion)
    shown = page.show(image, "tiny_cnn", "gradcam", colours)[VERDICT]
    again = page.explain_again(image, "tiny_cnn", "mel", "gradcam", colours)[0]
    saved = page.save_report(image, "tiny_cnn", "mel", "gradcam", colours)
    for said in (shown, again, saved):
        assert 'role="alert"' in said
        assert "Unknown colour map " in said


def test_a_model_that_cannot_be_used_is_said_in_the_pages_words(page, lesion):
    shown = page.show(load_image(lesion), "<b>")
    assert "Unknown model &#x27;&lt;b&gt;&#x27;;" in shown[VERDICT]
    assert not shown[DETAILS]["visible"]


def test_the_page_opens_with_an_example_and_says_so(page):
    _, first = page.open_page("tiny_cnn")
    shown = page.show(load_image(first), "tiny_cnn")
    assert "Example" not in shown[VERDICT]  # a decoded copy is not known by its bytes
    from uploads import UploadedImage, decode_image

    from hf_lesion.io.checksums import file_sha256

    content = first.read_bytes()
    image = UploadedImage(file_sha256(first), lambda: decode_image("mel.webp", content))
    assert "Example (drawn)" in page.show(image, "tiny_cnn")[VERDICT]


def test_a_saved_heatmap_is_named_after_method_and_class_and_has_its_legend(page, lesion):
    link = page.save_heatmap(load_image(lesion), "tiny_cnn", "akiec", "gradcam++", "turbo")
    assert 'download="lesion_gradcampp_actinic_keratosis_bowen.png"' in link
    data = re.search(r"base64,([^\"]+)", link)[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (768, 576 + 56)


def test_a_report_holds_the_shown_numbers(page, classifiers, lesion):
    link = page.save_report(load_image(lesion), "tiny_cnn", "predicted", "gradcam", "inferno")
    report = base64.b64decode(re.search(r"base64,([^\"]+)", link)[1]).decode()
    expected = classifiers["tiny_cnn"].predict([load_image(lesion)])[0]
    headline = f"{NAMES[CODES[expected.argmax()]]}, {100 * expected.max():.0f}%"
    assert f"<h1>{html.escape(headline)}</h1>" in report
    assert report.count("<img") == 2
    assert "Not a medical device." in report


def rejecting(classifiers):
    found = {name: copy.copy(classifier) for name, classifier in classifiers.items()}
    for classifier in found.values():
        classifier.gate = build_refusing_gate(classifier)
    return found


def says_a_diagnosis(shown):
    return any(html.escape(NAMES[code]) in shown for code in CODES)


def test_a_rejected_image_shows_no_diagnosis_anywhere_until_one_insists(classifiers, lesion):
    from api import Api
    from uploads import UploadedFile

    page, image = page_of(**rejecting(classifiers)), load_image(lesion)
    shown = page.show(image, "tiny_cnn")
    assert "so its result is hidden. (About 1 in 25 genuine" in html.unescape(shown[VERDICT])
    assert (shown[ANYWAY]["visible"], shown[DETAILS]["visible"]) == (True, False)
    assert not says_a_diagnosis("".join(map(str, shown)))
    compared = page.compare_models(image, "predicted")
    assert compared.count("Not judged") == len(classifiers)
    assert not says_a_diagnosis(compared)
    listed = page.classify_batch([UploadedFile("a.png", lesion)], "tiny_cnn")
    assert not says_a_diagnosis(listed)
    csv = base64.b64decode(re.search(r"text/csv;base64,([^\"]+)", listed)[1]).decode()
    assert csv.splitlines()[1] == "a,,,,,,,,strange"
    report = page.save_report(image, "tiny_cnn", "predicted", "gradcam", "inferno")
    report = base64.b64decode(re.search(r"base64,([^\"]+)", report)[1]).decode()
    assert not says_a_diagnosis(report)
    calls = Api(page.registry)
    overlay, found = calls.explain(image, "tiny_cnn", "mel")
    assert overlay is None
    for one in (
        found,
        calls.classify(image, "tiny_cnn"),
        calls.compare(image)["models"]["tiny_cnn"],
    ):
        assert one["gate"] == "strange"
        assert [one[key] for key in ("label", "name", "probabilities")] == [None] * 3
    insisted = page.show_anyway(image, "tiny_cnn", "gradcam", "inferno")
    assert says_a_diagnosis(insisted[VERDICT])
    assert (insisted[ANYWAY]["visible"], insisted[DETAILS]["visible"]) == (False, True)


def test_a_blank_image_has_its_own_sentence(page):
    shown = page.show(Image.new("RGB", (60, 40), "tan"), "tiny_cnn")
    assert "The image is blank" in shown[VERDICT]
    assert not says_a_diagnosis(shown[VERDICT])


def test_the_comparison_shows_each_model_and_whether_they_agree(page, classifiers, lesion):
    shown = page.compare_models(load_image(lesion), "mel")
    for name, classifier in classifiers.items():
        label = CODES[classifier.predict([load_image(lesion)])[0].argmax()]
        assert f'data-model="{name}" data-label="{label}"' in shown
    assert shown.count("Heatmap of ") == len(classifiers)
    assert "Agreement of the heatmaps: " in shown


def test_a_batch_can_start_when_there_are_files_and_says_how_many(page, lesion, tmp_path):
    from uploads import UploadedFile

    assert page.list_batch(None)[0]["interactive"] is False
    button, said = page.list_batch([UploadedFile("a.png", lesion), UploadedFile("b.png", lesion)])
    assert button["interactive"]
    assert "2 images ready." in said
    many = [UploadedFile(f"{number}.png", lesion) for number in range(201)]
    button, said = page.list_batch(many)
    assert not button["interactive"]
    assert "More than 200 images at once." in said


def test_nothing_is_kept_counted_or_monitored(page_url):
    config = httpx.get(f"{page_url}/config").json()
    assert config["analytics_enabled"] is False
    assert not config.get("run_history")
    assert httpx.get(f"{page_url}/monitoring").status_code >= 400


def test_a_link_to_the_page_is_previewed_with_its_own_words(page_url):
    page = httpx.get(page_url).text
    heads = re.findall(r'<meta (?:property|name)="(?:og|twitter):title" content="([^"]*)"', page)
    assert heads == ["Skin lesion classifier"] * 2
    assert "Click to try out the app" not in page
    assert "header-image.jpg" not in page


def test_the_api_pages_snippet_names_a_local_file(page_url):
    info = httpx.get(f"{page_url}/gradio_api/info").json()["named_endpoints"]
    for name in ("/classify", "/explain", "/compare"):
        image = info[name]["parameters"][0]
        assert image["example_input"]["path"] == "lesion.jpg"


def test_drawn_only_models_are_announced_together_or_one_by_one(classifiers, page_url):
    from app import build_demo

    drawn = {name: copy.copy(classifier) for name, classifier in classifiers.items()}
    for classifier in drawn.values():
        classifier.record = {"dataset": {"synthetic": True}}
    texts = str([block.get_config() for block in build_demo(drawn).blocks.values()])
    assert "These models were trained on drawn lesions only:" in texts
    assert "drawn lesions only" not in str(page_of(**drawn).model_choices())
    drawn["tiny_cnn"].record = {}
    assert ("tiny_resnet · drawn lesions only", "tiny_resnet") in page_of(**drawn).model_choices()
    assert "drawn lesions only" not in httpx.get(f"{page_url}/config").text
