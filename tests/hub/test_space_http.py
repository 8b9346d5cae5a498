"""The Space and the app over HTTP: published, downloaded, started elsewhere; models from the Hub.

Slow: every test starts the page in a process of its own.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hub.borrowed import make_environment, read_requirements
from hub.local_hub import answer, flip, wait
from hub.served import started

from hf_lesion.classifier import LesionClassifier
from hf_lesion.hub.checks import read_front_matter
from hf_lesion.hub.model import build_model_folder
from hf_lesion.io.checksums import check_manifest
from hf_lesion.labels import CODES
from hf_lesion.synthetic.lesions import draw_lesion

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SPACE, PUBLISH = ROOT / "space", ROOT / "scripts" / "publish.py"
FETCH = """
import importlib.util, sys
assert importlib.util.find_spec("hf_lesion") is None, "hf_lesion is installed here"
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], repo_type="space", local_dir=sys.argv[2])
"""
IMAGE = draw_lesion("mel", seed=3)[0]
STANDING_IN = "None of them is to be had now: the models beside the app are served instead."


@pytest.fixture(scope="module")
def versions(run_folder, tmp_path_factory):
    """Two versions of a model as they are published, which answer otherwise."""
    parent = tmp_path_factory.mktemp("versions")
    changed = parent / "changed"
    shutil.copytree(run_folder, changed)
    model = LesionClassifier.from_pretrained(changed).model
    head = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        head.bias.add_(torch.linspace(-2, 2, len(CODES)))
    model.save_pretrained(changed)
    for name, source in (("first", run_folder), ("second", changed)):
        (parent / name).mkdir()
        build_model_folder(source, parent / name, name="me/a")
    return parent / "first", parent / "second"


@pytest.fixture
def lesion(tmp_path):
    file = tmp_path / "lesion.png"
    IMAGE.save(file)
    return file


def is_answer_of(found, folder):
    expected = LesionClassifier.from_pretrained(folder).predict([IMAGE])[0]
    return np.allclose([found["probabilities"][code] for code in CODES], expected, atol=1e-5)


def of_hub(hub, tmp_path):
    """Return the environment of an app that knows this Hub and has an empty cache of its own."""
    return {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_me", "HF_HOME": str(tmp_path / "hf_home")}


class TestSpace:
    @pytest.fixture(scope="class")
    def bare_python(self, tmp_path_factory):
        """An environment of the Space's requirements and the SDK that its front matter pins."""
        sdk = f"gradio=={read_front_matter(SPACE)['sdk_version']}"
        lines = [sdk, *read_requirements(SPACE / "requirements.txt")]
        return make_environment(tmp_path_factory.mktemp("bare") / "venv", lines)

    def test_it_is_published_downloaded_and_classifies_with_nothing_but_its_requirements(
        self, hub, run, run_folder, bare_python, stranger, lesion, tmp_path
    ):
        words = [PUBLISH, "space", "--models", run_folder, "--repo_id", "me/space"]
        done = run(hub, *words)
        assert f"Published: {hub.url}/spaces/me/space, commit " in done.stdout, done.stderr
        repo = hub.repo("me/space", "space")
        assert len(repo.history) == 2
        assert "Nothing has changed" in run(hub, *words).stdout
        there = tmp_path / "somewhere" / "else"
        fetched = run(hub, "-c", FETCH, "me/space", there, python=stranger)
        assert fetched.returncode == 0, fetched.stderr
        check_manifest(there)
        assert read_front_matter(there)["app_file"] == "app.py"
        with started(bare_python, there, HF_HUB_OFFLINE="1") as page:
            assert is_answer_of(page.classify(lesion), run_folder)
        assert any("tiny_cnn" in line for line in page.lines)

    def test_a_tampered_model_is_left_out(self, run, run_folder, bare_python, lesion, tmp_path):
        there = tmp_path / "space"
        done = run_offline(run, PUBLISH, "space", "--models", run_folder, "--output", there)
        assert done.returncode == 0, done.stderr
        shutil.copytree(there / "models" / "tiny_cnn", there / "models" / "changed")
        config = there / "models" / "changed" / "config.json"
        config.write_text(config.read_text().replace("\n}", ',\n  "note": 1\n}'))
        with started(bare_python, there, HF_HUB_OFFLINE="1") as page:
            assert is_answer_of(page.classify(lesion, model="tiny_cnn"), run_folder)
            with pytest.raises(Exception, match=r"changed|model"):
                page.classify(lesion, model="changed")


