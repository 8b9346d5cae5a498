"""Models from a Hub over HTTP: whole and checked, or refused; kept for when the Hub is gone."""

import json
import shutil
import socket
import time

import pytest
from hub import local_hub
from hub.conftest import serving
from huggingface_hub import constants

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.hub.client import find_target
from hf_lesion.io.checksums import write_manifest
from hf_lesion.models.build import build_model
from hf_lesion.models.snapshot import open_snapshot
from hf_lesion.synthetic.lesions import draw_lesion

MODEL = "me/model"


@pytest.fixture
def folder(tmp_path):
    """What looks like a model; nothing here loads it."""
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
    return near.offer(MODEL, folder)


def same(snapshot, folder):
    names = ("config.json", "model.safetensors")
    return all((snapshot.folder / n).read_bytes() == (folder / n).read_bytes() for n in names)


def test_what_loading_needs_is_fetched_and_the_commit_is_known(near, folder, first):
    snapshot = open_snapshot(MODEL)
    assert same(snapshot, folder)
    assert (snapshot.name, snapshot.revision) == (MODEL, first)
    assert not (snapshot.folder / "code.py").exists()


def test_a_pinned_commit_is_honoured_and_asks_nobody_once_it_is_here(near, folder, first):
    (folder / "config.json").write_text(json.dumps({"mean": 0.6}))
    write_manifest(folder)
    second = near.offer(MODEL, folder)
    assert json.loads((open_snapshot(MODEL).folder / "config.json").read_text())["mean"] == 0.6
    for pinned in (f"{MODEL}@{first}", f"{MODEL}@{first}"):
        snapshot = open_snapshot(pinned)
        assert snapshot.revision == first != second
        assert json.loads((snapshot.folder / "config.json").read_text())["mean"] == 0.5
    near.heal()
    open_snapshot(MODEL, revision=first)
    assert near.asked == []


@pytest.mark.parametrize(
    "fault",
    [local_hub.answer(503), local_hub.answer(429), local_hub.answer(500), local_hub.hang_up()],
)
def test_a_cached_copy_does_when_the_hub_does_not(near, folder, first, fault):
    open_snapshot(MODEL)
    near.spoil("GET|HEAD", "", fault, times=99)
    start = time.monotonic()
    assert same(open_snapshot(MODEL), folder)
    assert time.monotonic() - start < 2


def test_without_a_copy_an_absent_hub_is_one_line_at_once(near, first):
    near.spoil("GET|HEAD", "", local_hub.answer(503), times=99)
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        open_snapshot(MODEL)
    assert time.monotonic() - start < 2
    assert str(caught.value) == (
        "The model me/model could not be fetched from the Hub (HTTP 503), and there is no folder "
        "of that name. Pass the folder of a local copy."
    )


def test_a_hub_that_does_not_answer_is_given_up_in_seconds(near, first, monkeypatch):
    monkeypatch.setattr("hf_lesion.models.snapshot.SECONDS", 0.3)
    near.spoil("GET|HEAD", "", local_hub.wait(5), times=99)
    start = time.monotonic()
    with pytest.raises(InputError, match=r"from the Hub \(no answer in 0.3 seconds\)"):
        open_snapshot(MODEL)
    assert time.monotonic() - start < 2


def test_a_hub_whose_many_addresses_drop_all_packets_is_given_up_as_soon(near, first, monkeypatch):
    monkeypatch.setattr("hf_lesion.models.snapshot.SECONDS", 0.5)
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = full.getsockname()
    with full, socket.create_connection(address):
        # The one place in the queue is taken: whoever connects now waits, as behind a firewall.
        one = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: [one] * 8)
        start = time.monotonic()
        with pytest.raises(InputError, match=r"from the Hub \(no answer in 0.5 seconds\)"):
            open_snapshot(MODEL)
        assert time.monotonic() - start < 2


def test_a_download_that_is_cut_goes_on_where_it_stopped(near, folder, first):
    near.spoil("GET", "resolve/.*safetensors", local_hub.cut(0.5))
    assert same(open_snapshot(MODEL), folder)
    assert sum("GET /me/model/resolve" in line and "safetensors" in line for line in near.asked) > 1


