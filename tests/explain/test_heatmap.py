import re

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from hf_lesion.errors import InputError
from hf_lesion.explain.heatmap import explain, overlay, target_layer
from hf_lesion.models.build import build_model

# One of each convolutional family, the smallest that timm has.
FAMILIES = [
    "resnet18",
    "densenet121",
    "test_efficientnet",
    "mobilenetv2_050",
    "test_convnext",
    "cnn",
]


class Bare(torch.nn.Module):
    """The wrapper that pytorch-grad-cam's README asks for."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        return self.model(pixel_values=pixel_values).logits


def build(name):
    torch.manual_seed(0)
    model, _ = build_model(name, image_size=64)
    return model.eval().requires_grad_(False)


def library_maps(model, pixel_values, targets):
    """Grad-CAM as the library does it, back to the input."""
    model.requires_grad_(True)
    with GradCAM(Bare(model), [target_layer(model)]) as cam:
        return cam(pixel_values.clone(), [ClassifierOutputTarget(target) for target in targets])


@pytest.mark.parametrize("name", FAMILIES)
def test_maps_equal_the_librarys_own(name):
    model, pixel_values = build(name), torch.rand(3, 3, 64, 64)
    found = explain(model, pixel_values, [0, 4, 6])
    assert found.maps.shape == (3, 64, 64)
    assert found.maps.dtype == np.float32
    assert np.allclose(found.maps, library_maps(model, pixel_values, [0, 4, 6]), atol=1e-4)
    with torch.no_grad():
        expected = model(pixel_values=pixel_values).logits.numpy()
    assert np.allclose(found.logits, expected, atol=1e-5)


def grad_cam(logit, activation):
    """Equations 1 and 2 of Selvaraju et al. 2017, for one image."""
    gradient = torch.autograd.grad(logit, activation, retain_graph=True)[0]
    weighted = gradient.mean(dim=(2, 3), keepdim=True) * activation.detach()
    return weighted.sum(dim=1).relu()[0].numpy()


@pytest.mark.parametrize("name", ["densenet121", "cnn"])
def test_maps_equal_the_papers_formula(name):
    """Weights are the mean gradients, the map is the ReLU of the weighted sum."""
    model, pixel_values = build(name), torch.rand(1, 3, 64, 64)
    kept = {}

    def keep(_module, _inputs, output):
        kept["activation"] = output.detach().clone().requires_grad_(True)
        return kept["activation"].clone()

    with target_layer(model).register_forward_hook(keep):
        logits = model(pixel_values=pixel_values).logits
    target = next(dx for dx in range(7) if grad_cam(logits[0, dx], kept["activation"]).max() > 0)
    cam = grad_cam(logits[0, target], kept["activation"])
    cam = (cam - cam.min()) / (cam.max() - cam.min())
    coarse = Image.fromarray(explain(model, pixel_values, [target]).maps[0]).resize(
        cam.shape[::-1], Image.Resampling.BOX
    )
    assert np.corrcoef(np.asarray(coarse).ravel(), cam.ravel())[0, 1] > 0.95


def test_without_targets_the_predicted_class_is_explained():
    model, pixel_values = build("resnet18"), torch.rand(4, 3, 64, 64)
    found = explain(model, pixel_values)
    assert np.array_equal(found.targets, found.logits.argmax(axis=1))
    assert np.allclose(found.maps, explain(model, pixel_values, found.targets.tolist()).maps)


def test_hooks_and_gradients_are_gone_afterwards():
    model = build("resnet18")
    explain(model, torch.rand(1, 3, 64, 64), [1])
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_no_evidence_is_an_empty_map():
    model = build("resnet18")
    with torch.no_grad():  # logits that fall with every activation
        model.timm_model.fc.weight.fill_(-1.0)
    assert explain(model, torch.rand(2, 3, 64, 64), [3, 3]).maps.max() == 0


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([7], "Expected class ids from 0 to 6, got 7."),
        ([-1], "Expected class ids from 0 to 6, got -1."),
        ([1, 2], "Expected one target per image (1), got 2."),
    ],
)
def test_wrong_targets_are_refused(targets, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        explain(build("test_resnet"), torch.rand(1, 3, 64, 64), targets)


def test_a_model_without_positions_is_refused():
    class Foreign(torch.nn.Module):
        pass

    with pytest.raises(
        InputError, match=r"^No Grad-CAM target layer is known for Foreign\. Choose"
    ):
        target_layer(Foreign())


def test_the_overlay_lies_where_the_map_is_high():
    image = Image.new("RGB", (40, 30), (100, 100, 100))
    heatmap = np.zeros((8, 8), dtype=np.float32)
    heatmap[:4, :4] = 1
    pixels = np.asarray(overlay(image, heatmap, opacity=0.5), dtype=float)
    assert pixels.shape == (30, 40, 3)
    assert pixels[5, 5].sum() > pixels[25, 35].sum() + 100
    assert np.array_equal(np.asarray(overlay(image, heatmap, opacity=0)), np.asarray(image))
