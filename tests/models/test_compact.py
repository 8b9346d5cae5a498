import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import pipeline

from hf_lesion.classifier import LesionClassifier
from hf_lesion.models.build import load_classifier
from hf_lesion.models.compact import save_compact


@pytest.fixture(params=["tiny_timm_model", "tiny_cnn_model"])
def folder(request):
    return request.getfixturevalue(request.param)


def test_half_the_size_and_the_same_answers_in_float32(folder, tmp_path):
    save_compact(*load_classifier(str(folder)), tmp_path)
    full, compact = ((f / "model.safetensors").stat().st_size for f in (folder, tmp_path))
    assert compact < 0.75 * full
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float32"
    assert pipeline("image-classification", model=str(tmp_path)).model.dtype == torch.float32
    noise = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    images = [Image.fromarray(n).resize((200, 150), Image.Resampling.BICUBIC) for n in noise]
    expected, got = (
        LesionClassifier.from_pretrained(f).predict(images) for f in (folder, tmp_path)
    )
    assert np.allclose(got, expected, atol=0.01)


def test_a_model_in_half_precision_is_refused(folder, tmp_path):
    model, processor = load_classifier(str(folder))
    with pytest.raises(ValueError, match=r"^Expected a float32 model, got torch\.float16\.$"):
        save_compact(model.half(), processor, tmp_path)


def test_a_vector_is_halved_only_where_half_precision_can_hold_it(tiny_timm_model, tmp_path):
    model, processor = load_classifier(str(tiny_timm_model))
    norm = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    name = next(n for n, m in model.named_modules() if m is norm)
    with torch.no_grad():
        norm.running_mean.fill_(0.25)
        norm.running_var.fill_(1e-6)
        norm.weight.fill_(1e6)
    save_compact(model, processor, tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    kinds = {
        part: saved[f"{name}.{part}"].dtype for part in ("running_mean", "running_var", "weight")
    }
    assert kinds == {
        "running_mean": torch.float16,
        "running_var": torch.float32,
        "weight": torch.float32,
    }
    assert saved[f"{name}.running_var"].equal(norm.running_var)
