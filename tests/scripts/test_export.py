"""The command line; the file itself is tested in tests/hub."""

from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "export.py"


def test_an_existing_file_is_not_replaced_unasked(call, tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"")
    code, out, err = call("--model", tmp_path)
    assert (code, out) == (2, "")
    assert err == (
        f"error: {tmp_path}/onnx/model.onnx is there already. Pass --overwrite to replace it.\n"
    )


def test_a_model_on_the_hub_needs_a_place_for_the_file(call):
    code, out, err = call("--model", "me/model", "--format", "onnx")
    assert (code, out) == (2, "")
    assert err == "error: me/model is no folder here: pass --output FILE.\n"
