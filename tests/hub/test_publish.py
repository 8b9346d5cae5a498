"""A folder to a Hub over HTTP: in one commit or not at all, and every refusal names its cause."""

import re
import time

import pytest
from hub.conftest import serving
from hub.local_hub import answer, go_away, hang_up, lose_answer, wait
from huggingface_hub import constants

from hf_lesion.errors import InputError
from hf_lesion.hub import publish
from hf_lesion.hub.client import AGAIN, check_account, check_target, find_target
from hf_lesion.hub.publish import plan, publish_folder, show_files, upload
from hf_lesion.io.checksums import list_files, write_manifest

REPO = "me/model"
FILES = ["README.md", "SHA256SUMS", "config.json", "model.safetensors", "onnx/model.onnx"]


@pytest.fixture
def folder(tmp_path):
    """What looks like a model; nothing here loads it."""
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


class TestSending:
    def test_all_of_a_folder_goes_in_one_commit(self, near, folder, capsys):
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

    def test_the_same_again_changes_nothing(self, near, folder, capsys):
        commit = publish_folder(folder, REPO, "model")
        near.heal()
        assert publish_folder(folder, REPO, "model") == commit
        assert "Nothing has changed" in capsys.readouterr().out
        assert not any(line.startswith(("POST", "PUT")) for line in near.asked)

    def test_only_what_changed_is_sent_and_what_is_gone_is_removed(self, near, folder, capsys):
        publish_folder(folder, REPO, "model")
        (folder / "onnx" / "model.onnx").unlink()
        (folder / "config.json").write_text('{"changed": true}')
        (folder / "report.json").write_text("{}")
        write_manifest(folder)
        near.heal()
        publish_folder(folder, REPO, "model")
        repo = near.repo(REPO)
        assert repo.own_files == [
            "README.md",
            "SHA256SUMS",
            "config.json",
            "model.safetensors",
            "report.json",
        ]
        assert len(repo.history) == 3
        assert not any(line.startswith("PUT") for line in near.asked)
        said = capsys.readouterr().out
        for what in ("changed", "new", "removed", "same"):
            assert f"  {what} " in said

    def test_a_dry_run_shows_and_sends_nothing(self, near, folder, capsys):
        assert publish_folder(folder, REPO, "model", dry_run=True) is None
        assert not near.repos
        said = capsys.readouterr().out
        assert said.count("  new ") == len(FILES)
        assert said.endswith("Nothing was sent: this is a dry run.\n")

    @pytest.mark.parametrize("count", [1, 30])
    def test_the_folder_is_walked_once_however_many_files_it_holds(
        self, near, folder, monkeypatch, count
    ):
        for number in range(count):
            (folder / f"{number}.json").write_text("{}")
        walked = []
        monkeypatch.setattr(
            publish, "list_files", lambda place: walked.append(place) or list_files(place)
        )
        publish_folder(folder, REPO, "model", dry_run=True)
        assert walked == [folder]
        show_files(folder)
        assert walked == [folder] * 2

    def test_a_branch_is_made_and_the_main_one_left_alone(self, near, folder):
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

    def test_an_organisation_is_an_owner_too(self, near, folder):
        publish_folder(folder, check_account("clinic/model"), "space")
        assert near.repo("clinic/model", "space").own_files == FILES


