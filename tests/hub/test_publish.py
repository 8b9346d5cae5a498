"""A folder to a Hub over HTTP: in one commit or not at all, and every refusal names its cause."""

import re
import time

import pytest
from hub.local_hub import answer, hang_up, wait
from huggingface_hub import constants

from hf_lesion.errors import InputError
from hf_lesion.hub.client import AGAIN, check_account, find_target
from hf_lesion.hub.publish import plan, publish_folder, upload
from hf_lesion.io.checksums import write_manifest

REPO = "me/model"
FILES = ["README.md", "SHA256SUMS", "config.json", "model.safetensors", "onnx/model.onnx"]


@pytest.fixture
def folder(tmp_path):
    """A folder that looks like a model; nothing here loads it."""
    folder = tmp_path / "built"
    (folder / "onnx").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 2000)
    (folder / "onnx" / "model.onnx").write_bytes(bytes(range(256)) * 1000)
    write_manifest(folder)
    return folder


@pytest.fixture(autouse=True)
def _at_once(hurry):
    """Nothing here waits for the client's own pauses."""


class TestUpload:
    def test_a_folder_is_sent_in_one_commit_and_only_once(self, near, folder, capsys):
        commit = publish_folder(folder, REPO, "model")
        repo = near.repo(REPO)
        assert repo.own_files == FILES
        assert [summary for _, summary in repo.history] == ["initial commit", "Publish the model"]
        assert repo.history[-1][0] == commit
        assert not repo.private
        said = capsys.readouterr().out
        assert said.splitlines()[0] == "model me/model, public:"
        assert re.search(r"new\s+512,000  model\.safetensors", said)
        assert said.endswith(f"Published: {near.url}/me/model, commit {commit}\n")
        near.heal()
        assert publish_folder(folder, REPO, "model") == commit
        assert "Nothing has changed" in capsys.readouterr().out
        assert not any(line.startswith(("POST", "PUT")) for line in near.asked)

    def test_only_changes_are_sent_and_removed_files_are_removed(self, near, folder, capsys):
        publish_folder(folder, REPO, "model")
        (folder / "onnx" / "model.onnx").unlink()
        (folder / "config.json").write_text('{"changed": true}')
        (folder / "report.json").write_text("{}")
        write_manifest(folder)
        near.heal()
        publish_folder(folder, REPO, "model")
        repo = near.repo(REPO)
        assert repo.own_files == [*FILES[:-1], "report.json"]
        assert len(repo.history) == 3
        assert not any(line.startswith("PUT") for line in near.asked)
        said = capsys.readouterr().out
        assert all(f"  {what} " in said for what in ("changed", "new", "removed", "same"))

    def test_a_dry_run_shows_and_sends_nothing(self, near, folder, capsys):
        assert publish_folder(folder, REPO, "model", dry_run=True) is None
        assert not near.repos
        said = capsys.readouterr().out
        assert said.count("  new ") == len(FILES)
        assert said.endswith("Nothing was sent: this is a dry run.\n")

    def test_a_branch_is_made_and_the_main_one_left_alone(self, near, folder):
        near.spoil("POST", "/branch/", answer(500), times=9)
        with pytest.raises(InputError, match=r"\(HTTP 500\)"):
            publish_folder(folder, REPO, "model", revision="v2")
        near.faults.clear()
        for _ in range(2):
            publish_folder(folder, REPO, "model", revision="v2")
        repo = near.repo(REPO)
        assert repo.own_files == []
        assert set(repo.files("v2")[1]) >= set(FILES)
        assert len(repo.history) == 2

    @pytest.mark.parametrize(
        ("kind", "private", "expected"),
        [("dataset", None, True), ("dataset", False, False), ("model", True, True)],
    )
    def test_a_dataset_is_private_unless_asked_otherwise(
        self, near, folder, kind, private, expected
    ):
        publish_folder(folder, REPO, kind, private=private)
        assert near.repo(REPO, kind).private is expected

    def test_the_owner_may_be_the_account_or_an_organisation(self, near, folder):
        assert check_account("model") == REPO
        publish_folder(folder, check_account("clinic/model"), "space")
        assert near.repo("clinic/model", "space").own_files == FILES


