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


@pytest.mark.parametrize("name", ["tiny_timm_model", "tiny_cnn_model"])
def test_half_the_size_and_the_same_answers_in_float32(name, request, tmp_path):
    folder = request.getfixturevalue(name)
    model, processor = load_classifier(str(folder))
    save_compact(model, processor, tmp_path)
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
    with pytest.raises(ValueError, match=r"^Expected a float32 model, got torch\.float16\.$"):
        save_compact(model.half(), processor, tmp_path)


def test_a_vector_is_halved_only_where_half_precision_can_hold_it(tiny_timm_model, tmp_path):
    model, processor = load_classifier(str(tiny_timm_model))
    name, norm = next(
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    )
    with torch.no_grad():
        norm.running_mean.fill_(0.25)
        norm.running_var.fill_(1e-6)
        norm.weight.fill_(1e6)
    save_compact(model, processor, tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    kinds = [saved[f"{name}.{part}"].dtype for part in ("running_mean", "running_var", "weight")]
    assert kinds == [torch.float16, torch.float32, torch.float32]
    assert saved[f"{name}.running_var"].equal(norm.running_var)
