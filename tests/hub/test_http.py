"""End to end over HTTP: train, publish, and load where there is no hf_lesion and no cache.

Slow: each step starts a process of its own, as users do. The steps are in order and share a Hub.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
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
DATASET = """
import importlib.util, json, sys
assert importlib.util.find_spec("hf_lesion") is None, "hf_lesion is installed here"
from datasets import load_dataset
from huggingface_hub import snapshot_download
whole = load_dataset(snapshot_download(sys.argv[1], repo_type="dataset"))
print(json.dumps({
    "images": {split: len(part) for split, part in whole.items()},
    "labels": whole["test"].features["label"].names,
    "shown": whole["test"][0]["image"].size != (0, 0),
}))
"""


@pytest.fixture(scope="module")
def models(tiny_timm_model, tiny_cnn_model, tmp_path_factory):
    """A timm model and our CNN, as finished runs with what training leaves next to them."""
    folder = tmp_path_factory.mktemp("runs")
    record = {"dataset": {"synthetic": True}, "steps": 3, "model": {"model": "test"}}
    for name, source in (("resnet", tiny_timm_model), ("cnn", tiny_cnn_model)):
        shutil.copytree(source, folder / name)
        (folder / name / "training.json").write_text(json.dumps(record))
        (folder / name / "training_args.bin").write_bytes(b"pickled")
    return {name: folder / name for name in ("resnet", "cnn")}


@pytest.fixture
def lesion(tmp_path):
    file = tmp_path / "images" / "lesion.png"
    file.parent.mkdir()
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
    words += ["--per_device_train_batch_size", 8]
    done = run(shared_hub, *words, HF_TOKEN="hf_reader")
    assert one_line(done).startswith("error: Your token of the Hub may only read.")
    assert not (tmp_path / "run").exists()
    out = said(run(shared_hub, *words))
    assert f"Published: {shared_hub.url}/me/trained, commit " in out
    repo = shared_hub.repo("me/trained")
    assert repo.private
    assert len(repo.history) == 2
    names = repo.own_files
    assert {*PUBLISHED, "curves.png"} <= set(names)
    assert not [n for n in names if n.endswith((".bin", ".pt")) or n == "run.json"]
    assert "hf_me" not in repo.files()[1]["training.json"].decode()


def test_models_are_published_and_give_our_probabilities_in_a_pipeline_elsewhere(
    shared_hub, run, models, stranger, lesion
):
    for name, more in (("resnet", []), ("cnn", ["cnn.py", "preprocessor_config.json"])):
        words = [PUBLISH, "model", "--model", models[name], "--repo_id", f"me/{name}"]
        assert f"Published: {shared_hub.url}/me/{name}" in said(run(shared_hub, *words))
        assert shared_hub.repo(f"me/{name}").own_files == sorted([*PUBLISHED, *more])
    assert "Nothing has changed" in said(run(shared_hub, *words))
    line = one_line(run(shared_hub, *words, HF_ENDPOINT="http://127.0.0.1:9"))
    assert line.startswith("error: me/cnn: the Hub can't be reached (")
    asked = [["me/resnet", {}], ["me/cnn", {"trust_remote_code": True}]]
    done = run(shared_hub, "-c", PIPELINE, lesion, json.dumps(asked), python=stranger, HF_TOKEN="")
    answers = json.loads(said(done).splitlines()[-1])
    with Image.open(lesion) as image:
        for name, folder in models.items():
            expected = LesionClassifier.from_pretrained(folder).predict([image])[0]
            found = [answers[f"me/{name}"][code] for code in CODES]
            assert np.allclose(found, expected, atol=1e-5)


def test_a_dataset_is_published_and_loaded(shared_hub, run, sample_dataset, stranger):
    words = [PUBLISH, "dataset", "--dataset", sample_dataset, "--repo_id", "me/ham10000"]
    assert "dataset me/ham10000, private:" in said(run(shared_hub, *words))
    repo = shared_hub.repo("me/ham10000", "dataset")
    assert repo.private
    assert 'load_dataset("me/ham10000")' in repo.files()[1]["README.md"].decode()
    record = json.loads((sample_dataset / "prepared.json").read_text())
    found = json.loads(said(run(shared_hub, "-c", DATASET, "me/ham10000", python=stranger)))
    assert found == {"images": record["images"], "labels": list(CODES), "shown": True}


def test_scripts_take_a_hub_id_and_the_cache_when_the_hub_is_gone(
    shared_hub, run, lesion, tmp_path
):
    commit = shared_hub.repo("me/cnn").history[-1][0]
    words = [PREDICT, "--input", lesion.parent, "--output", tmp_path / "a.parquet"]
    words += ["--overwrite", "--model"]
    assert "1 images" in said(run(shared_hub, *words, f"me/cnn@{commit}"))
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    said(run(shared_hub, *words, f"me/cnn@{commit}", **gone))
    done = run(shared_hub, *words, "me/cnn@v9")
    assert one_line(done) == "error: The model me/cnn has no revision v9."