class TestRefusals:
    @pytest.mark.parametrize(
        ("token", "repo_id", "text"),
        [
            ("", REPO, "You are not logged in to the Hub. Run `hf auth login`, or set HF_TOKEN."),
            ("hf_wrong", REPO, "The Hub rejects your token (HTTP 401): it is expired, revoked or"),
            ("hf_reader", REPO, "Your token of the Hub may only read. https://huggingface.co/set"),
            ("hf_me", "other/model", "other/model: you have no right to write there. You are me;"),
            ("hf_me", "a/b/c", "'a/b/c' is not a valid repository name: expected owner/name of"),
            ("hf_me", "me/a--b", "'me/a--b' is not a valid repository name: expected owner/name"),
        ],
    )
    def test_an_account_without_the_right(self, near, monkeypatch, token, repo_id, text):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(InputError) as caught:
            check_account(repo_id)
        assert str(caught.value).startswith(text)

    def test_files_of_others_are_only_overwritten_on_request(self, near, folder, tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        (other / "README.md").write_text("---\nlicense: mit\n---\n")
        near.offer("me/fresh", other)  # as the Hub's own pages make one
        publish_folder(folder, "me/fresh", "model")
        (other / "pytorch_model.bin").write_bytes(b"x")
        near.offer(REPO, other)
        with pytest.raises(InputError, match=r"did not write: pytorch_model\.bin\. Pass another"):
            publish_folder(folder, REPO, "model")
        publish_folder(folder, REPO, "model", overwrite=True)
        assert near.repo(REPO).own_files == near.repo("me/fresh").own_files == FILES

    def test_nothing_private_goes_into_a_public_repository(self, near, folder):
        publish_folder(folder, REPO, "dataset", private=False)
        with pytest.raises(InputError, match=r"is public; expected a private one \(datas"):
            publish_folder(folder, REPO, "dataset")

    def test_a_commit_is_not_a_branch(self, near, folder):
        with pytest.raises(InputError, match=r"--revision is a branch to write to; 0+ is a commit"):
            publish_folder(folder, REPO, "model", revision="0" * 40)

    def test_a_change_of_someone_else_is_not_overwritten(self, near, folder, tmp_path):
        publish_folder(folder, REPO, "model")
        (folder / "config.json").write_text('{"mine": true}')
        write_manifest(folder)
        target = find_target(REPO, "model")
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "config.json").write_text('{"theirs": true}')
        near.offer(REPO, tmp_path / "other")
        with pytest.raises(InputError, match=r"me/model.*HTTP 412.*A commit has happened since"):
            upload(folder, target, plan(folder, target), private=False)


class TestFaults:
    @pytest.mark.parametrize(
        ("method", "path", "fault", "text"),
        [
            ("GET", "/api/models", answer(401), "The Hub rejects your token (HTTP 401)"),
            ("GET", "/api/models", answer(429), "the Hub refuses (HTTP 429). "),
            ("POST", "/create", answer(403, "Storage is full"), 'The Hub says: "Storage is full"'),
            ("POST", "/create", hang_up(), "the Hub can't be reached (RemoteProtocolError: "),
            ("PUT", "/lfs/", answer(403, "Expired"), "no right to do this. The Hub says: "),
            ("PUT", "/lfs/", hang_up(1000), "the Hub can't be reached ("),
            ("POST", "/commit/", answer(503), f'"fault 503" {AGAIN}'),
        ],
    )
    def test_an_upload_that_fails_sends_nothing_and_the_next_run_finishes_it(
        self, near, folder, method, path, fault, text
    ):
        near.spoil(method, path, fault, times=9)
        with pytest.raises(InputError) as caught:
            publish_folder(folder, REPO, "model")
        assert text in str(caught.value)
        if near.repos:
            assert near.repo(REPO).own_files == []
        near.heal()
        publish_folder(folder, REPO, "model")
        repo = near.repo(REPO)
        assert repo.own_files == FILES
        assert len(repo.history) == 2
        sent = [line for line in near.asked if line.startswith("PUT")]
        assert len(sent) == (0 if path == "/commit/" else 2)  # large files are not sent twice

    def test_a_hub_that_never_answers_is_given_up(self, near, folder):
        check_account(REPO, timeout=0.3)
        near.spoil("POST", "/commit/", wait(9))
        start = time.monotonic()
        with pytest.raises(InputError, match=r"the Hub can't be reached \(ReadTimeout"):
            publish_folder(folder, REPO, "model")
        assert time.monotonic() - start < 5
        near.released.set()

    def test_no_hub_and_the_offline_switch_are_named(self, near, monkeypatch):
        near.shutdown()
        near.server_close()
        with pytest.raises(InputError, match=r"the Hub can't be reached \(.*refused"):
            check_account(REPO)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(InputError, match="HF_HUB_OFFLINE is set, so nothing goes to the Hub"):
            check_account(REPO)
