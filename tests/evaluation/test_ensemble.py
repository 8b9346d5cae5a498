import json
from dataclasses import replace

import numpy as np
import pytest
from shipped import answer, write_model

from hf_lesion.errors import InputError
from hf_lesion.evaluation import ensemble
from hf_lesion.evaluation.metrics import compute_metrics
from hf_lesion.evaluation.predictions import write_predictions
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.report.record import REPORT

RIGHT = {"a": 0.5, "b": 0.9}


@pytest.fixture
def members(tmp_path):
    """Two scored models with the predictions that their scores are of."""
    for name, right in RIGHT.items():
        folder = write_model(tmp_path, name, right=right)
        report = json.loads((folder / REPORT).read_text())
        report["test"]["model"]["weights_sha256"] = weights_sha256(folder)
        (folder / REPORT).write_text(json.dumps(report))
        write_predictions(folder / "predictions_test.csv", answer(right)[0])
    return ensemble.find_members(tmp_path)


def test_the_mean_of_the_answers_is_measured(members):
    images = answer(0.5)[0]
    mean = ensemble.average(ensemble.read_members(members, images, "test"))
    expected = (answer(0.5)[0].probabilities + answer(0.9)[0].probabilities) / 2
    assert mean.probabilities == pytest.approx(expected)
    weights = {folder.name: weights_sha256(folder) for folder in members}
    found = ensemble.describe(mean, data={"source": "drawn"}, weights=weights)
    values = compute_metrics(expected, images.references)
    assert found["metrics"]["balanced_accuracy"] == pytest.approx(values["balanced_accuracy"])
    low, high = found["intervals"]["bounds"]["balanced_accuracy"]
    assert low < values["balanced_accuracy"] < high
    models = members[0].parent
    ensemble.write_ensemble(models, "validation", found)
    ensemble.write_ensemble(models, "test", found)
    kept = ensemble.read_ensemble(models)
    assert list(kept) == ["validation", "test"]
    assert kept["test"]["members"] == weights


def test_neighbours_are_compared_on_the_same_images(members):
    answers = ensemble.read_members(members, answer(0.5)[0], "test")
    pairs = ensemble.compare_pairs(answers, ensemble.average(answers), resamples=200)
    assert [(pair["first"], pair["second"]) for pair in pairs] == [("ensemble", "b"), ("b", "a")]
    b, a = (compute_metrics(answers[name].probabilities, answers[name].references) for name in "ba")
    for name in ("balanced_accuracy", "accuracy", "macro_auroc"):
        value, low, high = pairs[1]["differences"][name]
        assert value == pytest.approx(b[name] - a[name])
        assert low < value < high
    assert pairs[1]["differences"]["balanced_accuracy"][1] > 0.1


def test_a_member_with_other_weights_is_refused(members):
    (members[0] / "model.safetensors").write_bytes(b"1" * 10)
    with pytest.raises(InputError, match=r"a was not scored on test, or has other weights now\."):
        ensemble.read_members(members, answer(0.5)[0], "test")


def test_answers_to_other_images_are_refused(members):
    images = answer(0.5)[0]
    other = replace(images, references=np.roll(images.references, 1))
    with pytest.raises(InputError, match="images that are not the 140 to be scored"):
        ensemble.read_members(members, other, "test")


def test_one_model_is_no_ensemble(members, tmp_path):
    with pytest.raises(InputError, match=r"holds 0 models; an ensemble needs two or more\.$"):
        ensemble.find_members(tmp_path / "none")
    (tmp_path / ensemble.RECORD).write_text("no json")
    with pytest.raises(InputError, match=r"ensemble\.json .* score again\."):
        ensemble.read_ensemble(tmp_path)
