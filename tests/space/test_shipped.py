"""What ships with the Space: measured models, and examples drawn from pinned seeds."""

import hashlib
import json

import pytest
import torch
from PIL import Image
from space.running import SPACE
from transformers import pipeline

from hf_lesion.classifier import LesionClassifier
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.report.record import read_report
from hf_lesion.hub.packing import folder_bytes
from hf_lesion.labels import CODES
from hf_lesion.synthetic.examples import (
    EXAMPLES,
    NOT_A_LESION,
    SIZE,
    draw_example,
    encode,
    read_examples,
)
from hf_lesion.synthetic.lesions import draw_lesion

MODELS = SPACE / "models"
NAMES = ("cnn", "densenet", "efficientnet", "resnet")
LARGEST = 60e6
TRAIN_IMAGES = 7026
# No other format can hold weights.
SUFFIXES = {".json", ".safetensors", ".png", ".py", ".md", ".html", ".csv"}
ALWAYS = {"nv", NOT_A_LESION}  # drawing one takes seconds


def test_all_four_models_are_there_and_small():
    assert tuple(sorted(file.parent.name for file in MODELS.glob("*/config.json"))) == NAMES
    assert folder_bytes(MODELS) <= LARGEST


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_whole_trained_on_everything_and_measured_as_it_is(name):
    folder = MODELS / name
    assert {file.suffix for file in folder.iterdir() if file.is_file()} <= SUFFIXES
    report = read_report(folder)
    assert {"test", "validation"} <= set(report)
    for record in report.values():
        assert record["model"]["weights_sha256"] == weights_sha256(folder)
    assert report["test"]["data"]["same_as_training"] is True
    record = json.loads((folder / "training.json").read_text())
    assert record["dataset"]["images"]["train"] == TRAIN_IMAGES
    assert record["dataset"]["synthetic"] is False
    assert record["history"]
    classify = pipeline("image-classification", model=str(folder), top_k=len(CODES))
    assert classify.model.dtype == torch.float32
    images = [draw_lesion(code, seed=1)[0] for code in ("nv", "vasc")]
    answers = [{a["label"]: a["score"] for a in answer} for answer in classify(images)]
    assert all(sorted(answer) == list(CODES) for answer in answers)
    assert all(sum(answer.values()) == pytest.approx(1, abs=1e-5) for answer in answers)
    assert max(abs(answers[0][code] - answers[1][code]) for code in CODES) > 0.01


def test_the_default_model_answers_every_example_as_intended_without_a_remark():
    from registry import read_entries

    assert tuple(read_examples()) == EXAMPLES
    images = [Image.open(SPACE / "examples" / f"{code}.webp") for code in EXAMPLES]
    assert {image.size for image in images} == {SIZE} == {(640, 480)}
    entries, _ = read_entries([MODELS])
    classifier = LesionClassifier.from_pretrained(entries[0].source)
    probabilities, verdicts = classifier.judge(images)
    kinds = {code: verdict.kind for code, verdict in zip(EXAMPLES, verdicts, strict=True)}
    assert kinds == {**dict.fromkeys(CODES, "accepted"), NOT_A_LESION: "strange"}
    assert [CODES[label] for label in probabilities.argmax(axis=1)[: len(CODES)]] == list(CODES)


@pytest.mark.parametrize(
    "code", [c if c in ALWAYS else pytest.param(c, marks=pytest.mark.slow) for c in EXAMPLES]
)
def test_each_example_is_what_its_seed_draws(code):
    pinned = read_examples()[code]
    content = (SPACE / "examples" / f"{code}.webp").read_bytes()
    assert hashlib.sha256(content).hexdigest() == pinned["sha256"]
    assert encode(draw_example(code, pinned["seed"])) == content
