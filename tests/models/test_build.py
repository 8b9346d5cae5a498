import re

import pytest
import timm
import torch
from huggingface_hub import close_session, constants
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    ConvNextImageProcessor,
    ResNetConfig,
    ResNetForImageClassification,
)

from hf_lesion.errors import InputError
from hf_lesion.labels import CODES, LABEL2ID
from hf_lesion.models.build import build_model, check_labels, load_classifier
from hf_lesion.models.preprocessing import CROP_MODES, Preprocessing, preprocessing_of

ARCHITECTURE = "test_resnet"


def expect(message):
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize(
    "architecture", ["test_resnet", pytest.param("densenet121", marks=pytest.mark.slow)]
)
def test_a_fresh_network_keeps_timms_own_initialisation(architecture):
    torch.manual_seed(0)
    model, _ = build_model(architecture, image_size=64)
    torch.manual_seed(0)
    expected = timm.create_model(architecture, num_classes=len(CODES)).state_dict()
    own = model.timm_model.state_dict()
    assert own.keys() == expected.keys()
    assert [key for key in own if not torch.equal(own[key], expected[key])] == []


def test_labels_are_saved_in_our_order(tiny_timm_model, tiny_cnn_model):
    for folder in (tiny_timm_model, tiny_cnn_model):
        config = AutoConfig.from_pretrained(folder)
        assert [config.id2label[index] for index in range(7)] == list(CODES)
        assert config.label2id == LABEL2ID
        assert not list(folder.glob("*.bin"))


@pytest.mark.parametrize("classes", [1000, 7, 0])
def test_init_weights_fill_the_backbone_and_a_head_that_does_not_fit_starts_at_zero(
    classes, tmp_path
):
    source = timm.create_model(ARCHITECTURE, num_classes=classes)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    model, _ = build_model(ARCHITECTURE, image_size=64, init_weights=tmp_path / "w.safetensors")
    own, given = model.timm_model.state_dict(), source.state_dict()
    assert all(torch.equal(own[key], given[key]) for key in own if not key.startswith("fc."))
    if classes == 7:
        assert torch.equal(own["fc.weight"], given["fc.weight"])
    else:
        assert not own["fc.weight"].any()
        assert not own["fc.bias"].any()


def test_weights_that_do_not_fit_are_missing_or_damaged_are_named(tmp_path):
    file = tmp_path / "w.safetensors"
    with expect(f"No weights at {file}. Pass --init_weights a .safetensors file."):
        build_model(ARCHITECTURE, init_weights=file)
    file.write_bytes(b"not weights")
    with pytest.raises(InputError, match=r"w\.safetensors is not a readable safetensors file: "):
        build_model(ARCHITECTURE, init_weights=file)
    save_file(timm.create_model("test_efficientnet").state_dict(), file)
    with pytest.raises(
        InputError,
        match=r"w\.safetensors does not fit ResNet: \d+ tensors are missing \(.*…\), \d+ have no "
        r"place \(.*…\)\. Pass the weights of the same architecture\.$",
    ):
        build_model(ARCHITECTURE, init_weights=file)


