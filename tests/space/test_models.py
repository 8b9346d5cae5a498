"""Models shipped with the Space: loadable, small, and the ones that were measured."""

import json
from pathlib import Path

import pytest
import torch
from transformers import pipeline

from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.report.record import read_report
from hf_lesion.hub.packing import folder_bytes
from hf_lesion.labels import CODES
from hf_lesion.synthetic.lesions import draw_lesion

MODELS = Path(__file__).resolve().parents[2] / "space" / "models"
NAMES = ("cnn", "densenet", "efficientnet", "resnet")
LARGEST = 60e6
TRAIN_IMAGES = 7026


@pytest.fixture(params=NAMES)
def folder(request):
    return MODELS / request.param


def test_all_four_are_there_and_small():
    assert tuple(sorted(file.parent.name for file in MODELS.glob("*/config.json"))) == NAMES
    assert folder_bytes(MODELS) <= LARGEST


def test_the_pipeline_loads_it_in_full_precision(folder):
    classify = pipeline("image-classification", model=str(folder), top_k=len(CODES))
    assert classify.model.dtype == torch.float32
    images = [draw_lesion(code, seed=1)[0] for code in ("nv", "vasc")]
    answers = [{a["label"]: a["score"] for a in answer} for answer in classify(images)]
    assert all(sorted(answer) == list(CODES) for answer in answers)
    assert all(sum(answer.values()) == pytest.approx(1, abs=1e-5) for answer in answers)
    assert max(abs(answers[0][code] - answers[1][code]) for code in CODES) > 0.01


def test_its_report_was_measured_on_these_weights(folder):
    report = read_report(folder)
    assert {"test", "validation"} <= set(report)
    for record in report.values():
        assert record["model"]["weights_sha256"] == weights_sha256(folder)
    assert report["test"]["data"]["same_as_training"] is True


def test_it_was_trained_on_the_whole_train_split(folder):
    record = json.loads((folder / "training.json").read_text())
    assert record["dataset"]["images"]["train"] == TRAIN_IMAGES
    assert record["dataset"]["synthetic"] is False
    assert record["history"]


def test_nothing_but_safetensors_holds_weights(folder):
    files = [file for file in folder.iterdir() if file.is_file()]
    kinds = {".json", ".safetensors", ".png", ".py", ".md", ".html", ".csv"}
    assert {file.suffix for file in files} <= kinds
