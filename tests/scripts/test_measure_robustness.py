import json
from pathlib import Path

from hf_lesion.data.record import read_fingerprint
from hf_lesion.evaluation.report.build import weights_sha256

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "measure_robustness.py"


def test_a_model_is_measured_recorded_and_drawn(call, tiny_timm_model, sample_dataset, tmp_path):
    code, out, err = call(
        "--model", tiny_timm_model, "--dataset", sample_dataset, "--split", "train",
        "--only", "jpeg", "hair", "--limit", 20, "--output", tmp_path,
    )  # fmt: skip
    assert code == 0, err
    record = json.loads((tmp_path / "robustness.json").read_text())
    assert record["images"] == 20
    assert list(record["distortions"]) == ["jpeg", "hair"]
    assert record["data"]["fingerprint"] == read_fingerprint(sample_dataset)
    assert record["model"]["weights_sha256"] == weights_sha256(tiny_timm_model)
    assert "20 drawn hairs" in out
    assert (tmp_path / "robustness.png").read_bytes()[:4] == b"\x89PNG"


def test_an_unknown_distortion_is_one_line(refusal, tiny_timm_model, sample_dataset, tmp_path):
    err = refusal(
        "--model", tiny_timm_model, "--dataset", sample_dataset, "--only", "fog", "--limit", 2,
        "--output", tmp_path,
    )  # fmt: skip
    assert err.startswith("error: Unknown distortion 'fog': expected jpeg, blur,")