@pytest.mark.parametrize(
    "fault",
    [
        local_hub.answer(404),
        local_hub.answer(429),
        local_hub.answer(500),
        local_hub.cut(0.3),
        local_hub.hang_up(),
    ],
)
def test_a_download_that_fails_for_good_is_one_line_and_the_next_run_ends_it(
    near, folder, first, fault, hurry
):
    near.spoil("GET", "resolve/.*safetensors", fault, times=99)
    with pytest.raises(InputError) as caught:
        open_snapshot(MODEL)
    assert str(caught.value).startswith("The model me/model could not be fetched whole from the")
    assert str(caught.value).endswith("Run it again: what was fetched is kept.")
    near.heal()
    assert same(open_snapshot(MODEL), folder)
    assert not any("config.json" in line for line in near.asked if line.startswith("GET"))


def test_a_hub_that_goes_away_midway_and_comes_back(near, folder, first, hurry):
    near.spoil("GET", "resolve/.*safetensors", local_hub.go_away())
    with pytest.raises(InputError, match="could not be fetched whole from the Hub"):
        open_snapshot(MODEL)
    with serving(port=near.server_port) as back:
        back.repos = near.repos
        assert same(open_snapshot(MODEL), folder)


def test_slow_answers_are_waited_for(near, folder, first):
    near.spoil("GET|HEAD", "", local_hub.wait(0.05), times=99)
    assert same(open_snapshot(MODEL), folder)


def test_a_model_that_asks_for_consent_says_so(near, first):
    gated = local_hub.answer(403, "Access is restricted", X_Error_Code="GatedRepo")
    near.spoil("GET", "/api/models", gated)
    with pytest.raises(InputError, match=r"asks for consent first: give it on its page on the Hub"):
        open_snapshot(MODEL)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_wrong_bytes_are_refused_and_fetched_anew(near, folder, first, name):
    near.spoil("GET", f"resolve/.*{name}", local_hub.flip())
    with pytest.raises(InputError) as caught:
        open_snapshot(MODEL)
    assert str(caught.value) == (
        f"me/model is not what its SHA256SUMS says: {name} is different. It is refused. What is "
        "damaged was removed from the cache: run it again to fetch that anew."
    )
    assert same(open_snapshot(MODEL), folder)


def test_a_copy_that_was_tampered_with_is_refused_without_a_network_too(near, folder, first):
    weights = open_snapshot(MODEL).folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    near.spoil("GET|HEAD", "", local_hub.answer(503), times=99)
    with pytest.raises(InputError, match=r"model\.safetensors is different\. It is refused"):
        open_snapshot(MODEL)
    with pytest.raises(InputError, match=r"could not be fetched from the Hub \(HTTP 503\)"):
        open_snapshot(MODEL)
    near.heal()
    assert same(open_snapshot(MODEL), folder)


def test_a_half_fetched_commit_is_completed(near, folder, first):
    (open_snapshot(MODEL).folder / "model.safetensors").unlink()
    assert same(open_snapshot(MODEL, revision=first), folder)


@pytest.mark.parametrize(
    ("token", "private", "source", "text"),
    [
        ("hf_me", False, "me/none", "There is no model me/none on the Hub, or it is private"),
        ("hf_other", True, MODEL, "There is no model me/model on the Hub, or it is private"),
        ("", True, MODEL, "and you are not logged in: run `hf auth login`, or set HF_TOKEN"),
        ("hf_me", True, f"{MODEL}@v9", "The model me/model has no revision v9"),
        ("hf_me", True, "me/a--b", "me/a--b is not a Hub id such as owner/name"),
    ],
)
def test_what_cannot_be_had_is_said(near, folder, monkeypatch, token, private, source, text):
    near.offer(MODEL, folder, private=private)
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(InputError, match=text):
        open_snapshot(source)


EXPIRED = 'User Access Token "mine" is expired'
REJECTED = (
    "The Hub rejects your token (HTTP 401): it is expired, revoked or mistyped. It is read from "
)
RENEW = (
    "Set it to a new one from https://huggingface.co/settings/tokens, or unset it: what is public "
    "needs none."
)


