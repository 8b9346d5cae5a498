"""API documentation: docstrings and README match what the endpoints return."""

import re
from pathlib import Path

import pytest

from hf_lesion.io.decoding import load_image
from hf_lesion.labels import CODES

README = Path(__file__).resolve().parents[2] / "space" / "README.md"


@pytest.fixture(scope="module")
def calls(page):
    from api import Api

    return Api(page.registry)


@pytest.fixture(scope="module")
def image(lesion):
    return load_image(lesion)


def fields(call):
    """Return the fields that a call's docstring names: quoted, and with a colon behind."""
    return re.findall(r'"(\w+)":', call.__doc__.split("Returns:")[1])


def test_classify_returns_what_it_says(calls, image):
    found = calls.classify(image, "tiny_cnn")
    assert fields(calls.classify) == list(found)
    assert set(found["probabilities"]) == set(CODES)
    assert found["gate"] in {"accepted", "strange", "unsure", "unjudged"}
    assert f'"{found["gate"]}"' in calls.classify.__doc__
    assert found["gate_sentence"]
    for name in ("right_in_test", "melanoma_flagged"):
        assert found[name] is None  # not measured for this model


def test_explain_returns_what_classify_does_and_what_it_says(calls, image):
    _picture, found = calls.explain(image, "tiny_cnn", "df")
    assert fields(calls.explain) == ["target", "notice"]
    assert list(found) == [*calls.classify(image, "tiny_cnn"), "target", "notice"]
    assert found["target"] == "df"


def test_compare_returns_what_explain_does_for_each_model(calls, image, classifiers):
    found = calls.compare(image, "df")
    said = fields(calls.compare)
    assert said[:2] == list(found) == ["models", "agreement"]
    assert said[2:] == list(found["agreement"][0]) == ["models", "pearson", "iou", "apart"]
    assert set(found["models"]) == set(classifiers)
    for name, one in found["models"].items():
        assert one == calls.explain(image, name, "df")[1]


def test_the_readme_names_every_field(calls, image):
    text = README.read_text(encoding="utf-8")
    found = calls.compare(image, "df")
    explained = next(iter(found["models"].values()))
    for name in (*found, *found["agreement"][0], *explained):
        assert f"`{name}`" in text, name


def test_the_readme_says_of_every_file_of_the_folder_what_it_does():
    names = {file.name for file in README.parent.glob("[!.]*.*") if file.is_file()} - {README.name}
    table = README.read_text(encoding="utf-8").split("| file |")[1].split("\n\n")[0]
    named = set(re.findall(r"`([^`]+)`", table))
    assert names == {name for name in named if "/" not in name}
    folders = {f"{file.name}/" for file in README.parent.glob("[!._]*") if file.is_dir()}
    assert folders == {name for name in named if name.endswith("/")}
