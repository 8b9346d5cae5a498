"""The Space over HTTP: published, downloaded and started elsewhere; models from the Hub.

Slow: every test starts the page in a process of its own.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hub.borrowed import make_environment, read_requirements
from hub.local_hub import flip
from space.running import start_app

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


@pytest.fixture
def lesion(tmp_path):
    file = tmp_path / "lesion.png"
    IMAGE.save(file)
    return file


def is_answer_of(found, folder):
    expected = LesionClassifier.from_pretrained(folder).predict([IMAGE])[0]
    return np.allclose([found["probabilities"][code] for code in CODES], expected, atol=1e-5)


def test_the_space_classifies_elsewhere_with_nothing_but_its_requirements(
    hub, run, run_folder, stranger, lesion, tmp_path
):
    words = [PUBLISH, "space", "--models", run_folder, "--repo_id", "me/space"]
    done = run(hub, *words)
    assert f"Published: {hub.url}/spaces/me/space, commit " in done.stdout, done.stderr
    assert len(hub.repo("me/space", "space").history) == 2
    assert "Nothing has changed" in run(hub, *words).stdout
    there = tmp_path / "somewhere" / "else"
    fetched = run(hub, "-c", FETCH, "me/space", there, python=stranger)
    assert fetched.returncode == 0, fetched.stderr
    check_manifest(there)
    shutil.copytree(there / "models" / "tiny_cnn", there / "models" / "changed")
    config = there / "models" / "changed" / "config.json"
    config.write_text(config.read_text().replace("\n}", ',\n  "note": 1\n}'))  # a damaged model
    sdk = f"gradio=={read_front_matter(SPACE)['sdk_version']}"
    lines = [sdk, *read_requirements(SPACE / "requirements.txt")]
    bare_python = make_environment(tmp_path / "venv", lines)
    own = {"PYTHONPATH": None, "HF_TOKEN": None}
    with start_app(tmp_path, space=there, python=bare_python, **own) as page:
        assert is_answer_of(page.classify(lesion, model="tiny_cnn"), run_folder)
        with pytest.raises(Exception, match=r"changed|model"):
            page.classify(lesion, model="changed")


def test_pinned_models_are_served_and_damaged_ones_left_out(hub, run_folder, lesion, tmp_path):
    changed = shutil.copytree(run_folder, tmp_path / "changed")
    model = LesionClassifier.from_pretrained(changed).model
    head = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        head.bias.add_(torch.linspace(-2, 2, len(CODES)))
    model.save_pretrained(changed)
    versions = tmp_path / "first", tmp_path / "second"
    for source, folder in zip((run_folder, changed), versions, strict=True):
        folder.mkdir()
        build_model_folder(source, folder, name="me/a")
    first, second = (hub.offer("me/a", folder) for folder in versions)
    hub.offer("me/b", versions[1], private=True)
    hub.offer("me/c", versions[1])
    hub.spoil("GET", r"me/c/resolve/.*safetensors", flip(), times=9)
    pinned = f"me/a@{first[:7]}"
    words = ("--models", f"me/a@{first}", "me/b", "me/a", "me/c")
    own = {"HF_HUB_OFFLINE": None, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    own |= {"HF_TOKEN": "hf_me", "HF_HOME": str(tmp_path / "hf_home")}
    for endpoint in (hub.url, "http://127.0.0.1:9"):
        with start_app(tmp_path, *words, **own, HF_ENDPOINT=endpoint) as page:
            lines = page.said().splitlines()
            assert {f"{pinned}: commit {first}", f"me/a: commit {second}"} <= set(lines)
            skipped = next(line for line in lines if line.startswith("me/c was skipped: "))
            damaged = "SHA256SUMS says: model.safetensors is different"
            assert endpoint != hub.url or damaged in skipped
            shown = next(line for line in lines if line.startswith("Models: "))
            assert set(shown[len("Models: ") :].split(", ")) == {pinned, "me/a", "me/b"}
            assert is_answer_of(page.classify(lesion, model=pinned), versions[0])
            for name in ("me/a", "me/b"):
                assert is_answer_of(page.classify(lesion, model=name), versions[1])