class Nowhere:
    url = "http://127.0.0.1:9"


def run_offline(run, *words):
    return run(Nowhere, *words)


class TestModels:
    """`space/app.py --models me/a me/b`."""

    def test_a_pinned_commit_is_honoured_and_shown_and_kept_for_when_the_hub_is_gone(
        self, hub, versions, lesion, tmp_path
    ):
        first, second = (hub.offer("me/a", folder) for folder in versions)
        hub.offer("me/b", versions[1], private=True)
        pinned = f"me/a@{first[:7]}"
        words = ("--models", f"me/a@{first}", "me/b", "me/a")
        own = of_hub(hub, tmp_path)
        for environment in (own, {**own, "HF_ENDPOINT": Nowhere.url}):
            with started(sys.executable, SPACE, *words, **environment) as page:
                assert f"{pinned}: commit {first}" in page.lines
                assert f"me/a: commit {second}" in page.lines
                shown = next(line for line in page.lines if line.startswith("Models: "))
                assert {pinned, "me/a", "me/b"} <= set(shown[len("Models: ") :].split(", "))
                assert is_answer_of(page.classify(lesion, model=pinned), versions[0])
                for name in ("me/a", "me/b"):
                    assert is_answer_of(page.classify(lesion, model=name), versions[1])

    def test_a_tampered_download_is_refused_and_the_others_are_served(
        self, hub, versions, lesion, tmp_path
    ):
        for name, folder in zip(("me/a", "me/b"), versions, strict=True):
            hub.offer(name, folder)
        hub.spoil("GET", r"me/b/resolve/.*safetensors", flip(), times=9)
        own = of_hub(hub, tmp_path)
        with started(sys.executable, SPACE, "--models", "me/a", "me/b", **own) as page:
            line = next(line for line in page.lines if line.startswith("me/b was skipped: "))
            assert "not what its SHA256SUMS says: model.safetensors is different" in line
            assert "Models: me/a" in page.lines
            assert is_answer_of(page.classify(lesion), versions[0])

    @pytest.fixture(scope="class")
    def usual(self):
        """Seconds until the models beside the app are served; the second start, of warm files."""
        for _ in range(2):
            with started(sys.executable, SPACE, HF_HUB_OFFLINE="1") as page:
                seconds = page.seconds
        return seconds

    @pytest.mark.parametrize("fault", ["gone", "broken", "silent"])
    def test_without_a_hub_the_models_beside_the_app_are_served_in_about_the_usual_time(
        self, hub, usual, fault, tmp_path, lesion, record_property
    ):
        own = of_hub(hub, tmp_path)
        if fault == "gone":
            own["HF_ENDPOINT"] = Nowhere.url
        else:
            trouble = answer(503) if fault == "broken" else wait(60)
            hub.spoil("GET|HEAD", "", trouble, times=99)
        with started(sys.executable, SPACE, "--models", "me/a", "me/b", **own) as page:
            assert [line.split(":")[0] for line in page.lines[:2]] == [
                "me/a was skipped",
                "me/b was skipped",
            ]
            assert page.lines[2] == STANDING_IN
            assert page.classify(lesion)["label"] in CODES
        record_property("seconds", (round(usual, 1), round(page.seconds, 1)))
        sys.stdout.write(f"usual {usual:.1f} s, {fault} {page.seconds:.1f} s\n")
        # Importing the page goes on while a silent Hub is waited for.
        assert page.seconds < 1.5 * usual + 3
