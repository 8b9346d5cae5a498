import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from hf_lesion.inference import LesionClassifier

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fit_gate.py"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(4):
        Image.new("RGB", (60, 80), (40 * index, 200, 30)).save(folder / f"{index}.png")
    return folder


def test_a_gate_is_fitted_measured_and_then_loaded(
    call, tiny_cnn_model, sample_dataset, photos, tmp_path
):
    model = shutil.copytree(tiny_cnn_model, tmp_path / "model")
    code, out, err = call(
        "--model", model, "--dataset", sample_dataset, "--photos", photos, "--more", photos,
        "--limit", 12,
    )  # fmt: skip
    assert code == 0, err
    record = json.loads((model / "gate.json").read_text())
    assert record["chosen"] in record["candidates"]
    assert {"test", "test, retaken"} == set(record["real"])
    strange = record["strange"]
    assert strange["half of the photos"]["images"] == 2
    assert strange["photos"]["images"] == 4
    assert {"drawn: text", "drawn: skin", "photos, retaken"} <= set(strange)
    assert (model / "gate.png").read_bytes()[:4] == b"\x89PNG"
    assert "drawn: screenshot" in out
    classifier = LesionClassifier.from_pretrained(model)
    probabilities, verdicts = classifier.judge([Image.new("RGB", (64, 64), (0, 255, 0))])
    assert classifier.gate.inputs == tuple(record["inputs"])
    assert verdicts[0].kind == "strange"
    assert verdicts[0].confidence == pytest.approx(probabilities.max())


def test_a_missing_folder_of_photos_is_one_line(call, tiny_cnn_model, sample_dataset, tmp_path):
    code, out, err = call(
        "--model", tiny_cnn_model, "--dataset", sample_dataset, "--photos", tmp_path / "none",
        "--limit", 2, "--output", tmp_path,
    )  # fmt: skip
    assert (code, out) == (2, "")
    assert err.startswith("error: There is no folder ")
    assert err.count("\n") == 1
