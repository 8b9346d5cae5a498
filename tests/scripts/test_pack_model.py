import json
import shutil
from pathlib import Path

from hf_lesion.calibration.fit import read_fits
from hf_lesion.classifier import LesionClassifier

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "pack_model.py"


def test_a_run_becomes_a_folder_that_loads(call, refusal, tiny_cnn_model, tmp_path):
    run, packed = tmp_path / "run", tmp_path / "models" / "cnn"
    shutil.copytree(tiny_cnn_model, run)
    (run / "training.json").write_text(json.dumps({"steps": 3}))
    code, out, err = call("--run", run, "--output", packed)
    assert code == 0, err
    assert out.startswith(f"Packed: {packed}, 0.")
    assert LesionClassifier.from_pretrained(packed).record == {"steps": 3}
    line = ("--run", run, "--output", tmp_path / "models" / "squashed", "--crop_mode", "squash")
    assert call(*line)[0] == 0
    squashed = LesionClassifier.from_pretrained(tmp_path / "models" / "squashed")
    assert squashed.preprocessing.crop_mode == "squash"
    assert refusal("--run", run, "--output", packed) == (
        f"error: {packed} already exists. Pass --overwrite to replace it, or another --output."
    )


def test_with_a_dataset_the_folder_is_calibrated(call, tiny_timm_model, sample_dataset, tmp_path):
    run, packed = tmp_path / "run", tmp_path / "packed"
    shutil.copytree(tiny_timm_model, run)
    (run / "training.json").write_text(json.dumps({"steps": 3}))
    data = ("--dataset", sample_dataset, "--split", "train", "--check_split", "validation")
    options = ("--melanoma_sensitivity", 0.8, "--logit_adjustment", 0.3)
    code, out, err = call("--run", run, "--output", packed, *data, *options)
    assert code == 0, err
    fits = read_fits(packed)
    found, points = fits.calibration, fits.points.points
    assert found.logit_adjustment == 0.3
    assert out.startswith(
        f"Logit adjustment 0.300, temperature {found.temperature:.3f}; cross-validated on train:\n"
    )
    assert points["melanoma"].target_sensitivity == 0.8
    assert points["malignant"].target_sensitivity == 0.9
    assert found.fitted_on["split"] == "train"
    check = fits.reliability.checked_on
    assert check.split == "validation"
    assert f"Reliability on validation: ECE {check.ece:.4f} (by chance " in out
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".partial")]
    code, _, err = call(
        "--run", run, "--output", tmp_path / "no", *data, "--melanoma_sensitivity", 0
    )
    assert (code, err) == (2, "error: --melanoma_sensitivity is 0.0; pass a share, such as 0.9.\n")


def test_a_packed_folder_is_calibrated_anew(call, tiny_timm_model, sample_dataset, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_timm_model, model)
    data = ("--dataset", sample_dataset, "--split", "train", "--check_split", "validation")
    code, out, err = call("--model", model, *data, "--logit_adjustment", 0.3)
    assert code == 0, err
    assert out.endswith(" MB\n")
    first = read_fits(model)
    assert first.calibration.logit_adjustment == 0.3
    again = tmp_path / "again"
    assert call("--model", model, *data, "--output", again)[0] == 0
    assert read_fits(model) == first
    fitted = read_fits(again).calibration
    assert fitted.weights_sha256 != first.calibration.weights_sha256
    code, _, err = call("--model", model, *data, "--output", again)
    assert code == 2
    assert "Pass --overwrite to replace it" in err


def test_arguments_that_do_not_fit_together_are_refused(call, tmp_path):
    for line, message in (
        ((), "Pass either --run or --model."),
        (("--run", tmp_path, "--model", tmp_path), "Pass either --run or --model."),
        (("--run", tmp_path), "--run needs --output, the folder to make."),
        (("--model", tmp_path), "--model needs --dataset to calibrate on."),
        (
            ("--model", tmp_path, "--dataset", tmp_path, "--image_size", 64),
            "--image_size and --crop_mode need --run.",
        ),
    ):
        assert call(*line) == (2, "", f"error: {message}\n")


def test_what_is_no_run_is_refused_in_one_line(refusal, tmp_path):
    assert refusal("--run", tmp_path / "none", "--output", tmp_path / "out").startswith(
        f"error: {tmp_path / 'none'} is not a finished run: it has no training.json"
    )


def test_an_adjustment_needs_a_dataset(call, tmp_path):
    line = ("--run", tmp_path, "--output", tmp_path / "out", "--logit_adjustment")
    code, _, err = call(*line, 0.3)
    assert code == 2
    assert err.startswith("error: --logit_adjustment needs --dataset")
    assert call(*line, -1)[2].startswith("error: --logit_adjustment is -1.0; pass 0 or more.")
