import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.training.averaging import average_checkpoints


@pytest.fixture(params=["tiny_timm_model", "tiny_cnn_model"])
def checkpoints(request, tmp_path):
    """A finished run with two checkpoints of other weights."""
    run = shutil.copytree(request.getfixturevalue(request.param), tmp_path / "run")
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


def test_folders_that_safetensors_cannot_open_are_refused(checkpoints, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    for folders, output in ((checkpoints, tmp_path / name), ([tmp_path / name] * 2, tmp_path)):
        with pytest.raises(InputError, match=r"caf\\udce9 is not UTF-8"):
            average_checkpoints(folders, output)


def test_the_mean_is_a_model_that_says_what_it_is_of(checkpoints, tmp_path):
    output = tmp_path / "mean"
    average_checkpoints(checkpoints, output)
    first, second, mean = (
        load_file(folder / "model.safetensors") for folder in (*checkpoints, output)
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
        average_checkpoints(checkpoints, output)


def test_what_can_not_be_averaged_is_refused(checkpoints, tmp_path):
    first, second = checkpoints
    with pytest.raises(InputError, match="Expected two checkpoints or more to average, got 1"):
        average_checkpoints([first], tmp_path / "out")
    weights = load_file(second / "model.safetensors")
    name = next(name for name, tensor in weights.items() if tensor.ndim)
    save_file({**weights, name: weights[name][:1].clone()}, second / "model.safetensors")
    with pytest.raises(InputError, match="checkpoint-2 is another network than the first"):
        average_checkpoints(checkpoints, tmp_path / "out")
    (first.parent / "training.json").unlink()
    with pytest.raises(InputError, match="checkpoint-1 is of no finished run"):
        average_checkpoints(checkpoints, tmp_path / "out")
    (first / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no model: it has no model\.safetensors"):
        average_checkpoints(checkpoints, tmp_path / "out")
    assert not (tmp_path / "out").exists()
