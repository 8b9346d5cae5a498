"""Models from a Hub over HTTP: whole and checked, or refused; kept for when the Hub is gone."""

import json
import shutil
import time

import pytest
from hub import local_hub
from huggingface_hub import constants

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.hub.client import find_target
from hf_lesion.io.checksums import write_manifest
from hf_lesion.models.build import build_model
from hf_lesion.models.snapshot import open_snapshot
from hf_lesion.synthetic.lesions import draw_lesion

MODEL = "me/model"
WEIGHTS = "resolve/.*safetensors"


@pytest.fixture
def folder(tmp_path):
    """A folder that looks like a model; nothing here loads it."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"mean": 0.5}))
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 2000)
    (folder / "code.py").write_text("raise SystemExit")
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    write_manifest(folder)
    return folder


@pytest.fixture
def first(near, folder):
    return near.offer(MODEL, folder, private=True)


def same(snapshot, folder):
    names = ("config.json", "model.safetensors")
    return all((snapshot.folder / n).read_bytes() == (folder / n).read_bytes() for n in names)


def refusal(source=MODEL):
    with pytest.raises(InputError) as caught:
        open_snapshot(source)
    return str(caught.value)


def test_a_pinned_commit_is_fetched_without_code_and_only_once(near, folder, first):
    snapshot = open_snapshot(MODEL)
    assert same(snapshot, folder)
    assert (snapshot.name, snapshot.revision) == (MODEL, first)
    assert not (snapshot.folder / "code.py").exists()
    (folder / "config.json").write_text(json.dumps({"mean": 0.6}))
    write_manifest(folder)
    second = near.offer(MODEL, folder)
    assert open_snapshot(MODEL).revision == second
    near.heal()
    snapshot = open_snapshot(f"{MODEL}@{first}")
    assert snapshot.revision == open_snapshot(MODEL, revision=first).revision == first
    assert json.loads((snapshot.folder / "config.json").read_text())["mean"] == 0.5
    assert near.asked == []
    (snapshot.folder / "model.safetensors").unlink()  # as after an interrupted download
    assert (open_snapshot(f"{MODEL}@{first}").folder / "model.safetensors").is_file()


@pytest.mark.parametrize("fault", [local_hub.answer(503), local_hub.hang_up()])
def test_a_hub_that_fails_is_replaced_by_the_cache_and_without_one_named_at_once(
    near, folder, first, fault
):
    near.spoil("GET|HEAD", "", fault, times=99)
    start = time.monotonic()
    assert refusal().startswith("The model me/model could not be fetched from the Hub (")
    near.heal()
    open_snapshot(MODEL)
    near.spoil("GET|HEAD", "", fault, times=99)
    assert same(open_snapshot(MODEL), folder)
    assert time.monotonic() - start < 4


def test_a_hub_that_does_not_answer_is_given_up_in_seconds(near, first, monkeypatch):
    monkeypatch.setattr("hf_lesion.models.snapshot.SECONDS", 0.3)
    near.spoil("GET|HEAD", "", local_hub.wait(5), times=99)
    start = time.monotonic()
    assert "from the Hub (no answer in 0.3 seconds)" in refusal()
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("fault", [local_hub.answer(500), local_hub.cut(0.3)])
def test_a_download_that_fails_is_finished_by_the_next_run(near, folder, first, fault, hurry):
    near.spoil("GET", WEIGHTS, fault, times=99)
    text = refusal()
    assert text.startswith("The model me/model could not be fetched whole from the Hub")
    assert text.endswith("Run it again: what was fetched is kept.")
    near.heal()
    assert same(open_snapshot(MODEL), folder)
    assert not any("config.json" in line for line in near.asked if line.startswith("GET"))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_wrong_bytes_are_refused_and_fetched_again(near, folder, first, name):
    near.spoil("GET", f"resolve/.*{name}", local_hub.flip())
    assert refusal() == (
        f"me/model is not what its SHA256SUMS says: {name} is different. It is refused. What is "
        "damaged was removed from the cache: run it again to fetch that anew."
    )
    assert same(open_snapshot(MODEL), folder)


def test_a_damaged_copy_in_the_cache_is_refused_without_a_network(near, folder, first):
    weights = open_snapshot(MODEL).folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    near.spoil("GET|HEAD", "", local_hub.answer(503), times=99)
    assert "model.safetensors is different. It is refused" in refusal()
    assert "could not be fetched from the Hub (HTTP 503)" in refusal()
    near.heal()
    assert same(open_snapshot(MODEL), folder)


@pytest.mark.parametrize(
    ("token", "source", "text"),
    [
        ("hf_me", "me/none", "There is no model me/none on the Hub, or it is private"),
        ("hf_other", MODEL, "There is no model me/model on the Hub, or it is private"),
        ("", MODEL, "and you are not logged in: run `hf auth login`, or set HF_TOKEN"),
        ("hf_me", f"{MODEL}@v9", "The model me/model has no revision v9"),
        ("hf_me", "me/a--b", "me/a--b is not a Hub id such as owner/name"),
    ],
)
def test_a_model_that_is_not_available_is_explained(first, monkeypatch, token, source, text):
    monkeypatch.setenv("HF_TOKEN", token)
    assert text in refusal(source)


def test_a_gated_model_says_so(near, first):
    gated = local_hub.answer(403, "Access is restricted", X_Error_Code="GatedRepo")
    near.spoil("GET", "/api/models", gated)
    assert "is gated. Request it on the model's page on the Hub" in refusal()


REJECTED = (
    "The Hub rejects your token (HTTP 401): it is expired, revoked or mistyped. It is read from "
)


@pytest.mark.parametrize("place", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "file"])
def test_a_rejected_token_is_named_with_its_place(near, first, monkeypatch, tmp_path, place):
    monkeypatch.delenv("HF_TOKEN")
    if place == "file":
        file = tmp_path / "token"
        file.write_text("hf_wrong")
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(file))
        said = f"the file {file}. Run `hf auth login`, or `hf auth logout`: what is public needs"
    else:
        monkeypatch.setenv(place, "hf_wrong")
        said = f"the environment variable {place}. Set it to a new one from https://"
    assert f"The model {MODEL} could not be fetched from the Hub. {REJECTED}{said}" in refusal()


def test_a_token_that_expires_or_lacks_a_right_is_named(near, first, hurry):
    near.spoil("GET", "/api/models", local_hub.answer(403, "Token lacks  the scope"))
    assert "Your token does not allow this (HTTP 403): 'Token lacks the scope'. It is" in refusal()
    # huggingface_hub raises RepositoryNotFoundError.
    near.spoil("GET", f"/api/models|{WEIGHTS}", local_hub.answer(401, "Token is expired"))
    assert REJECTED in refusal()
    near.spoil("GET", WEIGHTS, local_hub.answer(401, "Token is expired"), times=99)
    assert f"could not be fetched whole from the Hub. {REJECTED}" in refusal()


def test_a_rejected_token_falls_back_to_the_cache_with_a_warning(
    near, folder, first, monkeypatch, caplog
):
    open_snapshot(MODEL)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert same(open_snapshot(MODEL), folder)
    assert REJECTED in caplog.text
    assert "The copy in the cache is used." in caplog.text
    with pytest.raises(InputError, match=r"fetched from the Hub .The Hub rejects your"):
        build_model("test_resnet.r160_in1k", pretrained=True)
    for kind in ("model", "dataset", "space"):
        with pytest.raises(InputError, match=r"^The Hub rejects your token"):
            find_target("me/one", kind)


def test_a_classifier_from_the_hub_knows_its_commit_and_name(near, tiny_cnn_model, tmp_path):
    commit = near.offer("me/cnn", tiny_cnn_model)
    classifier = LesionClassifier.from_pretrained("me/cnn", revision="main")
    assert (classifier.name, classifier.revision) == ("me/cnn", commit)
    image = draw_lesion("nv", seed=0)[0]
    expected = LesionClassifier.from_pretrained(tiny_cnn_model)
    assert expected.revision is None
    assert (classifier.predict([image]) == expected.predict([image])).all()
    folder = shutil.copytree(tiny_cnn_model, tmp_path / "other")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"mel"', '"melanoma"'))
    near.offer("me/other", folder)
    with pytest.raises(InputError, match=r"^me/other has the classes akiec, .*, melanoma, nv"):
        LesionClassifier.from_pretrained("me/other")
