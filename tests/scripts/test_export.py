"""The command line; the file itself is tested in tests/hub."""

from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "export.py"


def test_an_existing_file_is_not_replaced_unasked(refusal, tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"")
    assert refusal("--model", tmp_path) == (
        f"error: {tmp_path}/onnx/model.onnx already exists. Pass --overwrite to replace it."
    )


@pytest.mark.parametrize("more", [(), ("--dataset", "data", "--output", "a.onnx")])
def test_eight_bits_need_a_dataset_to_measure_their_loss_on(refusal, tmp_path, more):
    err = refusal("--model", tmp_path, "--int8", *more)
    assert err.startswith("error: --int8 writes to the model folder and measures the loss: pass")


def test_a_dataset_that_is_not_there_is_said_before_anything_is_exported(refusal, tmp_path):
    err = refusal("--model", tmp_path, "--int8", "--dataset", tmp_path / "none")
    assert str(tmp_path / "none") in err
    assert not list(tmp_path.iterdir())


def test_a_model_on_the_hub_needs_a_place_for_the_file(refusal):
    err = refusal("--model", "me/model", "--format", "onnx")
    assert err == "error: me/model is not a local folder. Pass --output FILE."
