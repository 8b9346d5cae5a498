"""API: the classifier's results through gradio_client, and documented as they are returned."""

import re
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from space.http_calls import HTTP
from space.running import SPACE

from hf_lesion.explain.agreement import compare_maps
from hf_lesion.explain.overlay import overlay
from hf_lesion.io.decoding import load_image
from hf_lesion.labels import CODES, NAMES

README = SPACE / "README.md"
METHODS = "gradcam, gradcam++, hirescam, layercam, eigencam"


def drawn(classifier, image, heatmap, code):
    """Return the overlay as the page draws it: 768 pixels long, smooth between the cells."""
    large = image.resize((768, round(768 * image.height / image.width)), Image.Resampling.LANCZOS)
    probability = classifier.predict([image])[0][CODES.index(code)]
    cells = classifier(image).traces[0].activation.shape[-2:]
    opacity = 0.4 if probability < 0.01 else 0.75
    return overlay(large, heatmap, opacity=opacity, grid=tuple(cells))


@pytest.mark.parametrize("model", ["tiny_cnn", "tiny_resnet"])
def test_classify_gives_the_probabilities_of_predict(client, classifiers, lesion, model):
    result = client.predict(image=handle_file(lesion), model=model, api_name="/classify")
    expected = classifiers[model].predict([load_image(lesion)])[0]
    assert tuple(result["probabilities"]) == CODES
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(list(result["probabilities"].values()), expected, atol=1e-5)
    assert result["label"] == CODES[expected.argmax()]
    assert result["name"] == NAMES[result["label"]]
    assert result["right_in_test"] is result["melanoma_flagged"] is None  # not measured
    without = client.predict(image=handle_file(lesion), api_name="/classify")
    assert (without == result) == (model == "tiny_cnn")


@pytest.mark.parametrize(
    ("model", "method"), [("tiny_resnet", "gradcam"), ("tiny_cnn", "layercam")]
)
def test_explain_gives_the_overlay_of_the_class(client, classifiers, lesion, model, method):
    image, code = load_image(lesion), "df"
    picture, result = client.predict(
        image=handle_file(lesion), model=model, target=code, method=method, api_name="/explain"
    )
    heatmap = classifiers[model].explain([image], [code], method).heatmaps[0]
    assert heatmap.max() == pytest.approx(1)
    expected = drawn(classifiers[model], image, heatmap, code)
    difference = np.asarray(Image.open(picture), int) - np.asarray(expected, int)
    assert np.abs(difference).max() <= 1
    assert (result["target"], result["notice"]) == (code, "")
    _picture, result = client.predict(image=handle_file(lesion), model=model, api_name="/explain")
    assert result["target"] == result["label"]


def test_no_two_responses_share_a_file(client, lesion):
    asked = {"image": handle_file(lesion), "model": "tiny_resnet", "api_name": "/explain"}
    # The client's folders, like the server's, are named after what they contain.
    first, second = (Path(client.predict(**asked)[0]) for _ in range(2))
    assert first.parent != second.parent
    assert Image.open(first).tobytes() == Image.open(second).tobytes()


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


def test_only_three_calls_are_public_and_all_are_described(client, page_url):
    calls = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    names = {
        name: [p["parameter_name"] for p in call["parameters"]] for name, call in calls.items()
    }
    assert names == {
        "/classify": ["image", "model"],
        "/explain": ["image", "model", "target", "method"],
        "/compare": ["image", "target"],
    }
    assert all("not a medical device" in call["description"] for call in calls.values())
    with pytest.raises(ValueError, match="Cannot find a function with `api_name`"):
        client.predict(api_name="/show")
    # The API page's own code for them names a local file.
    info = HTTP.get(f"{page_url}/gradio_api/info").json()["named_endpoints"]
    assert {info[name]["parameters"][0]["example_input"]["path"] for name in names} == {
        "lesion.jpg"
    }


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("classify", {"model": "../b"}, "Unknown model '../b'; expected one of tiny_cnn, tiny_re"),
        ("explain", {"target": "cold"}, "Unknown class 'cold'; expected one of predicted, runner-"),
        ("explain", {"method": "tea"}, f"Unknown method 'tea'; expected one of {METHODS}."),
        ("compare", {"target": "<b>"}, "Unknown class '&lt;b&gt;'; expected one of predicted, "),
        ("compare", {"image": None}, "Expected an image, got none."),
    ],
)
def test_what_is_not_there_is_refused_in_words(client, lesion, name, options, message):
    with pytest.raises(AppError) as caught:
        client.predict(**{"image": handle_file(lesion), **options}, api_name=f"/{name}")
    assert str(caught.value).startswith(message)


def test_docstrings_and_readme_name_every_field(page, image, classifiers):
    from api import Api

    calls = Api(page.registry)

    def said(call):
        """Return the fields that a docstring names: quoted, and with a colon behind."""
        return re.findall(r'"(\w+)":', call.__doc__.split("Returns:")[1])

    classified = calls.classify(image, "tiny_cnn")
    _picture, explained = calls.explain(image, "tiny_cnn", "df")
    compared = calls.compare(image, "df")
    assert said(calls.classify) == list(classified)
    assert f'"{classified["gate"]}"' in calls.classify.__doc__
    assert list(explained) == [*classified, *said(calls.explain)]
    assert said(calls.compare) == [*compared, *compared["agreement"][0]]
    assert set(compared["models"]) == set(classifiers)
    assert compared["models"]["tiny_cnn"] == explained
    text = README.read_text(encoding="utf-8")
    for name in (*compared, *compared["agreement"][0], *explained):
        assert f"`{name}`" in text, name


def test_the_readme_says_of_every_file_of_the_folder_what_it_does():
    names = {file.name for file in SPACE.glob("[!.]*.*") if file.is_file()} - {README.name}
    table = README.read_text(encoding="utf-8").split("| file |")[1].split("\n\n")[0]
    named = set(re.findall(r"`([^`]+)`", table))
    assert names == {name for name in named if "/" not in name}
    folders = {f"{file.name}/" for file in SPACE.glob("[!._]*") if file.is_dir()}
    assert folders == {name for name in named if name.endswith("/")}
