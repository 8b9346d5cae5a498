import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from hf_lesion.labels import CODES
from hf_lesion.models import cnn
from hf_lesion.models.build import build_model
from hf_lesion.models.cnn import LesionCnnConfig, LesionCnnForImageClassification


def conv_channels(model):
    return [layer.out_channels for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)]


def linear_units(model):
    return [layer.out_features for layer in model.modules() if isinstance(layer, torch.nn.Linear)]


def test_the_default_is_the_student_projects_network():
    model = LesionCnnForImageClassification(LesionCnnConfig(num_labels=7))
    assert conv_channels(model) == [64, 128, 256, 512]
    assert linear_units(model) == [512, 128, 7]
    kinds = [type(layer).__name__ for layer in model.features[0]]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert model.head[2].in_features == 512 * 8 * 8
    assert model(pixel_values=torch.zeros(2, 3, 128, 128)).logits.shape == (2, 7)


def test_average_pooling_takes_any_size():
    config = LesionCnnConfig(num_labels=7, pooling="average", hidden_sizes=[], widths=[4, 8])
    model = LesionCnnForImageClassification(config)
    for side in (16, 40):
        assert model(pixel_values=torch.zeros(1, 3, side, side)).logits.shape == (1, 7)


def test_an_unknown_pooling_is_refused():
    with pytest.raises(
        ValueError, match=r'^pooling must be "flatten" or "average", not \'max\'\.$'
    ):
        LesionCnnForImageClassification(LesionCnnConfig(pooling="max"))


def test_weights_start_with_the_spread_that_relu_needs():
    torch.manual_seed(0)
    model = LesionCnnForImageClassification(LesionCnnConfig(num_labels=7))
    layer = model.features[2][0]
    assert layer.weight.std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)


def test_the_loss_is_cross_entropy():
    model = LesionCnnForImageClassification(LesionCnnConfig(num_labels=7, widths=[4], image_size=8))
    pixel_values, labels = torch.rand(3, 3, 8, 8), torch.tensor([0, 6, 3])
    outputs = model.eval()(pixel_values=pixel_values, labels=labels)
    picked = outputs.logits.log_softmax(dim=1)[torch.arange(3), labels]
    assert outputs.loss.item() == pytest.approx(-picked.mean().item())
    as_tuple = model(pixel_values=pixel_values, labels=labels, return_dict=False)
    assert torch.equal(as_tuple[1], outputs.logits)


def test_the_code_beside_the_weights_is_this_code(tiny_cnn_model):
    assert (tiny_cnn_model / "cnn.py").read_bytes() == Path(cnn.__file__).read_bytes()


def test_pipeline_needs_no_remote_code_where_hf_lesion_is_imported(tiny_cnn_model):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    answer = pipeline("image-classification", model=str(tiny_cnn_model), top_k=7)(image)
    assert {entry["label"] for entry in answer} == set(CODES)


OURS = "import hf_lesion"
PIPELINE = "from transformers import pipeline"
AUTO = "from transformers import AutoModelForImageClassification"


@pytest.mark.parametrize(
    "lines",
    [
        (PIPELINE, OURS),
        # In this process too: see the test above.
        pytest.param((OURS, PIPELINE), marks=pytest.mark.slow),
        pytest.param((AUTO, OURS), marks=pytest.mark.slow),
        pytest.param((OURS, AUTO), marks=pytest.mark.slow),
    ],
)
def test_the_order_of_the_imports_does_not_matter(tiny_cnn_model, tmp_path, lines):
    """Neither to AutoConfig, of a folder that has no code of its own, nor to `pipeline`."""
    config = json.loads((tiny_cnn_model / "config.json").read_text())
    del config["auto_map"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    code = "; ".join(
        (
            *lines,
            "from transformers import AutoConfig, pipeline",
            f"print(type(AutoConfig.from_pretrained({str(tmp_path)!r})))",
            f"print(type(pipeline('image-classification', model={str(tiny_cnn_model)!r}).model))",
        )
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    for name in ("LesionCnnConfig", "LesionCnnForImageClassification"):
        assert f"hf_lesion.models.cnn.{name}" in answer.stdout, answer.stderr


def test_building_is_seeded():
    def build():
        torch.manual_seed(3)
        return build_model("cnn", model_args={"widths": [4, 4], "pooling": "average"})[0]

    first, second = build().state_dict(), build().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
