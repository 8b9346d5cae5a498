import gc
import re

import cv2
import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.explain.gradcam import explain_each
from hf_lesion.explain.layers import target_layer
from hf_lesion.explain.methods import METHODS
from hf_lesion.explain.overlay import draw_map, overlay
from hf_lesion.explain.placement import stretch, to_grid
from hf_lesion.explain.views import VIEWS, lay_back, show
from hf_lesion.models.build import build_model
from hf_lesion.models.preprocessing import CROP_MODES, change_processor, seen_box

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


def explain(model, pixel_values, targets=None, *, method="gradcam", **options):
    """The heatmap of one class of each image."""
    wanted = [[target] for target in targets or ["predicted"] * len(pixel_values)]
    return explain_each(model, pixel_values, wanted, [method], **options)[method].first()


def explain_classes(model, pixel_values, classes, method="gradcam"):
    wanted = [list(classes)] * len(pixel_values)
    return explain_each(model, pixel_values, wanted, [method])[method]


def library_maps(model, pixel_values, targets, method=GradCAM):
    """Heatmaps as the library makes them, back to the input."""
    model.requires_grad_(True)
    with method(Bare(model), [target_layer(model)]) as cam:
        maps = cam(pixel_values.clone(), [ClassifierOutputTarget(target) for target in targets])
    model.requires_grad_(False)
    return maps


@pytest.mark.parametrize("name", FAMILIES)
def test_maps_equal_the_librarys_own(name):
    model, pixel_values = build(name), torch.rand(3, 3, 64, 64)
    found = explain(model, pixel_values, [0, 4, 6])
    assert found.heatmaps.shape == (3, 64, 64)
    assert found.heatmaps.dtype == np.float32
    assert np.allclose(found.heatmaps, library_maps(model, pixel_values, [0, 4, 6]), atol=1e-4)
    with torch.no_grad():
        expected = model(pixel_values=pixel_values).logits.softmax(dim=1).numpy()
    assert np.allclose(found.probabilities, expected, atol=1e-5)


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
    coarse = Image.fromarray(explain(model, pixel_values, [target]).heatmaps[0]).resize(
        cam.shape[::-1], Image.Resampling.BOX
    )
    assert np.corrcoef(np.asarray(coarse).ravel(), cam.ravel())[0, 1] > 0.95


def test_without_targets_the_predicted_class_is_explained():
    model, pixel_values = build("resnet18"), torch.rand(4, 3, 64, 64)
    found = explain(model, pixel_values)
    assert np.array_equal(found.targets, found.probabilities.argmax(axis=1))
    assert np.allclose(
        found.heatmaps, explain(model, pixel_values, found.targets.tolist()).heatmaps
    )


def test_hooks_and_gradients_are_gone_afterwards():
    model = build("resnet18")
    explain(model, torch.rand(1, 3, 64, 64), [1])
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_no_evidence_is_an_empty_map():
    model = build("resnet18")
    with torch.no_grad():  # logits that fall with every activation
        model.timm_model.fc.weight.fill_(-1.0)
    assert explain(model, torch.rand(2, 3, 64, 64), [3, 3]).heatmaps.max() == 0


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([7], "Expected class ids from 0 to 6, got 7."),
        ([-1], "Expected class ids from 0 to 6, got -1."),
    ],
)
def test_wrong_targets_are_refused(targets, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        explain(build("test_resnet"), torch.rand(1, 3, 64, 64), targets)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["test_resnet", "cnn"])
def test_every_method_equals_the_librarys(name, method):
    model, pixel_values = build(name), torch.rand(1, 3, 64, 64).expand(7, -1, -1, -1)
    found = explain(model, pixel_values, range(7), method=method)
    expected = library_maps(model, pixel_values, range(7), METHODS[method])
    assert np.allclose(found.heatmaps, expected, atol=1e-4)
    assert found.heatmaps.max(axis=(1, 2)).max() == 1


def test_several_classes_come_from_one_forward_pass_and_equal_single_ones():
    model, pixel_values = build("test_resnet"), torch.rand(2, 3, 64, 64)
    passes = []
    with model.register_forward_hook(lambda *_: passes.append(1)):
        found = explain_classes(model, pixel_values, [*range(7), "predicted", "runner-up"])
    assert len(passes) == 1
    assert found.heatmaps.shape == (2, 9, 64, 64)
    for place in range(9):
        single = explain(model, pixel_values, found.targets[:, place].tolist())
        assert np.allclose(found.heatmaps[:, place], single.heatmaps, atol=1e-5)
        assert np.allclose(found.highs[:, place], single.highs, rtol=1e-4)


