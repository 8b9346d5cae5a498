import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.explain.gradcam import METHODS, explain_each
from hf_lesion.explain.layers import target_layer
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
SMALL_CNN = {"widths": [8, 16, 16], "pooling": "average", "hidden_sizes": [8]}


class Bare(torch.nn.Module):
    """The wrapper that pytorch-grad-cam's README asks for."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        return self.model(pixel_values=pixel_values).logits


def build(name="test_resnet"):
    torch.manual_seed(0)
    model, _ = build_model(name, image_size=64, model_args=SMALL_CNN if name == "cnn" else None)
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


@pytest.mark.parametrize("name", ["test_resnet", "cnn"])
def test_all_methods_come_from_one_forward_pass_and_equal_the_librarys(name):
    model, pixel_values = build(name), torch.rand(1, 3, 64, 64).expand(7, -1, -1, -1)
    passes = []
    with model.register_forward_hook(lambda *_: passes.append(1)):
        found = explain_each(model, pixel_values, [[label] for label in range(7)], list(METHODS))
    assert len(passes) == 1
    for method, kind in METHODS.items():
        heatmaps = found[method].first().heatmaps
        expected = library_maps(model, pixel_values, range(7), kind)
        assert np.allclose(heatmaps, expected, atol=1e-4), method
        assert heatmaps.max() == 1
    with pytest.raises(InputError, match=r"^Unknown method 'cam': expected one of gradcam, grad"):
        explain(model, pixel_values, method="cam")


def test_several_classes_come_from_one_forward_pass_and_equal_single_ones():
    model, pixel_values = build(), torch.rand(2, 3, 64, 64)
    passes = []
    with model.register_forward_hook(lambda *_: passes.append(1)):
        found = explain_classes(model, pixel_values, [*range(7), "predicted", "runner-up"])
    assert len(passes) == 1
    assert found.heatmaps.shape == (2, 9, 64, 64)
    order = np.argsort(-found.probabilities, axis=1)
    assert np.array_equal(found.targets[:, 7:], order[:, :2])
    for place in range(9):
        single = explain(model, pixel_values, found.targets[:, place].tolist())
        assert np.allclose(found.heatmaps[:, place], single.heatmaps, atol=1e-5)
        assert np.allclose(found.highs[:, place], single.highs, rtol=1e-4)


def test_no_evidence_is_an_empty_map_and_rounding_error_is_flat():
    model = build()
    with torch.no_grad():  # logits that fall with every activation
        model.timm_model.fc.weight.fill_(-1.0)
    assert explain(model, torch.rand(2, 3, 64, 64), [3, 3]).heatmaps.max() == 0
    noise = np.random.default_rng(0).random((1, 4, 4), np.float32) * np.float32(1e-6)
    maps, lows, _ = stretch(noise + np.float32(5), np.full((1, 4, 4), 5, np.float32), (16, 16))
    assert maps.max() == 0
    assert lows[0] == pytest.approx(5)
    faint = np.zeros((1, 4, 4), np.float32)
    faint[0, 1, 2] = 1e-12
    maps, _, highs = stretch(faint, faint, (16, 16))
    assert maps.max() == 1
    assert 0 < highs[0] < 1e-11


def test_the_raw_scale_is_that_of_the_gradients():
    """Doubling what the head makes of a class doubles its raw map, and leaves the map as it was."""
    model, pixel_values = build(), torch.rand(1, 3, 64, 64)
    before = explain_classes(model, pixel_values, range(7))
    with torch.no_grad():
        model.timm_model.fc.weight.mul_(2)
    after = explain_classes(model, pixel_values, range(7))
    assert np.allclose(after.highs, 2 * before.highs, rtol=1e-3)
    assert np.allclose(after.heatmaps, before.heatmaps, atol=1e-4)


def test_neither_hooks_nor_gradients_nor_grad_mode_stay_also_after_an_error():
    model, pixel_values = build().requires_grad_(True), torch.rand(1, 3, 64, 64)
    expected = explain(model, pixel_values, [1]).heatmaps
    for around in (torch.inference_mode, torch.no_grad):
        with around():
            assert np.array_equal(explain(model, pixel_values, [1]).heatmaps, expected)
            assert not torch.is_grad_enabled()

    def fail(*_):
        raise RuntimeError("broken head")

    with model.timm_model.fc.register_forward_hook(fail), pytest.raises(RuntimeError):
        explain(model, pixel_values, [1])
    assert torch.is_grad_enabled()
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_finer_map_is_the_mean_of_views_laid_back():
    """A network that marks bright places marks them where they are, whatever the view."""
    model = build()
    spot = torch.zeros(1, 3, 64, 64)
    spot[..., 8:16, 36:44] = 1
    found = explain(model, spot, method="eigencam", fine=True)
    seen = [explain(model, show(spot, view), method="eigencam") for view in VIEWS]
    laid = [lay_back(one.raw, view) for one, view in zip(seen, VIEWS, strict=True)]
    mean = np.nanmean([explain(model, spot, method="eigencam").raw, *laid], axis=0)
    assert np.allclose(found.raw, mean, atol=1e-5)
    assert np.allclose(found.lows, mean.min(axis=(1, 2)), atol=1e-5)


def test_the_overlay_colours_where_the_map_is_high_and_leaves_skin_its_colour_elsewhere():
    image = Image.new("RGB", (64, 64), (200, 150, 140))
    heatmap = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    pixels = np.asarray(overlay(image, heatmap)).astype(int)
    changed = np.abs(pixels - (200, 150, 140)).max(axis=-1)
    assert (changed[:, heatmap[0] < 0.29] == 0).all()
    assert (changed[:, heatmap[0] > 0.4] > 10).all()
    assert np.array_equal(np.asarray(overlay(image, heatmap, opacity=0)), np.asarray(image))


@pytest.mark.parametrize("mode", CROP_MODES)
def test_an_explanation_says_where_its_map_belongs(mode, tiny_timm_model):
    """What was not seen is grey and dark, also under a tag that says how to turn the image."""
    classifier = LesionClassifier.from_pretrained(tiny_timm_model)
    own = change_processor(classifier.model.config, classifier.processor, crop_mode=mode)
    shown = LesionClassifier(classifier.model, own, name="shown")
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
