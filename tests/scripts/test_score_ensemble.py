import json
import shutil
from pathlib import Path

import pytest

from hf_lesion.classifier import LesionClassifier
from hf_lesion.evaluation.ensemble import RECORD
from hf_lesion.evaluation.predictions import write_predictions
from hf_lesion.evaluation.report.build import weights_sha256
from hf_lesion.evaluation.report.record import write_record
from hf_lesion.evaluation.scoring import predict, read_split

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "score_ensemble.py"


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


def test_the_mean_is_measured_and_kept_beside_the_models(call, models, sample_dataset):
    code, out, err = call("--models", models, "--dataset", sample_dataset)
    assert code == 0, err
    found = json.loads((models / RECORD).read_text())["test"]
    assert found["members"] == {name: weights_sha256(models / name) for name in ("cnn", "resnet")}
    assert out.startswith(f"balanced_accuracy: {found['metrics']['balanced_accuracy']:.3f} [")
    best, worst = (found["pairs"][index]["second"] for index in (0, 1))
    value, low, high = found["pairs"][1]["differences"]["balanced_accuracy"]
    assert f"{best} minus {worst}: {value:+.3f} [{low:+.3f}, {high:+.3f}]\n" in out
    assert f"Mean of cnn, resnet on {found['images']} images." in out
    (models / "cnn" / "predictions_test.csv").unlink()
    code, _, err = call("--models", models, "--dataset", sample_dataset)
    assert code == 2
    assert err.startswith("error: There is no ")
