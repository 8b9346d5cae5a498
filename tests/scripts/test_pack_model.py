import json
import shutil
from pathlib import Path

from hf_lesion.inference import LesionClassifier

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "pack_model.py"


def test_a_run_becomes_a_folder_that_loads(call, tiny_cnn_model, tmp_path):
    run, packed = tmp_path / "run", tmp_path / "models" / "cnn"
    shutil.copytree(tiny_cnn_model, run)
    (run / "training.json").write_text(json.dumps({"steps": 3}))
    code, out, err = call("--run", run, "--output", packed)
    assert code == 0, err
    assert out.startswith(f"Packed: {packed}, 0.")
    assert LesionClassifier.from_pretrained(packed).record == {"steps": 3}
    code, out, err = call("--run", run, "--output", packed)
    assert (code, out) == (2, "")
    assert err == (
        f"error: {packed} is there already. Pass --overwrite to replace it, or another --output.\n"
    )


def test_what_is_no_run_is_refused_in_one_line(call, tmp_path):
    code, out, err = call("--run", tmp_path / "none", "--output", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path / 'none'} is no finished run: it has no training.json")
    assert err.count("\n") == 1