class TestTokens:
    @pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
    def test_one_that_nobody_knows_is_named_with_its_place(
        self, near, first, monkeypatch, variable
    ):
        monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setenv(variable, "hf_wrong")
        with pytest.raises(InputError) as caught:
            open_snapshot(MODEL)
        assert str(caught.value) == (
            f"The model {MODEL} could not be fetched from the Hub. {REJECTED}the environment "
            f"variable {variable}. {RENEW}"
        )

    def test_one_from_a_file_is_named_with_the_file(self, near, first, monkeypatch, tmp_path):
        monkeypatch.delenv("HF_TOKEN")
        file = tmp_path / "token"
        file.write_text("hf_wrong")
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(file))
        with pytest.raises(InputError) as caught:
            open_snapshot(MODEL)
        assert str(caught.value).endswith(
            f"{REJECTED}the file {file}. Run `hf auth login`, or `hf auth logout`: what is public "
            "needs none."
        )

    def test_an_expired_one_is_not_taken_for_a_model_that_is_not_there(self, near, first):
        """huggingface_hub raises RepositoryNotFoundError."""
        near.spoil("GET", "/api/models", local_hub.answer(401, EXPIRED))
        with pytest.raises(InputError) as caught:
            open_snapshot(MODEL)
        assert REJECTED in str(caught.value)

    def test_without_one_a_model_that_is_not_there_is_not_taken_for_a_bad_token(
        self, near, first, monkeypatch
    ):
        monkeypatch.setenv("HF_TOKEN", "")
        absent = local_hub.answer(401, "Invalid username", X_Error_Code="RepoNotFound")
        near.spoil("GET", "/api/models", absent)
        with pytest.raises(
            InputError, match=r"^There is no model me/model on the Hub, or it is pr"
        ):
            open_snapshot(MODEL)

    def test_one_that_expires_midway_is_named_too(self, near, first, hurry):
        near.spoil("GET", "resolve/.*safetensors", local_hub.answer(401, EXPIRED), times=99)
        with pytest.raises(InputError) as caught:
            open_snapshot(MODEL)
        start = f"The model {MODEL} could not be fetched whole from the Hub. {REJECTED}"
        assert str(caught.value).startswith(start)

    def test_one_that_may_not_read_this_is_named(self, near, first):
        near.spoil("GET", "/api/models", local_hub.answer(403, "Token lacks  the scope"))
        with pytest.raises(InputError) as caught:
            open_snapshot(MODEL)
        assert str(caught.value).endswith(
            "Your token does not allow this (HTTP 403): 'Token lacks the scope'. It is read from "
            "the environment variable HF_TOKEN. Give it the rights at "
            "https://huggingface.co/settings/tokens, or use another one."
        )

    def test_a_cached_copy_does_and_the_token_is_logged(
        self, near, folder, first, monkeypatch, caplog
    ):
        open_snapshot(MODEL)
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        assert same(open_snapshot(MODEL), folder)
        assert REJECTED in caplog.text
        assert "The copy in the cache is used." in caplog.text

    def test_timms_weights_name_it_too(self, near, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        with pytest.raises(InputError) as caught:
            build_model("test_resnet.r160_in1k", pretrained=True)
        assert f"could not be fetched from the Hub ({REJECTED}" in str(caught.value)

    @pytest.mark.parametrize("kind", ["model", "dataset", "space"])
    def test_a_repository_of_any_kind_names_it(self, near, monkeypatch, kind):
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        with pytest.raises(InputError) as caught:
            find_target("me/one", kind)
        assert str(caught.value).startswith(REJECTED)


def test_a_private_model_is_fetched_by_its_owner(near, folder):
    near.offer(MODEL, folder, private=True)
    assert same(open_snapshot(MODEL), folder)


def test_a_classifier_from_the_hub_knows_its_commit(near, tiny_cnn_model):
    commit = near.offer("me/cnn", tiny_cnn_model)
    classifier = LesionClassifier.from_pretrained("me/cnn", revision="main")
    assert (classifier.name, classifier.revision) == ("me/cnn", commit)
    image = draw_lesion("nv", seed=0)[0]
    expected = LesionClassifier.from_pretrained(tiny_cnn_model)
    assert expected.revision is None
    assert (classifier.predict([image]) == expected.predict([image])).all()


def test_a_classifier_of_other_classes_is_named_by_its_hub_id(near, tiny_cnn_model, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(tiny_cnn_model, folder)
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"mel"', '"melanoma"'))
    near.offer("me/other", folder)
    with pytest.raises(InputError, match=r"^me/other has the classes akiec, .*, melanoma, nv"):
        LesionClassifier.from_pretrained("me/other")
