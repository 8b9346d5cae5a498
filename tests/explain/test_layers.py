import pytest
import torch

from hf_lesion.errors import InputError
from hf_lesion.explain.gradcam import explain_each
from hf_lesion.explain.layers import activations_of, stage_layers, target_layer
from hf_lesion.models.build import build_model


def build(name):
    torch.manual_seed(0)
    return build_model(name, image_size=64)[0].eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("test_resnet", "timm_model.layer4"),
        ("test_efficientnet", "timm_model.blocks.4"),
        ("test_convnext", "timm_model.stages.3"),
        ("cnn", "features.3.2"),
    ],
)
def test_stages_get_coarser_and_the_last_is_the_target_layer(name, layer):
    model = build(name)
    layers = stage_layers(model)
    assert layers[-1] is target_layer(model) is model.get_submodule(layer)
    with activations_of(layers) as found:
        model(pixel_values=torch.rand(1, 3, 64, 64)).logits.sum().backward()
    sides = [activation.shape[-1] for activation in found]
    assert sides == sorted(sides, reverse=True)
    assert len(sides) > 3


def test_a_network_without_a_feature_map_is_told_what_to_pass():
    model = build_model("test_vit")[0].eval()
    said = r"gives \(1, \d+, 64\), which is not a feature map \(B, C, H, W\), so .* pass layer="
    with pytest.raises(InputError, match=said):
        explain_each(model, torch.rand(1, 3, 160, 160), [[1]], ["gradcam"])


def test_an_unknown_architecture_is_told_what_to_pass():
    class Foreign(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 4, 3)
            self.head = torch.nn.Linear(4, 7)

    model = Foreign()
    with pytest.raises(InputError, match=r"^No Grad-CAM target layer .* for instance 'stem'"):
        target_layer(model)
    assert target_layer(model, "stem") is model.stem
    with pytest.raises(InputError, match=r"^Foreign has no module 'stam'\. Pass layer= a name"):
        target_layer(model, "stam")


def test_a_named_layer_is_read():
    model = build("test_resnet")
    pixel_values = torch.rand(1, 3, 64, 64)
    coarse, fine = (
        explain_each(model, pixel_values, [[1]], ["gradcam"], layer=layer)["gradcam"]
        for layer in (None, "timm_model.layer2")
    )
    assert abs(coarse.heatmaps - fine.heatmaps).max() > 0.1
    assert abs(coarse.probabilities - fine.probabilities).max() < 1e-5
