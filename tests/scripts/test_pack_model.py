import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import pipeline

from hf_lesion.calibration.fit import read_fits
from hf_lesion.classifier import LesionClassifier
from hf_lesion.labels import CODES
from hf_lesion.models.build import build_model
from hf_lesion.synthetic.lesions import draw_lesion

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "pack_model.py"


@pytest.fixture(params=["tiny_timm_model", "tiny_cnn_model"])
def run(request, tmp_path):
    """A finished run: a model with its record, and what training leaves next to it."""
    folder = tmp_path / "run"
    shutil.copytree(request.getfixturevalue(request.param), folder)
    record = {"dataset": {"folder": f"{Path.home()}/data/ham10000"}, "steps": 3}
    (folder / "training.json").write_text(json.dumps(record))
    (folder / "report.json").write_text("{}")
    (folder / "checkpoint-3").mkdir()
    (folder / "checkpoint-3" / "optimizer.pt").write_bytes(b"0" * 1000)
    return folder


def test_weights_and_record_are_packed_and_nothing_else(call, refusal, run, tmp_path):
    packed = tmp_path / "models" / "packed"
    code, out, err = call("--run", run, "--output", packed)
    assert code == 0, err
    size = sum(file.stat().st_size for file in packed.rglob("*"))
    assert out == f"Packed: {packed}, {size / 1e6:.1f} MB\n"
    assert size < 0.8 * (run / "model.safetensors").stat().st_size + 20_000
    names = {file.name for file in packed.iterdir()}
    assert {"config.json", "model.safetensors", "training.json"} <= names
    assert not names & {"report.json", "checkpoint-3"}
    record = LesionClassifier.from_pretrained(packed).record
    assert record == {"dataset": {"folder": "~/data/ham10000"}, "steps": 3}
    assert pipeline("image-classification", model=str(packed)).model.dtype == torch.float32
    (packed / "stale.txt").write_text("old")
    assert refusal("--run", run, "--output", packed) == (
        f"error: {packed} already exists. Pass --overwrite to replace it, or another --output."
    )
    assert call("--run", run, "--output", packed, "--overwrite")[0] == 0
    assert not (packed / "stale.txt").exists()


@pytest.mark.parametrize(("mode", "side"), [("centre", 48), ("squash", 80), ("pad", 64)])
def test_other_crops_and_sizes_are_packed_with_the_same_weights(call, run, mode, side, tmp_path):
    packed = tmp_path / "packed"
    options = ("--crop_mode", mode, "--image_size", side)
    assert call("--run", run, "--output", packed, *options)[0] == 0
    classifier = LesionClassifier.from_pretrained(packed)
    assert (classifier.image_size, classifier.preprocessing.crop_mode) == ((side, side), mode)
    own = LesionClassifier.from_pretrained(run).model.state_dict()
    for name, weight in classifier.model.state_dict().items():
        assert torch.allclose(weight.float(), own[name].float(), rtol=2e-3, atol=1e-4)
    classify = pipeline("image-classification", model=str(packed), top_k=7)
    image = draw_lesion("mel", seed=1)[0]
    shown = classify.image_processor(image, return_tensors="pt")["pixel_values"]
    assert shown.shape[-2:] == (side, side)
    answers = {answer["label"]: answer["score"] for answer in classify(image)}
    assert classifier.predict([image])[0] == pytest.approx([answers[c] for c in CODES], abs=1e-5)


def test_a_folder_is_calibrated_and_calibrated_again(
    call, tiny_timm_model, sample_dataset, tmp_path
):
    run, packed, again = tmp_path / "run", tmp_path / "packed", tmp_path / "again"
    shutil.copytree(tiny_timm_model, run)
    (run / "training.json").write_text(json.dumps({"steps": 3}))
    data = ("--dataset", sample_dataset, "--split", "train", "--check_split", "validation")
    options = ("--melanoma_sensitivity", 0.8, "--logit_adjustment", 0.3)
    code, out, err = call("--run", run, "--output", packed, *data, *options)
    assert code == 0, err
    fits = read_fits(packed)
    found, points = fits.calibration, fits.points.points
    assert (found.logit_adjustment, found.fitted_on["split"]) == (0.3, "train")
    assert out.startswith(
        f"Logit adjustment 0.300, temperature {found.temperature:.3f}; cross-validated on train:\n"
    )
    assert points["melanoma"].target_sensitivity == 0.8
    assert points["malignant"].target_sensitivity == 0.9
    check = fits.reliability.checked_on
    assert check.split == "validation"
    assert f"Reliability on validation: ECE {check.ece:.4f} (perfectly calibrated: " in out
    assert call("--model", packed, *data, "--output", again)[0] == 0
    assert read_fits(packed) == fits
    assert read_fits(again).calibration.weights_sha256 != found.weights_sha256
    assert call("--model", again, *data, "--logit_adjustment", 0.2)[0] == 0
    assert read_fits(again).calibration.logit_adjustment == 0.2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "Pass either --run or --model."),
        ("--run . --model .", "Pass either --run or --model."),
        ("--run .", "--run needs --output, the folder to make."),
        ("--model .", "--model needs --dataset to calibrate on."),
        ("--model . --dataset . --image_size 64", "--image_size and --crop_mode need --run."),
        ("--run . --output a --logit_adjustment 0.3", "--logit_adjustment needs --dataset, whose "),
        ("--run . --output a --logit_adjustment -1", "--logit_adjustment is -1.0; pass 0 or more."),
        ("--run . --output a --melanoma_sensitivity 0", "--melanoma_sensitivity is 0.0; pass a s"),
        ("--run none --output a", "none is not a finished run: it has no training.json"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(refusal, words, message):
    assert refusal(*words.split()).startswith(f"error: {message}")


def test_runs_that_cannot_be_packed_are_refused(refusal, tmp_path):
    model, processor = build_model("cnn", image_size=32, model_args={"widths": [4, 8]})
    for part in (model, processor):
        part.save_pretrained(tmp_path / "run")
    (tmp_path / "run" / "training.json").write_text("{}")
    line = ("--run", tmp_path / "run", "--output", tmp_path / "packed")
    assert "does not accept images of 64 px. Leave out" in refusal(*line, "--image_size", 64)
    assert "Expected --image_size of at least 16, got 8." in refusal(*line, "--image_size", 8)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