def test_several_methods_come_from_one_forward_pass_and_equal_single_ones():
    model, pixel_values = build("test_resnet"), torch.rand(2, 3, 64, 64)
    passes = []
    with model.register_forward_hook(lambda *_: passes.append(1)):
        found = explain_each(model, pixel_values, [["predicted"]] * 2, list(METHODS))
    assert len(passes) == 1
    for method in METHODS:
        single = explain(model, pixel_values, method=method)
        own = found[method].first()
        assert np.allclose(own.heatmaps, single.heatmaps, atol=1e-5)
        assert np.array_equal(own.targets, single.targets)


def test_the_runner_up_is_second_to_the_predicted_class():
    model, pixel_values = build("test_resnet"), torch.rand(3, 3, 64, 64)
    found = explain(model, pixel_values, ["predicted", "runner-up", 2])
    order = np.argsort(-found.probabilities, axis=1)
    assert found.targets.tolist() == [order[0, 0], order[1, 1], 2]


def test_the_raw_scale_is_that_of_the_gradients():
    """Doubling what the head makes of a class doubles its raw map, and leaves the map as it was."""
    model, pixel_values = build("test_resnet"), torch.rand(1, 3, 64, 64)
    before = explain_classes(model, pixel_values, range(7))
    with torch.no_grad():
        model.timm_model.fc.weight.mul_(2)
    after = explain_classes(model, pixel_values, range(7))
    assert np.allclose(after.highs, 2 * before.highs, rtol=1e-3)
    assert np.allclose(after.heatmaps, before.heatmaps, atol=1e-4)


def test_rounding_error_is_flat_and_a_faint_map_is_not():
    noise = np.float32(5) + np.random.default_rng(0).random((1, 4, 4), np.float32) * np.float32(
        1e-6
    )
    terms = np.full((1, 4, 4), 5, np.float32)
    maps, lows, highs = stretch(noise, terms, (16, 16))
    assert maps.max() == 0
    assert lows[0] == pytest.approx(5)
    faint = np.zeros((1, 4, 4), np.float32)
    faint[0, 1, 2] = 1e-12
    maps, _, highs = stretch(faint, faint, (16, 16))
    assert maps.max() == 1
    assert 0 < highs[0] < 1e-11


def test_weights_that_train_get_no_gradient_and_no_graph_is_kept():
    model = build("test_resnet").requires_grad_(True)
    explain_classes(model, torch.rand(1, 3, 64, 64), [0, 1])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_works_where_gradients_are_off():
    model, pixel_values = build("test_resnet"), torch.rand(1, 3, 64, 64)
    expected = explain(model, pixel_values, [1]).heatmaps
    with torch.inference_mode():
        assert np.array_equal(explain(model, pixel_values, [1]).heatmaps, expected)
        assert not torch.is_grad_enabled()
    with torch.no_grad():
        assert np.array_equal(explain(model, pixel_values, [1]).heatmaps, expected)
        assert not torch.is_grad_enabled()


def test_hooks_are_gone_after_an_error():
    model = build("test_resnet")

    def fail(*_):
        raise RuntimeError("broken head")

    with model.timm_model.fc.register_forward_hook(fail), pytest.raises(RuntimeError):
        explain(model, torch.rand(1, 3, 64, 64), [1])
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()


def test_a_finer_map_is_the_mean_of_views_laid_back():
    """A network that marks bright places marks them where they are, whatever the view."""
    model = build("test_resnet")
    spot = torch.zeros(1, 3, 64, 64)
    spot[..., 8:16, 36:44] = 1
    found = explain(model, spot, method="eigencam", fine=True)
    seen = [explain(model, show(spot, view), method="eigencam") for view in VIEWS]
    laid = [lay_back(one.raw, view) for one, view in zip(seen, VIEWS, strict=True)]
    mean = np.nanmean([explain(model, spot, method="eigencam").raw, *laid], axis=0)
    assert np.allclose(found.raw, mean, atol=1e-5)
    assert np.allclose(found.lows, mean.min(axis=(1, 2)), atol=1e-5)


