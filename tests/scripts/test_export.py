"""The command line; the file itself is tested in tests/hub."""

from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "export.py"


def test_an_existing_file_is_not_replaced_unasked(call, tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"")
    code, out, err = call("--model", tmp_path)
    assert (code, out) == (2, "")
    assert err == (
        f"error: {tmp_path}/onnx/model.onnx already exists. Pass --overwrite to replace it.\n"
    )


@pytest.mark.parametrize("more", [(), ("--dataset", "data", "--output", "a.onnx")])
def test_eight_bits_need_a_dataset_to_measure_their_loss_on(call, tmp_path, more):
    code, out, err = call("--model", tmp_path, "--int8", *more)
    assert (code, out) == (2, "")
    assert err.startswith("error: --int8 writes to the model folder and measures the loss: pass")


def test_a_dataset_that_is_not_there_is_said_before_anything_is_exported(call, tmp_path):
    code, out, err = call("--model", tmp_path, "--int8", "--dataset", tmp_path / "none")
    assert (code, out) == (2, "")
    assert str(tmp_path / "none") in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_model_on_the_hub_needs_a_place_for_the_file(call):
    code, out, err = call("--model", "me/model", "--format", "onnx")
    assert (code, out) == (2, "")
    assert err == "error: me/model is not a local folder. Pass --output FILE.\n"
