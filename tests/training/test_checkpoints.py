import json
import logging
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.training.checkpoints import (
    FILES,
    average_checkpoints,
    find_checkpoint,
)


def make_checkpoint(output_dir, step):
    folder = output_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(json.dumps({"global_step": step}))
    save_file({"weight": torch.zeros(100)}, folder / "model.safetensors")
    return folder


def test_the_newest_whole_checkpoint_is_found_and_damaged_ones_are_skipped_with_a_line(
    tmp_path, caplog
):
    assert find_checkpoint(tmp_path / "never") is None
    assert find_checkpoint(tmp_path) is None
    make_checkpoint(tmp_path, 9)
    whole = make_checkpoint(tmp_path, 10)
    (tmp_path / "checkpoint-best").mkdir()
    assert find_checkpoint(tmp_path) == whole
    cut = make_checkpoint(tmp_path, 20) / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:50])
    (make_checkpoint(tmp_path, 30) / "trainer_state.json").unlink()
    (make_checkpoint(tmp_path, 40) / "trainer_state.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert find_checkpoint(tmp_path) == whole
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[1] == f"Skipping {tmp_path}/checkpoint-30: it lacks trainer_state.json."
    assert "checkpoint-20: it is damaged (" in lines[2]


@pytest.fixture
def two_checkpoints(tiny_cnn_model, tmp_path):
    """A finished run with two checkpoints of other weights."""
    run = shutil.copytree(tiny_cnn_model, tmp_path / "run")
    (run / "training.json").write_text(json.dumps({"steps": 3}))
    folders = []
    for number in (1, 2):
        folder = run / f"checkpoint-{number}"
        folder.mkdir()
        shutil.copyfile(run / "config.json", folder / "config.json")
        weights = load_file(run / "model.safetensors")
        changed = {
            name: tensor + number if tensor.is_floating_point() else tensor + 2 * number
            for name, tensor in weights.items()
        }
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        folders.append(folder)
    return folders


def test_the_mean_is_a_model_that_says_what_it_is_of(two_checkpoints, tmp_path):
    output = tmp_path / "mean"
    average_checkpoints(two_checkpoints, output)
    first, second, mean = (
        load_file(folder / "model.safetensors") for folder in (*two_checkpoints, output)
    )
    assert mean.keys() == first.keys()
    for name, tensor in mean.items():
        expected = (first[name].double() + second[name].double()) / 2
        assert torch.allclose(tensor.double(), expected, atol=1e-6)
        assert tensor.dtype == first[name].dtype
    record = json.loads((output / "training.json").read_text())
    assert record == {"steps": 3, "averaged": ["run/checkpoint-1", "run/checkpoint-2"]}
    assert LesionClassifier.from_pretrained(output).image_size == (64, 64)
    with pytest.raises(InputError, match="mean"):
        average_checkpoints(two_checkpoints, output)


def test_what_can_not_be_averaged_is_refused(two_checkpoints, tmp_path):
    first, second = two_checkpoints
    with pytest.raises(InputError, match="Expected at least two checkpoints to average, got 1"):
        average_checkpoints([first], tmp_path / "out")
    weights = load_file(second / "model.safetensors")
    name = next(name for name, tensor in weights.items() if tensor.ndim)
    save_file({**weights, name: weights[name][:1].clone()}, second / "model.safetensors")
    with pytest.raises(InputError, match="checkpoint-2 has another architecture than the first"):
        average_checkpoints(two_checkpoints, tmp_path / "out")
    (first.parent / "training.json").unlink()
    with pytest.raises(InputError, match="checkpoint-1 does not belong to a finished run"):
        average_checkpoints(two_checkpoints, tmp_path / "out")
    (first / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"is not a model folder: it lacks model\.safetensors"):
        average_checkpoints(two_checkpoints, tmp_path / "out")
    unreadable = tmp_path / os.fsdecode(b"caf\xe9")
    for folders, output in ((two_checkpoints, unreadable), ([unreadable] * 2, tmp_path)):
        with pytest.raises(InputError, match=r"caf\\udce9 is not UTF-8"):
            average_checkpoints(folders, output)
    assert not (tmp_path / "out").exists()
