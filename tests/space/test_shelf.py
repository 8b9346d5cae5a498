"""Models that are loaded behind the page: waited for, left out, or averaged."""

import threading

import numpy as np
import pytest
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.labels import CODES

WAIT = 20
TOKEN = (
    "The Hub rejects your token (HTTP 401): it is expired, revoked or mistyped. It is read from "
    "the file /home/ada/.cache/huggingface/token. Run `hf auth login`."
)


@pytest.fixture
def entries(model_folders):
    from catalogue import read_entries

    return read_entries(model_folders)[0]


def test_who_asks_before_a_model_is_loaded_waits_for_it(entries, classifiers):
    from shelf import Shelf

    may_load = threading.Event()

    def load(entry):
        may_load.wait(WAIT)
        return classifiers[entry.name]

    shelf = Shelf(entries, load=load)
    shelf.start()
    found = []
    asking = threading.Thread(target=lambda: found.append(shelf.get("tiny_cnn")))
    asking.start()
    asking.join(0.1)
    assert asking.is_alive()
    may_load.set()
    asking.join(WAIT)
    assert found == [{"tiny_cnn": classifiers["tiny_cnn"]}]


def test_one_that_cannot_be_loaded_is_said_and_the_others_are_served(entries, classifiers):
    from shelf import Shelf

    lines = []

    def load(entry):
        if entry.name == "tiny_cnn":
            raise RuntimeError("two\nlines")
        return classifiers[entry.name]

    shelf = Shelf(entries, load=load, say=lines.append)
    shelf.load()
    assert lines == [f"{shelf.entries['tiny_cnn'].source} is left out: RuntimeError: two lines"]
    assert shelf.choices() == ["tiny_resnet"]
    assert list(shelf.all()) == ["tiny_resnet"]
    with pytest.raises(InputError, match="The model tiny_cnn can't be used"):
        shelf.get("tiny_cnn")


def test_what_is_left_out_is_told_to_visitors_without_places_of_this_machine(entries, classifiers):
    from shelf import Shelf

    reasons = {"tiny_cnn": InputError("{0}/x is damaged."), "tiny_resnet": OSError("{0} is odd")}

    def load(entry):
        error = reasons[entry.name]
        raise type(error)(str(error).format(entry.source))

    lines = [
        "/home/ada/half is left out: /home/ada/half/x is half copied.",
        "me/a@1a2b3c4: commit 1a2b3c4",
        f"me/b is left out: No. {TOKEN}",
    ]
    shelf = Shelf(entries, lines=lines, load=load, say=lambda line: None)
    shelf.load()
    assert sorted(shelf.left_out) == [
        "b is left out: No. The Hub rejects your token (HTTP 401): it is expired, revoked or "
        "mistyped.",
        "half is left out: half/x is half copied.",
        "tiny_cnn is left out: tiny_cnn/x is damaged.",
        "tiny_resnet is left out: its files are damaged.",
    ]


def test_what_takes_too_long_is_said(entries, classifiers, monkeypatch):
    import shelf as module

    monkeypatch.setattr(module, "LONGEST_WAIT", 0.01)
    with pytest.raises(InputError, match=r"is still being loaded\. Try again in a few seconds\."):
        module.Shelf(entries).get("tiny_cnn")


def test_a_model_that_is_not_there_is_named(classifiers):
    from shelf import Shelf

    with pytest.raises(InputError, match=r"There is no model '\.\./x' here; there are tiny_cnn, "):
        Shelf.of(classifiers).get("../x")


def test_one_model_alone_is_no_ensemble(classifiers):
    from shelf import Shelf

    assert Shelf.of({"tiny_cnn": classifiers["tiny_cnn"]}).choices() == ["tiny_cnn"]


def test_the_ensemble_averages_answers_and_maps(classifiers, lesion):
    from answers import build_answer
    from intake import Picture
    from shelf import Shelf

    image = Image.open(lesion)
    reading = Shelf.of(classifiers).read("ensemble", Picture.of(image))
    answer = build_answer(reading)
    parts = [one.explain_classes([image]) for one in classifiers.values()]
    mean = np.mean([part.probabilities[0] for part in parts], axis=0)
    assert answer.target == CODES[mean.argmax()]
    np.testing.assert_allclose(reading.opinion.scores, mean, atol=1e-6)
    maps = np.mean([part.heatmaps[0, mean.argmax()] for part in parts], axis=0)
    np.testing.assert_allclose(answer.heatmap, maps / maps.max(), atol=1e-5)
