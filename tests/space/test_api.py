"""API endpoints through gradio_client: the same results as from the classifier."""

import re

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from space.http_calls import call, upload

from hf_lesion.explain.agreement import compare_maps
from hf_lesion.explain.overlay import overlay
from hf_lesion.io.decoding import load_image
from hf_lesion.labels import CODES, NAMES


def drawn(classifier, image, heatmap, code):
    """Return the overlay as the page draws it: 768 pixels long, smooth between the cells."""
    large = image.resize((768, round(768 * image.height / image.width)), Image.Resampling.LANCZOS)
    probability = classifier.predict([image])[0][CODES.index(code)]
    cells = classifier(image).traces[0].activation.shape[-2:]
    opacity = 0.4 if probability < 0.01 else 0.75
    return overlay(large, heatmap, opacity=opacity, grid=tuple(cells))


def refusal(client, file, **more):
    """Return the message of a refused call, which must give nothing of this machine away."""
    with pytest.raises(AppError) as caught:
        client.predict(image=handle_file(file), **more)
    message = str(caught.value)
    assert "Traceback" not in message
    assert str(file.parent) not in message
    assert "/gradio" not in message
    return message


@pytest.mark.parametrize("model", ["tiny_cnn", "tiny_resnet"])
def test_classify_gives_the_probabilities_of_predict(client, classifiers, lesion, model):
    result = client.predict(image=handle_file(lesion), model=model, api_name="/classify")
    expected = classifiers[model].predict([load_image(lesion)])[0]
    assert tuple(result["probabilities"]) == CODES
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(list(result["probabilities"].values()), expected, atol=1e-5)
    assert result["label"] == CODES[expected.argmax()]
    assert result["name"] == NAMES[result["label"]]


def test_classify_without_a_model_asks_the_first(client, lesion):
    without = client.predict(image=handle_file(lesion), api_name="/classify")
    first = client.predict(image=handle_file(lesion), model="tiny_cnn", api_name="/classify")
    assert without == first


@pytest.mark.parametrize("model", ["tiny_cnn", "tiny_resnet"])
def test_explain_gives_the_overlay_of_the_class(client, classifiers, lesion, model):
    image = load_image(lesion)
    code = "df"
    picture, result = client.predict(
        image=handle_file(lesion), model=model, target=code, api_name="/explain"
    )
    heatmap = classifiers[model].explain([image], [code]).heatmaps[0]
    assert heatmap.max() == pytest.approx(1)
    expected = drawn(classifiers[model], image, heatmap, code)
    difference = np.asarray(Image.open(picture), int) - np.asarray(expected, int)
    assert np.abs(difference).max() <= 1
    assert result["target"] == code
    assert result["notice"] == ""


def test_explain_takes_the_predicted_class_unless_told(client, lesion):
    _picture, result = client.predict(image=handle_file(lesion), api_name="/explain")
    assert result["target"] == result["label"]


def test_only_three_calls_are_public_and_all_are_described(client):
    calls = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(calls) == {"/classify", "/explain", "/compare"}
    names = {
        name: [p["parameter_name"] for p in call["parameters"]] for name, call in calls.items()
    }
    assert names == {
        "/classify": ["image", "model"],
        "/explain": ["image", "model", "target", "method"],
        "/compare": ["image", "target"],
    }
    assert all("not a medical device" in call["description"] for call in calls.values())


@pytest.mark.parametrize("name", ["/show", "/pick", "/explain_again", "/run"])
def test_the_page_own_calls_are_closed_to_clients(client, name):
    with pytest.raises(ValueError, match="Cannot find a function with `api_name`"):
        client.predict(api_name=name)


def test_a_model_that_is_not_there_is_refused(client, lesion):
    message = refusal(client, lesion, model="../secret", api_name="/classify")
    assert message == ("Unknown model '../secret'; expected one of tiny_cnn, tiny_resnet.")


def test_a_class_that_is_not_there_is_refused(client, lesion):
    codes = ", ".join(CODES)
    for name in ("/explain", "/compare"):
        message = refusal(client, lesion, target="cold", api_name=name)
        assert message == (f"Unknown class 'cold'; expected one of predicted, runner-up, {codes}.")


def test_no_image_is_refused(client):
    with pytest.raises(AppError, match=r"^Expected an image, got none\.$"):
        client.predict(image=None, api_name="/classify")


@pytest.mark.parametrize("method", ["gradcam++", "layercam", "eigencam"])
def test_explain_takes_another_method(client, classifiers, lesion, method):
    image = load_image(lesion)
    picture, _ = client.predict(
        image=handle_file(lesion),
        model="tiny_cnn",
        target="mel",
        method=method,
        api_name="/explain",
    )
    heatmap = classifiers["tiny_cnn"].explain([image], ["mel"], method).heatmaps[0]
    expected = drawn(classifiers["tiny_cnn"], image, heatmap, "mel")
    difference = np.asarray(Image.open(picture), int) - np.asarray(expected, int)
    assert np.abs(difference).max() <= 1


def test_compare_gives_every_model_and_their_agreement(client, classifiers, lesion):
    result = client.predict(image=handle_file(lesion), target="bkl", api_name="/compare")
    image = load_image(lesion)
    assert set(result["models"]) == set(classifiers)
    maps = {}
    for name, classifier in classifiers.items():
        found = classifier.explain([image], ["bkl"])
        values = list(result["models"][name]["probabilities"].values())
        np.testing.assert_allclose(values, found.probabilities[0], atol=1e-5)
        maps[name] = found.heatmaps[0]
    (agreement,) = result["agreement"]
    expected = compare_maps(*(maps[name] for name in agreement["models"]))
    assert agreement["pearson"] == pytest.approx(expected.pearson, abs=1e-5)
    assert agreement["iou"] == pytest.approx(expected.iou, abs=1e-5)
    assert agreement["apart"] == expected.is_apart


def test_compare_without_an_image_is_refused(client):
    with pytest.raises(AppError, match=r"^Expected an image, got none\.$"):
        client.predict(image=None, api_name="/compare")


def test_a_method_that_is_not_there_is_refused(client, lesion):
    message = refusal(client, lesion, method="tea leaves", api_name="/explain")
    assert message == (
        "Unknown method 'tea leaves'; expected one of gradcam, gradcam++, hirescam, layercam, "
        "eigencam."
    )


@pytest.mark.parametrize("wrong", [None, 7, True, ["tiny_cnn"], {"a": 1}, "x" * 999])
def test_a_choice_of_any_other_kind_is_refused_in_words(page_url, lesion, wrong):
    path = upload(page_url, "lesion.png", lesion.read_bytes())
    image = {"path": path, "meta": {"_type": "gradio.FileData"}}
    for name, data in (
        ("classify", [image, wrong]),
        ("explain", [image, "tiny_cnn", wrong, "gradcam"]),
        ("explain", [image, "tiny_cnn", "mel", wrong]),
        ("compare", [image, wrong]),
    ):
        event, found = call(page_url, name, data)
        assert event == "error"
        assert re.match(r"Unknown (model|class|method) .{1,61}; expected one of ", found["error"])
