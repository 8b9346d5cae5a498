import json
from dataclasses import replace

import numpy as np
import pytest
from shipped import answer, write_model

from hf_lesion.errors import InputError
from hf_lesion.evaluation import model_comparison
from hf_lesion.evaluation.metrics import compute_metrics
from hf_lesion.evaluation.predictions import write_predictions
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.report.record import REPORT

RIGHT = {"a": 0.5, "b": 0.9}


@pytest.fixture
def folders(tmp_path):
    """Two scored models with the predictions that their scores are of."""
    for name, right in RIGHT.items():
        folder = write_model(tmp_path, name, right=right)
        report = json.loads((folder / REPORT).read_text())
        report["test"]["model"]["weights_sha256"] = weights_sha256(folder)
        (folder / REPORT).write_text(json.dumps(report))
        write_predictions(folder / "predictions_test.csv", answer(right)[0])
    return model_comparison.find_models(tmp_path)


def test_neighbours_are_compared_on_the_same_images(folders):
    answers = model_comparison.read_answers(folders, answer(0.5)[0], "test")
    pairs = model_comparison.compare_pairs(answers, resamples=200)
    assert [(pair["first"], pair["second"]) for pair in pairs] == [("b", "a")]
    b, a = (compute_metrics(answers[name].probabilities, answers[name].references) for name in "ba")
    for name in ("balanced_accuracy", "accuracy", "macro_auroc"):
        value, low, high = pairs[0]["differences"][name]
        assert value == pytest.approx(b[name] - a[name])
        assert low < value < high
    assert pairs[0]["differences"]["balanced_accuracy"][1] > 0.1


def test_records_of_several_splits_are_kept(folders):
    models = folders[0].parent
    model_comparison.write_comparison(models, "validation", {"pairs": []})
    model_comparison.write_comparison(models, "test", {"pairs": [1]})
    assert model_comparison.read_comparison(models) == {
        "validation": {"pairs": []},
        "test": {"pairs": [1]},
    }


def test_a_model_with_other_weights_is_rejected(folders):
    (folders[0] / "model.safetensors").write_bytes(b"1" * 10)
    with pytest.raises(InputError, match=r"a was not scored on test, or has other weights now\."):
        model_comparison.read_answers(folders, answer(0.5)[0], "test")


def test_predictions_for_other_images_are_rejected(folders):
    images = answer(0.5)[0]
    other = replace(images, references=np.roll(images.references, 1))
    with pytest.raises(InputError, match="images that are not the 140 to be scored"):
        model_comparison.read_answers(folders, other, "test")


def test_one_model_cannot_be_compared(tmp_path):
    with pytest.raises(InputError, match=r"holds 0 models; a comparison needs two or more\.$"):
        model_comparison.find_models(tmp_path / "none")
    (tmp_path / model_comparison.RECORD).write_text("no json")
    with pytest.raises(InputError, match=r"comparison\.json .* compare again\."):
        model_comparison.read_comparison(tmp_path)