class TestRefusals:
    @pytest.mark.parametrize(
        ("token", "repo_id", "text"),
        [
            ("", REPO, "You are not logged in to the Hub. Run `hf auth login`, or set HF_TOKEN."),
            (
                "hf_wrong",
                REPO,
                "The Hub rejects your token (HTTP 401): it is expired, revoked or mistyped. It is "
                "read from the environment variable HF_TOKEN. Set it to a new one from "
                "https://huggingface.co/settings/tokens.",
            ),
            ("hf_reader", REPO, "Your token of the Hub may only read. https://huggingface.co/set"),
            (
                "hf_me",
                "other/model",
                "other/model: you have no right to write there. You are me; you can write under "
                "me, clinic.",
            ),
            ("hf_me", "a/b/c", "'a/b/c' is not a valid repository name: expected owner/name of"),
            ("hf_me", "me/ä", "'me/ä' is not a valid repository name: expected owner/name of"),
            ("hf_me", "me/a--b", "'me/a--b' is not a valid repository name: expected owner/name"),
        ],
    )
    def test_an_account_that_may_not(self, near, monkeypatch, token, repo_id, text):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(InputError) as caught:
            check_account(repo_id)
        assert str(caught.value).startswith(text)

    def test_a_name_alone_is_ones_own(self, near):
        assert check_account("model") == REPO

    def test_what_others_put_there_is_not_overwritten_unasked(self, near, folder, tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        (other / "pytorch_model.bin").write_bytes(b"x")
        near.offer(REPO, other)
        with pytest.raises(InputError) as caught:
            publish_folder(folder, REPO, "model")
        assert str(caught.value) == (
            "me/model exists and holds what scripts/publish.py did not write: pytorch_model.bin. "
            "Pass another --repo_id, or --overwrite to replace it all."
        )
        publish_folder(folder, REPO, "model", overwrite=True)
        assert near.repo(REPO).own_files == FILES

    def test_what_the_hubs_own_pages_made_is_filled(self, near, folder, tmp_path):
        (tmp_path / "fresh").mkdir()
        (tmp_path / "fresh" / "README.md").write_text("---\nlicense: mit\n---\n")
        near.offer(REPO, tmp_path / "fresh")
        publish_folder(folder, REPO, "model")
        assert near.repo(REPO).own_files == FILES

    def test_nothing_private_goes_into_a_public_repository(self, near, folder):
        publish_folder(folder, REPO, "dataset", private=False)
        with pytest.raises(InputError, match=r"is public, and a private one is asked for \(datas"):
            publish_folder(folder, REPO, "dataset")
        with pytest.raises(InputError, match=r"and a private one is asked for\. Make"):
            publish_folder(folder, REPO, "dataset", private=True)

    def test_a_commit_is_no_branch(self, near, folder):
        with pytest.raises(InputError, match=r"--revision is a branch to write to; 0+ is a commit"):
            publish_folder(folder, REPO, "model", revision="0" * 40)


def sent_at_last(near, folder):
    """Whether the same line, once there are no more faults, brings all of it in one commit."""
    near.faults.clear()
    publish_folder(folder, REPO, "model")
    repo = near.repo(REPO)
    return repo.own_files == FILES and len(repo.history) == 2


class TestFaults:
    @pytest.mark.parametrize(
        ("method", "path", "fault", "text"),
        [
            ("POST", "/create", answer(401), "The Hub rejects your token (HTTP 401)"),
            ("POST", "/create", answer(403, "No rights"), 'The Hub says: "No rights"'),
            (
                "POST",
                "/create",
                answer(403, "Private repository storage limit reached"),
                "a quota of your account is used up. The Hub says",
            ),
            ("POST", "/create", answer(402, "Payment required"), "a quota of your account is"),
            ("POST", "/create", answer(409, "You already created"), "exists already, and is not"),
            ("POST", "/create", answer(500), "the Hub has trouble of its own (HTTP 500)"),
            ("POST", "/create", answer(429), "the Hub asks for a pause (HTTP 429)"),
            ("POST", "/create", hang_up(), "the connection to the Hub broke off"),
            ("GET", "/api/models", answer(401), "The Hub rejects your token (HTTP 401)"),
            ("GET", "/api/models", answer(403, "Blocked"), 'The Hub says: "Blocked"'),
            ("GET", "/api/models", answer(429), "the Hub asks for a pause (HTTP 429)"),
            ("GET", "/api/models", answer(500), "the Hub has trouble of its own (HTTP 500)"),
            ("GET", "/api/models", hang_up(), "the connection to the Hub broke off"),
        ],
    )
    def test_before_there_is_a_repository(self, near, folder, method, path, fault, text):
        near.spoil(method, path, fault, times=9)
        with pytest.raises(InputError) as caught:
            publish_folder(folder, REPO, "model")
        assert text in str(caught.value)
        assert not near.repos
        assert sent_at_last(near, folder)

    @pytest.mark.parametrize(
        ("method", "path", "fault", "text"),
        [
            ("POST", "/preupload/", answer(401), "The Hub rejects your token (HTTP 401)"),
            ("POST", "/preupload/", answer(404), "the Hub refuses (HTTP 404)"),
            ("POST", "/objects/batch", answer(403, "over quota"), "a quota of your account"),
            ("PUT", "/lfs/", answer(500), "the Hub has trouble of its own (HTTP 500)"),
            ("PUT", "/lfs/", answer(403, "Expired"), "you have no right to write there"),
            ("PUT", "/lfs/", answer(429), "the Hub asks for a pause (HTTP 429)"),
            ("PUT", "/lfs/", hang_up(1000), "the connection to the Hub broke off"),
            ("PUT", "/lfs/", answer(413), "a quota of your account is used up"),
            ("POST", "/commit/", answer(403, "No rights"), "you have no right to write there"),
            ("POST", "/commit/", answer(404), "the Hub refuses (HTTP 404)"),
            ("POST", "/commit/", answer(503), "the Hub has trouble of its own (HTTP 503)"),
            ("POST", "/commit/", answer(429), "the Hub asks for a pause (HTTP 429)"),
            ("POST", "/commit/", answer(409), "me/model"),
            ("POST", "/commit/", hang_up(10), "the connection to the Hub broke off"),
        ],
    )
    def test_after_that_it_stays_empty_and_the_next_run_fills_it(
        self, near, folder, method, path, fault, text
    ):
        near.spoil(method, path, fault, times=9)
        with pytest.raises(InputError) as caught:
            publish_folder(folder, REPO, "model")
        assert text in str(caught.value)
        assert str(caught.value).endswith(f"me/model was made and is empty so far. {AGAIN}")
        assert str(caught.value).count(AGAIN) == 1
        assert near.repo(REPO).own_files == []
        assert sent_at_last(near, folder)

    @pytest.mark.parametrize("kind", ["dataset", "space"])
    @pytest.mark.parametrize(
        ("method", "path", "fault"),
        [
            ("POST", "/create", answer(403, "No rights")),
            ("PUT", "/lfs/", hang_up(1000)),
            ("POST", "/commit/", answer(500)),
        ],
    )
    def test_a_dataset_and_a_space_are_as_safe(self, near, folder, kind, method, path, fault):
        near.spoil(method, path, fault, times=9)
        with pytest.raises(InputError, match=REPO):
            publish_folder(folder, REPO, kind)
        near.faults.clear()
        publish_folder(folder, REPO, kind)
        repo = near.repo(REPO, kind)
        assert repo.own_files == FILES
        assert len(repo.history) == 2
        assert repo.private is (kind == "dataset")

    def test_a_branch_that_cannot_be_made_is_made_by_the_next_run(self, near, folder):
        near.spoil("POST", "/branch/", answer(500), times=9)
        with pytest.raises(InputError, match=r"\(HTTP 500\)\. me/model was made"):
            publish_folder(folder, REPO, "model", revision="v2")
        near.faults.clear()
        publish_folder(folder, REPO, "model", revision="v2")
        assert set(near.repo(REPO).files("v2")[1]) >= set(FILES)

    @pytest.mark.parametrize("path", ["/preupload/", "/lfs/", "/commit/"])
    def test_a_hub_that_goes_away_midway_and_comes_back(self, near, folder, path):
        near.spoil("POST|PUT", path, go_away())
        with pytest.raises(InputError) as caught:
            publish_folder(folder, REPO, "model")
        assert re.search(r"the Hub can't be reached|broke off", str(caught.value))
        assert near.repo(REPO).own_files == []
        with serving(port=near.server_port) as back:
            back.repos = near.repos
            publish_folder(folder, REPO, "model")
        assert near.repo(REPO).own_files == FILES
        assert len(near.repo(REPO).history) == 2

    def test_slow_answers_are_waited_for(self, near, folder):
        near.spoil("GET|POST|PUT", "", wait(0.05), times=99)
        publish_folder(folder, REPO, "model")
        assert near.repo(REPO).own_files == FILES

    def test_a_passing_fault_is_not_even_noticed(self, near, folder):
        near.spoil("PUT", "/lfs/", hang_up(1000))
        near.spoil("POST", "/preupload/", answer(503))
        publish_folder(folder, REPO, "model")
        assert near.repo(REPO).own_files == FILES

    def test_what_was_sent_is_not_sent_twice(self, near, folder):
        near.spoil("POST", "/commit/", answer(500), times=9)
        with pytest.raises(InputError):
            publish_folder(folder, REPO, "model")
        near.heal()
        publish_folder(folder, REPO, "model")
        assert not any(line.startswith("PUT") for line in near.asked)

    def test_a_lost_answer_is_found_out_by_the_next_run(self, near, folder, capsys):
        near.spoil("POST", "/commit/", lose_answer())
        with pytest.raises(InputError, match="the connection to the Hub broke off"):
            publish_folder(folder, REPO, "model")
        publish_folder(folder, REPO, "model")
        assert len(near.repo(REPO).history) == 2
        assert "Nothing has changed" in capsys.readouterr().out

    def test_a_change_of_someone_else_is_not_run_over(self, near, folder, tmp_path):
        publish_folder(folder, REPO, "model")
        (folder / "config.json").write_text('{"mine": true}')
        write_manifest(folder)
        target = find_target(REPO, "model")
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "config.json").write_text('{"theirs": true}')
        near.offer(REPO, tmp_path / "other")
        with pytest.raises(InputError, match="me/model was changed by someone else meanwhile"):
            upload(folder, target, plan(folder, target), private=False)

    def test_a_hub_that_never_answers_is_given_up(self, near, folder):
        check_account(REPO, timeout=0.3)
        near.spoil("POST", "/commit/", wait(9))
        start = time.monotonic()
        with pytest.raises(InputError, match="the Hub did not answer in time"):
            publish_folder(folder, REPO, "model")
        assert time.monotonic() - start < 5
        near.released.set()

    def test_a_hub_that_is_gone_is_said_so(self, near, folder):
        near.shutdown()
        near.server_close()
        with pytest.raises(InputError, match=r"the Hub can't be reached \(.*refused\): offline\?"):
            check_account(REPO)

    def test_the_offline_switch_is_named(self, near, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(InputError, match="HF_HUB_OFFLINE is set, so nothing goes to the Hub"):
            check_account(REPO)


def test_privacy_is_settled_before_anything_is_sent(near, folder):
    target = find_target(REPO, "dataset")
    assert check_target(target, private=None, overwrite=False) is True
    assert check_target(target, private=False, overwrite=False) is False
    assert not near.repos
