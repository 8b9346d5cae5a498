import json
import shutil
from pathlib import Path

import pytest

from hf_lesion.classifier import LesionClassifier
from hf_lesion.evaluation.comparison import RECORD
from hf_lesion.evaluation.metrics import compute_metrics
from hf_lesion.evaluation.predictions import read_predictions, write_predictions
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.report.record import write_record
from hf_lesion.evaluation.scoring import predict, read_split

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare_models.py"


@pytest.fixture
def models(tiny_timm_model, tiny_cnn_model, sample_dataset, tmp_path):
    """Two models in one folder, as scripts/score.py leaves them."""
    from shipped import records

    images = read_split(sample_dataset, "test")
    for name, source in (("resnet", tiny_timm_model), ("cnn", tiny_cnn_model)):
        folder = shutil.copytree(source, tmp_path / "models" / name)
        answers = predict(LesionClassifier.from_pretrained(folder), images, batch_size=8)
        write_predictions(folder / "predictions_test.csv", answers)
        record = records(name)["test"]
        record["model"]["weights_sha256"] = weights_sha256(folder)
        write_record(folder, "test", record)
    return tmp_path / "models"


def test_pairs_are_compared_and_kept_next_to_the_models(call, models, sample_dataset):
    code, out, err = call("--models", models, "--dataset", sample_dataset)
    assert code == 0, err
    found = json.loads((models / RECORD).read_text())["test"]
    assert found["models"] == {name: weights_sha256(models / name) for name in ("cnn", "resnet")}
    (pair,) = found["pairs"]
    value, low, high = pair["differences"]["balanced_accuracy"]
    images = read_split(sample_dataset, "test")
    better, worse = (
        read_predictions(models / pair[place] / "predictions_test.csv", images)
        for place in ("first", "second")
    )
    first, second = (compute_metrics(one.probabilities, one.references) for one in (better, worse))
    assert value == pytest.approx(first["balanced_accuracy"] - second["balanced_accuracy"])
    assert low < value < high
    said = f"balanced accuracy {value:+.3f} [{low:+.3f}, {high:+.3f}]"
    assert out.startswith(f"{pair['first']} minus {pair['second']}: {said}\n")
    (models / "cnn" / "predictions_test.csv").unlink()
    code, _, err = call("--models", models, "--dataset", sample_dataset)
    assert code == 2
    assert "predictions_test.csv not found" in err
    (models / "cnn" / "model.safetensors").write_bytes(b"1")
    code, _, err = call("--models", models, "--dataset", sample_dataset)
    assert code == 2
    assert "cnn was not scored on test, or has other weights now." in err