@pytest.fixture
def refusing(monkeypatch):
    """Turn this process's client of the Hub to a port where nobody listens."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    close_session()
    yield
    close_session()


@pytest.mark.parametrize(("name", "pretrained"), [("resnet18", True), ("nobody/nothing", False)])
def test_an_unreachable_hub_is_one_line_after_seconds(name, pretrained, refusing, caplog):
    """A refused connection, not the offline switch: huggingface_hub alone retries for a minute."""
    with pytest.raises(InputError, match=r"could not be fetched from the Hub \(ConnectError\)"):
        build_model(name, pretrained=pretrained)
    assert "Retrying" not in caplog.text


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (  # test runs are offline
            "tf_efficientnet_lite0",
            {"pretrained": True},
            r"^The ImageNet weights of tf_efficientnet_lite0 could not be fetched from the Hub "
            r"\(OfflineModeIsEnabled\)\. Either pass a local copy with --init_weights FILE\..*, or "
            r"start from random weights with --pretrained false\.$",
        ),
        (
            "nobody/nothing",
            {},
            r"^The model nobody/nothing could not be fetched from the Hub \(OfflineModeIsEnabled\)"
            r", and there is no folder of that name\. Pass the folder of a local copy\.$",
        ),
        ("resnet-18", {}, r"^Unknown model 'resnet-18': expected cnn, a timm architecture such "),
        (
            "cnn",
            {"pretrained": True},
            r"^--pretrained true is for timm architectures, and the model is 'cnn'\. Leave it out",
        ),
        ("cnn", {"model_args": {"depth": 3}}, r"^Unknown model_args for cnn: depth\. Known: .*wid"),
        ("cnn", {"model_args": {"widths": 5}}, r"^These model_args make no network, {'widths': 5}"),
        ("cnn", {"model_args": {"widths": [4] * 9}}, r"^These model_args make no network"),
        ("cnn", {"image_size": 0}, r"^Expected --image_size of at least 16, got 0\.$"),
        ("cnn", {"crop_mode": "border"}, r"^Unknown crop_mode 'border': expected one of centre, "),
        (ARCHITECTURE, {"model_args": {"act_layer": "x"}}, r"^timm can't build test_resnet with "),
        ("test_resnet.none", {}, r"^timm can't build test_resnet\.none with model_args {}: Inval"),
        (
            "vit_tiny_patch16_224",
            {"image_size": 64},
            r"^vit_tiny_patch16_224 takes images of 224 px, got --image_size 64\. Leave it out, or "
            r".*--model_args '\{\"img_size\": 64\}'\.$",
        ),
    ],
)
def test_what_makes_no_network_is_explained(name, options, message):
    with pytest.raises(InputError, match=message):
        build_model(name, **options)


def test_a_network_of_one_size_is_built_for_another():
    model, processor = build_model(
        "vit_tiny_patch16_224", image_size=64, model_args={"img_size": 64}
    )
    pixel_values = processor(images=Image.new("RGB", (90, 70)), return_tensors="pt")["pixel_values"]
    assert model(pixel_values=pixel_values).logits.shape == (1, 7)


@pytest.mark.parametrize("mode", CROP_MODES)
def test_a_fine_tuned_model_sees_what_the_recipe_says_whatever_it_saw_before(mode, tmp_path):
    shape = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    ResNetForImageClassification(ResNetConfig(**shape)).save_pretrained(tmp_path)
    cropping = ConvNextImageProcessor(size={"shortest_edge": 224}, crop_pct=0.875)
    cropping.save_pretrained(tmp_path)
    _, processor = build_model(str(tmp_path), image_size=96, crop_mode=mode)
    mean = tuple(cropping.image_mean)
    assert preprocessing_of(processor) == Preprocessing(96, mean, mean, mode)
    stripe = Image.new("RGB", (200, 100))
    stripe.paste((255, 255, 255), (0, 0, 20, 100))
    pixels = processor(images=stripe, return_tensors="pt")["pixel_values"][0]
    assert pixels.shape == (3, 96, 96)
    assert (pixels[0, 48, 0] > pixels[0, 48, 48]) == (mode != "centre")


def test_models_see_the_centre_unless_another_crop_mode_is_passed(tiny_timm_model):
    small = {"widths": [4, 4], "pooling": "average", "hidden_sizes": []}
    models = (("cnn", small), (ARCHITECTURE, None), (str(tiny_timm_model), None))
    for name, model_args in models:
        for options, expected in (({}, "centre"), ({"crop_mode": "squash"}, "squash")):
            _, processor = build_model(name, model_args=model_args, **options)
            assert preprocessing_of(processor).crop_mode == expected


def test_a_saved_folder_is_fine_tuned_from_its_weights_at_another_size(tiny_timm_model):
    model, processor = build_model(str(tiny_timm_model), image_size=96)
    saved, _ = load_classifier(str(tiny_timm_model))
    assert processor.data_config["input_size"] == (3, 96, 96)
    own = model.state_dict()
    assert all(torch.equal(own[key], value) for key, value in saved.state_dict().items())
    with pytest.raises(InputError, match=r"brings its own shape: leave model_args out\.$"):
        build_model(str(tiny_timm_model), model_args={"drop_rate": 0.1})


def test_other_classes_are_refused_for_prediction_and_relearned_for_training(tmp_path):
    model, _ = build_model(ARCHITECTURE, image_size=64)
    model.config.id2label = {index: f"class {index}" for index in range(7)}
    with expect(
        "it has the classes class 0, class 1, class 2, class 3, class 4, class 5, class 6; "
        "expected akiec, bcc, bkl, df, mel, nv, vasc in this order. Choose a model of hf_lesion, "
        "or fine-tune this one with scripts/train.py."
    ):
        check_labels(model, "it")
    model.save_pretrained(tmp_path)
    relearned, _ = build_model(str(tmp_path))
    check_labels(relearned, "the new one")
