"""The whole way over HTTP: train, publish, and load where there is no hf_lesion and no cache.

Slow: each step starts a process of its own, as users do. The steps are in order and share a Hub.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hub.local_hub import answer, cut
from PIL import Image

from hf_lesion.classifier import LesionClassifier
from hf_lesion.labels import CODES
from hf_lesion.synthetic.lesions import draw_lesion

pytestmark = pytest.mark.slow
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TRAIN, PUBLISH, PREDICT = (SCRIPTS / f"{name}.py" for name in ("train", "publish", "predict"))
PUBLISHED = ["README.md", "SHA256SUMS", "config.json", "model.safetensors", "training.json"]
PIPELINE = """
import importlib.util, json, sys
assert importlib.util.find_spec("hf_lesion") is None, "hf_lesion is installed here"
from transformers import pipeline
answers = {}
for model, options in json.loads(sys.argv[2]):
    classify = pipeline("image-classification", model=model, top_k=7, **options)
    answers[model] = {entry["label"]: entry["score"] for entry in classify(sys.argv[1])}
print(json.dumps(answers))
"""
ASKED = """
import sys
from transformers import pipeline
pipeline("image-classification", model=sys.argv[1])
"""
DATASET = """
import importlib.util, json, sys
assert importlib.util.find_spec("hf_lesion") is None, "hf_lesion is installed here"
from datasets import load_dataset
whole = load_dataset(sys.argv[1])
rows = next(iter(load_dataset(sys.argv[1], streaming=True, split="test")))
print(json.dumps({
    "images": {split: len(part) for split, part in whole.items()},
    "labels": whole["test"].features["label"].names,
    "size": whole["test"][0]["image"].size,
    "same": rows["image_id"] == whole["test"][0]["image_id"] and rows["image"].size != (0, 0),
}))
"""


@pytest.fixture(scope="module")
def models(tiny_timm_model, tiny_cnn_model, tmp_path_factory):
    """A timm model and our CNN, as finished runs with what training leaves beside them."""
    folder = tmp_path_factory.mktemp("runs")
    record = {"dataset": {"synthetic": True}, "steps": 3, "model": {"model": "test"}}
    for name, source in (("resnet", tiny_timm_model), ("cnn", tiny_cnn_model)):
        shutil.copytree(source, folder / name)
        (folder / name / "training.json").write_text(json.dumps(record))
        (folder / name / "checkpoint-3").mkdir()
        (folder / name / "checkpoint-3" / "optimizer.pt").write_bytes(b"0")
        (folder / name / "training_args.bin").write_bytes(b"pickled")
    return {name: folder / name for name in ("resnet", "cnn")}


@pytest.fixture
def lesion(tmp_path):
    file = tmp_path / "lesion.png"
    draw_lesion("mel", seed=3)[0].save(file)
    return file


def said(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def one_line(done):
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_training_publishes_at_its_end(shared_hub, run, sample_dataset, tmp_path):
    words = [TRAIN, "--model", "test_resnet", "--image_size", 64, "--dataset", sample_dataset]
    words += ["--output_dir", tmp_path / "run", "--max_steps", 2, "--push_to_hub", "true"]
    words += ["--hub_model_id", "me/trained", "--hub_private_repo", "true"]
    out = said(run(shared_hub, *words, "--per_device_train_batch_size", 8))
    assert f"Published: {shared_hub.url}/me/trained, commit " in out
    repo = shared_hub.repo("me/trained")
    assert repo.private
    assert len(repo.history) == 2
    names = repo.own_files
    assert {"README.md", "SHA256SUMS", "config.json", "model.safetensors", "curves.png"} <= set(
        names
    )
    assert not [
        n for n in names if n.endswith((".bin", ".pt")) or "checkpoint" in n or n == "run.json"
    ]
    text = repo.files()[1]["training.json"].decode()
    assert "hf_me" not in text


def test_training_does_not_start_for_a_token_that_may_not_write(shared_hub, run, tmp_path):
    words = [TRAIN, "--model", "test_resnet", "--dataset", "none", "--output_dir", tmp_path / "run"]
    done = run(shared_hub, *words, "--push_to_hub", "true", HF_TOKEN="hf_reader")
    assert one_line(done).startswith("error: Your token of the Hub may only read.")
    assert not (tmp_path / "run").exists()


def test_a_timm_model_is_published(shared_hub, run, models):
    words = [PUBLISH, "model", "--model", models["resnet"], "--repo_id", "me/resnet"]
    assert f"Published: {shared_hub.url}/me/resnet" in said(run(shared_hub, *words))
    assert shared_hub.repo("me/resnet").own_files == PUBLISHED


def test_our_cnn_is_published_with_its_code_and_only_once(shared_hub, run, models):
    words = [PUBLISH, "model", "--model", models["cnn"], "--repo_id", "me/cnn"]
    assert "Nothing was sent" in said(run(shared_hub, *words, "--dry_run"))
    assert ("model", "me/cnn") not in shared_hub.repos
    assert "Published: " in said(run(shared_hub, *words))
    repo = shared_hub.repo("me/cnn")
    assert repo.own_files == sorted([*PUBLISHED, "cnn.py", "preprocessor_config.json"])
    assert "Nothing has changed" in said(run(shared_hub, *words))
    assert len(repo.history) == 2


def test_a_strangers_pipeline_gives_our_probabilities(shared_hub, run, models, stranger, lesion):
    asked = [["me/resnet", {}], ["me/cnn", {"trust_remote_code": True}]]
    done = run(shared_hub, "-c", PIPELINE, lesion, json.dumps(asked), python=stranger, HF_TOKEN="")
    answers = json.loads(said(done).splitlines()[-1])
    with Image.open(lesion) as image:
        for name, folder in models.items():
            expected = LesionClassifier.from_pretrained(folder).predict([image])[0]
            found = [answers[f"me/{name}"][code] for code in CODES]
            assert np.allclose(found, expected, atol=1e-5)


def test_the_cnns_code_is_not_run_unasked(shared_hub, run, stranger):
    done = run(shared_hub, "-c", ASKED, "me/cnn", python=stranger)
    assert done.returncode != 0
    assert "trust_remote_code=True" in done.stderr


def test_a_dataset_is_published_and_loaded(shared_hub, run, sample_dataset, stranger):
    words = [PUBLISH, "dataset", "--dataset", sample_dataset, "--repo_id", "me/ham10000"]
    assert "dataset me/ham10000, private:" in said(run(shared_hub, *words))
    repo = shared_hub.repo("me/ham10000", "dataset")
    assert repo.private
    assert 'load_dataset("me/ham10000")' in repo.files()[1]["README.md"].decode()
    record = json.loads((sample_dataset / "prepared.json").read_text())
    found = json.loads(said(run(shared_hub, "-c", DATASET, "me/ham10000", python=stranger)))
    assert found["images"] == record["images"]
    assert found["labels"] == list(CODES)
    assert found["same"] is True


def test_scripts_take_a_hub_id_with_its_commit(shared_hub, run, lesion, tmp_path):
    commit = shared_hub.repo("me/cnn").history[-1][0]
    words = [PREDICT, "--input", lesion.parent, "--output", tmp_path / "out" / "a.parquet"]
    assert "1 images" in said(run(shared_hub, *words, "--model", f"me/cnn@{commit}"))
    done = run(shared_hub, *words, "--overwrite", "--model", "me/cnn@v9")
    assert one_line(done) == "error: The model me/cnn has no revision v9."


def test_what_was_cached_works_when_the_hub_is_gone(shared_hub, run, lesion, tmp_path):
    words = [PREDICT, "--input", lesion.parent, "--model", "me/resnet", "--output"]
    said(run(shared_hub, *words, tmp_path / "out" / "a.parquet"))
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    said(run(shared_hub, *words, tmp_path / "out" / "b.parquet", **gone))
    done = run(
        shared_hub, *words, tmp_path / "out" / "d.parquet", **gone, HF_HOME=str(tmp_path / "empty")
    )
    assert one_line(done).startswith(
        "error: The model me/resnet could not be fetched from the Hub (ConnectError), and there is"
    )


class TestFaults:
    def test_an_upload_that_fails_leaves_nothing_half_and_is_finished_later(self, hub, run, models):
        hub.spoil("POST|PUT", "/commit/", answer(403, "No rights"), times=6)
        words = [PUBLISH, "model", "--model", models["resnet"], "--repo_id", "me/resnet"]
        line = one_line(run(hub, *words))
        assert "you have no right to write there" in line
        assert "me/resnet was made and is empty so far" in line
        assert hub.repo("me/resnet").own_files == []
        hub.heal()
        assert "Published" in said(run(hub, *words))
        assert "model.safetensors" in hub.repo("me/resnet").own_files

    def test_a_download_that_is_cut_again_and_again_is_finished_later(
        self, hub, run, models, lesion, tmp_path
    ):
        hub.offer("me/resnet", models["resnet"])
        hub.spoil("GET", "resolve/.*safetensors", cut(0.3), times=6)
        words = [PREDICT, "--input", lesion.parent, "--model", "me/resnet", "--output"]
        line = one_line(run(hub, *words, tmp_path / "out" / "a.parquet"))
        assert line.startswith("error: The model me/resnet could not be fetched whole from the Hub")
        assert line.endswith("Run it again: what was fetched is kept.")
        hub.heal()
        said(run(hub, *words, tmp_path / "out" / "a.parquet"))

    def test_a_dataset_whose_download_is_cut_again_and_again_is_loaded_later(
        self, hub, run, sample_dataset, stranger
    ):
        words = [PUBLISH, "dataset", "--dataset", sample_dataset, "--repo_id", "me/ham10000"]
        said(run(hub, *words))
        hub.spoil("GET", r"resolve/.*train.*parquet", cut(0.3), times=99)
        load = ("-c", DATASET, "me/ham10000")
        assert run(hub, *load, python=stranger).returncode != 0
        hub.heal()
        found = json.loads(said(run(hub, *load, python=stranger)))
        assert (
            found["images"] == json.loads((sample_dataset / "prepared.json").read_text())["images"]
        )

    def test_without_a_hub_it_is_said_at_once(self, hub, run, models):
        words = [PUBLISH, "model", "--model", models["resnet"], "--repo_id", "me/resnet"]
        line = one_line(run(hub, *words, HF_ENDPOINT="http://127.0.0.1:9"))
        assert line.startswith("error: me/resnet: the Hub can't be reached (")
        assert not hub.repos