def test_an_unknown_method_is_refused():
    message = (
        "Unknown method 'cam': expected one of gradcam, gradcam++, hirescam, layercam, eigencam."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        explain(build("test_resnet"), torch.rand(1, 3, 64, 64), method="cam")


def growth(calls):
    """Return by how many bytes the process grows over calls of all kinds, after a warm-up."""
    model, pixel_values = build("test_resnet"), torch.rand(1, 3, 64, 64)
    process = psutil.Process()
    for call in range(20 + calls):
        if call == 20:
            gc.collect()
            before = process.memory_info().rss
        method = list(METHODS)[call % len(METHODS)]
        explain_classes(model, pixel_values, range(7), method=method)
    gc.collect()
    return process.memory_info().rss - before


def test_memory_does_not_grow():
    assert growth(50) < 20e6


@pytest.mark.slow
def test_memory_grows_by_less_than_20_mb_over_a_thousand_calls():
    assert growth(1000) < 20e6


def test_the_overlay_lies_where_the_map_is_high():
    image = Image.new("RGB", (40, 30), (100, 100, 100))
    heatmap = np.zeros((8, 8), dtype=np.float32)
    heatmap[:4, :4] = 1
    pixels = np.asarray(overlay(image, heatmap, opacity=0.5), dtype=float)
    assert pixels.shape == (30, 40, 3)
    assert pixels[5, 5].sum() > pixels[25, 35].sum() + 100
    assert np.array_equal(np.asarray(overlay(image, heatmap, opacity=0)), np.asarray(image))


@pytest.mark.parametrize("name", ["tiny_timm_model", "tiny_cnn_model"])
@pytest.mark.parametrize("mode", CROP_MODES)
def test_an_explanation_says_where_its_map_belongs(name, mode, request):
    """What was not seen is grey and dark, also under a tag that says how to turn the image."""
    classifier = LesionClassifier.from_pretrained(request.getfixturevalue(name))
    own = change_processor(classifier.model.config, classifier.processor, crop_mode=mode)
    shown = LesionClassifier(classifier.model, own, name=name)
    image = Image.new("RGB", (40, 30), (200, 120, 80))
    turned = image.copy()
    turned.getexif()[0x0112] = 6  # to be turned by a quarter
    found = shown.explain([image, turned])
    assert found.boxes == (seen_box(mode, (40, 30)), seen_box(mode, (30, 40)))
    for row, (one, seen) in enumerate([(image, np.s_[:, 5:35]), (turned, np.s_[5:35])]):
        pixels = np.asarray(overlay(one, found.heatmaps[row], found.boxes[row])).astype(int)
        assert pixels.shape[:2] == ((30, 40), (40, 30))[row]
        unseen = np.ones(pixels.shape[:2], bool)
        unseen[seen if mode == "centre" else np.s_[:]] = False
        grey = np.ptp(pixels, axis=-1) == 0
        assert (grey == unseen).all()
        assert pixels[unseen].max(initial=0) < 80
        # Unless it is told, it takes the model for one that sees the centre.
        as_centre = np.asarray(overlay(one, found.heatmaps[row]))
        assert np.array_equal(pixels, as_centre) == (mode == "centre")


def test_the_overlay_leaves_skin_its_colour_where_the_map_is_low():
    image = Image.new("RGB", (64, 64), (200, 150, 140))
    heatmap = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    pixels = np.asarray(overlay(image, heatmap)).astype(int)
    changed = np.abs(pixels - (200, 150, 140)).max(axis=-1)
    assert (changed[:, heatmap[0] < 0.29] == 0).all()
    assert (changed[:, heatmap[0] > 0.4] > 10).all()


def test_the_drawn_map_runs_smoothly_through_the_cells_of_the_feature_map():
    """A bicubic surface through the same values: no steps of slope at the cells' edges."""
    cells = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    size = (7 * 32, 5 * 32)
    heatmap = cv2.resize(cells, size)
    assert to_grid(heatmap, (5, 7)) == pytest.approx(cells, abs=1e-4)
    whole = (0.0, 0.0, 1.0, 1.0)
    grey = np.asarray(draw_map(heatmap, size, whole, colours="gray", grid=(5, 7))) / 255
    at_cells = grey[15::32, 15::32, 0]
    assert at_cells == pytest.approx(cells, abs=0.03)
    bends = [np.abs(np.diff(one[2::4], n=2, axis=0)).max() for one in (heatmap, grey[..., 0])]
    assert bends[1] < bends[0]
