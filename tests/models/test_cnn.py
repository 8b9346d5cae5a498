from pathlib import Path

import pytest
import torch

from hf_lesion.models import cnn
from hf_lesion.models.build import build_model
from hf_lesion.models.cnn import LesionCnnConfig, LesionCnnForImageClassification


def test_the_default_is_the_student_projects_network_with_the_spread_that_relu_needs():
    torch.manual_seed(0)
    model = LesionCnnForImageClassification(LesionCnnConfig(num_labels=7))
    layers = list(model.modules())
    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [64, 128, 256, 512]
    linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in linear] == [512, 128, 7]
    kinds = [type(layer).__name__ for layer in model.features[0]]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert linear[0].in_features == 512 * 8 * 8
    spread = convolutions[2].weight.std().item()
    assert spread == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    assert model(pixel_values=torch.zeros(2, 3, 128, 128)).logits.shape == (2, 7)


def test_average_pooling_takes_any_size_and_another_pooling_is_refused():
    config = LesionCnnConfig(num_labels=7, pooling="average", hidden_sizes=[], widths=[4, 8])
    model = LesionCnnForImageClassification(config)
    for side in (16, 40):
        assert model(pixel_values=torch.zeros(1, 3, side, side)).logits.shape == (1, 7)
    with pytest.raises(ValueError, match=r'^pooling must be "flatten" or "average", not \'max\''):
        LesionCnnForImageClassification(LesionCnnConfig(pooling="max"))


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


def test_building_is_seeded():
    def build():
        torch.manual_seed(3)
        return build_model("cnn", model_args={"widths": [4, 4], "pooling": "average"})[0]

    first, second = build().state_dict(), build().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
