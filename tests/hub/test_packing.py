import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import pipeline

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.hub.packing import folder_bytes, hide_home, pack_model
from hf_lesion.labels import CODES
from hf_lesion.models.build import build_model
from hf_lesion.models.preprocessing import CROP_MODES
from hf_lesion.synthetic.lesions import draw_lesion


@pytest.fixture(params=["tiny_timm_model", "tiny_cnn_model"])
def run(request, tmp_path):
    """A finished run: a model with its record, and what training leaves beside it."""
    folder = tmp_path / "run"
    shutil.copytree(request.getfixturevalue(request.param), folder)
    record = {"dataset": {"folder": f"{Path.home()}/data/ham10000"}, "steps": 3}
    (folder / "training.json").write_text(json.dumps(record))
    (folder / "report.json").write_text("{}")
    (folder / "checkpoint-3").mkdir()
    (folder / "checkpoint-3" / "optimizer.pt").write_bytes(b"0" * 1000)
    return folder


def test_weights_and_record_are_packed_and_nothing_else(run, tmp_path):
    size = pack_model(run, tmp_path / "packed")
    packed = tmp_path / "packed"
    assert size == folder_bytes(packed)
    assert size < 0.8 * (run / "model.safetensors").stat().st_size + 20_000
    names = {file.name for file in packed.iterdir()}
    assert {"config.json", "model.safetensors", "training.json"} <= names
    assert not names & {"report.json", "checkpoint-3"}
    assert json.loads((packed / "training.json").read_text())["dataset"] == {
        "folder": "~/data/ham10000"
    }
    loaded = pipeline("image-classification", model=str(packed))
    assert loaded.model.dtype == torch.float32


@pytest.mark.parametrize("mode", CROP_MODES)
def test_a_run_on_squares_is_packed_for_frames(run, mode, tmp_path):
    pack_model(run, tmp_path / "packed", crop_mode=mode)
    packed = LesionClassifier.from_pretrained(tmp_path / "packed")
    assert packed.preprocessing.crop_mode == mode
    asked = pipeline("image-classification", model=str(tmp_path / "packed"), top_k=7)
    image = draw_lesion("mel", seed=1)[0]
    answers = {answer["label"]: answer["score"] for answer in asked(image)}
    assert packed.predict([image])[0] == pytest.approx([answers[c] for c in CODES], abs=1e-5)


@pytest.mark.parametrize("side", [48, 80])
def test_another_size_is_packed_with_the_same_weights(run, side, tmp_path):
    pack_model(run, tmp_path / "own")
    pack_model(run, tmp_path / "other", image_size=side)
    own, other = (tmp_path / name / "model.safetensors" for name in ("own", "other"))
    assert own.read_bytes() == other.read_bytes()
    classifier = LesionClassifier.from_pretrained(tmp_path / "other")
    assert classifier.image_size == (side, side)
    image = Image.effect_noise((200, 150), 90).convert("RGB")
    shown = pipeline("image-classification", model=str(tmp_path / "other"), top_k=7)
    assert shown.image_processor(image, return_tensors="pt")["pixel_values"].shape[-1] == side
    answers = {entry["label"]: entry["score"] for entry in shown(image)}
    found = classifier.predict([image], batch_size=1)[0]
    assert found == pytest.approx([answers[code] for code in CODES], abs=1e-5)


def test_a_size_that_a_network_does_not_take_is_refused(tmp_path):
    torch.manual_seed(0)
    model, processor = build_model("cnn", image_size=32, model_args={"widths": [4, 8]})
    for part in (model, processor):
        part.save_pretrained(tmp_path / "run")
    (tmp_path / "run" / "training.json").write_text("{}")
    with pytest.raises(InputError, match=r"^The network takes no images of 64 px: leave --image_"):
        pack_model(tmp_path / "run", tmp_path / "packed", image_size=64)
    with pytest.raises(InputError, match=r"^Expected --image_size of at least 16, got 8\.$"):
        pack_model(tmp_path / "run", tmp_path / "packed", image_size=8)
    assert not (tmp_path / "packed").exists()


def test_an_existing_folder_is_replaced_on_request_only(run, tmp_path):
    output = tmp_path / "packed"
    output.mkdir()
    (output / "stale.txt").write_text("old")
    with pytest.raises(InputError, match="packed already exists"):
        pack_model(run, output)
    pack_model(run, output, overwrite=True)
    assert not (output / "stale.txt").exists()


def test_an_unfinished_run_is_refused(tiny_timm_model, tmp_path):
    with pytest.raises(InputError, match=r"tiny_resnet is not a finished run: it has no tra"):
        pack_model(tiny_timm_model, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_a_damaged_record_is_refused(run, tmp_path):
    (run / "training.json").write_text("{")
    with pytest.raises(InputError, match=r"training\.json is not JSON: .* Train the model"):
        pack_model(run, tmp_path / "packed")


def test_only_the_home_folder_is_hidden():
    assert hide_home(f'"{Path.home()}/runs/a"') == '"~/runs/a"'
    assert hide_home("/elsewhere/a") == "/elsewhere/a"


def test_a_folder_that_safetensors_cannot_write_to_is_refused(run, tmp_path):
    output = tmp_path / os.fsdecode(b"caf\xe9")
    with pytest.raises(InputError, match=r"caf\\udce9 is not UTF-8"):
        pack_model(run, output)
    assert not output.exists()
