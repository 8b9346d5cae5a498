"""Building and loading of classifiers: the network, its seven labels and its image processor.

A name is `cnn`, a timm architecture, a Hub id or a folder of a saved model.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    BaseImageProcessor,
    PreTrainedModel,
    TimmWrapperConfig,
    TimmWrapperForImageClassification,
)

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.tokens import describe_rejection
from hf_lesion.labels import CODES, ID2LABEL, LABEL2ID
from hf_lesion.models.cnn import LesionCnnConfig, LesionCnnForImageClassification
from hf_lesion.models.preprocessing import (
    CROP_MODE,
    Preprocessing,
    build_processor,
    build_stock_processor,
    change_processor,
    cnn_preprocessing,
    describe_for_timm,
    preprocessing_of,
    timm_preprocessing,
)
from hf_lesion.models.snapshot import Snapshot, open_snapshot
from hf_lesion.models.weights import (
    check_weights_in_reach,
    load_weights,
    no_weights,
    start_head_at_zero,
)

CNN = "cnn"
CNN_IMAGE_SIZE = 128
SMALLEST_IMAGE = 16
# What torch and timm raise at settings that make no network.
BUILD_ERRORS = (TypeError, ValueError, KeyError, IndexError, RuntimeError, AssertionError)


def build_model(
    name: str,
    *,
    image_size: int | None = None,
    crop_mode: str = CROP_MODE,
    pretrained: bool = False,
    init_weights: Path | None = None,
    model_args: dict[str, Any] | None = None,
) -> tuple[PreTrainedModel, BaseImageProcessor]:
    """Build a classifier of the seven diagnoses and its image processor.

    Random weights come from torch's global generator: seed it first.

    Args:
        name: "cnn", a timm architecture ("resnet18"), a Hub id ("microsoft/resnet-50") or a folder.
        image_size: Side of the square input in pixels; None keeps the model's own.
        crop_mode: One of `CROP_MODES`: how a frame is made square; overrides the model's own.
        pretrained: For a timm architecture: fetch its ImageNet weights from the Hub.
        init_weights: For a timm architecture: a safetensors file with weights in timm's key names.
        model_args: Fields of `LesionCnnConfig`, or keyword arguments for `timm.create_model`.
    """
    if image_size is not None and image_size < SMALLEST_IMAGE:
        raise InputError(f"Expected --image_size of at least {SMALLEST_IMAGE}, got {image_size}.")
    if name == CNN:
        _refuse_weights(name, pretrained, init_weights)
        own = cnn_preprocessing(image_size or CNN_IMAGE_SIZE, crop_mode)
        return _build_cnn(own, model_args or {})
    if Path(name).is_dir() or "/" in name:
        _refuse_weights(name, pretrained, init_weights)
        return _load_model(name, image_size, crop_mode, model_args)
    if not timm.is_model(name):
        raise InputError(
            f"Unknown model {name!r}: expected cnn, a timm architecture such as resnet18, a Hub id "
            "such as timm/resnet18.a1_in1k, or the folder of a saved model."
        )
    _check_size(name, image_size, model_args or {})
    own = timm_preprocessing(name, image_size, crop_mode)
    return _build_timm(name, own, pretrained, init_weights, model_args or {})


def check_labels(model: PreTrainedModel, source: str) -> None:
    """Raise InputError if a model's classes are not the seven diagnoses in our order."""
    names = tuple(model.config.id2label[index] for index in range(model.config.num_labels))
    if names != CODES:
        raise InputError(
            f"{source} has the classes {list_offenders(names, 7)}; expected "
            f"{list_offenders(CODES, 7)} in this order. Choose a model of hf_lesion, or fine-tune "
            "this one with scripts/train.py."
        )


def _refuse_weights(name: str, pretrained: bool, init_weights: Path | None) -> None:
    if pretrained or init_weights is not None:
        flag = "--pretrained true" if pretrained else "--init_weights"
        raise InputError(
            f"{flag} is for timm architectures, and the model is {name!r}. Leave it out: "
            "cnn starts from random weights, a folder or Hub id from its own."
        )


def _build_cnn(
    preprocessing: Preprocessing, model_args: dict[str, Any]
) -> tuple[PreTrainedModel, BaseImageProcessor]:
    known = LesionCnnConfig.__annotations__
    if unknown := sorted(set(model_args) - set(known)):
        raise InputError(
            f"Unknown model_args for cnn: {list_offenders(unknown)}. Known: {', '.join(known)}."
        )
    image_size = preprocessing.image_size
    shape = {**model_args, "image_size": image_size}
    try:
        config = LesionCnnConfig(**shape, id2label=ID2LABEL, label2id=LABEL2ID)
        model = LesionCnnForImageClassification(config)
        # A flattened map that has shrunk to nothing, say, shows only now.
        model.eval()(pixel_values=torch.zeros(1, config.num_channels, image_size, image_size))
    except BUILD_ERRORS as error:
        raise InputError(f"These model_args make no network, {model_args}: {error}") from error
    return model, build_stock_processor(preprocessing)


def _build_timm(
    architecture: str,
    preprocessing: Preprocessing,
    pretrained: bool,
    init_weights: Path | None,
    model_args: dict[str, Any],
) -> tuple[PreTrainedModel, BaseImageProcessor]:
    if pretrained and init_weights is not None:
        raise InputError(
            "--pretrained true and --init_weights exclude each other: pass one of them."
        )
    network = _create_timm(architecture, pretrained, model_args)
    if pretrained:
        start_head_at_zero(network)
    if init_weights is not None:
        load_weights(network, init_weights)
    config = TimmWrapperConfig(
        architecture=architecture,
        pretrained_cfg=describe_for_timm(
            timm.get_pretrained_cfg(architecture).to_dict(), preprocessing
        ),
        model_args=model_args,
        id2label=ID2LABEL,
        label2id=LABEL2ID,
        problem_type="single_label_classification",
    )
    model = TimmWrapperForImageClassification(config)
    # The wrapper's constructor draws every weight anew from normal(0, 0.02): put back timm's own
    # initialisation, without which training from scratch starts crippled.
    model.timm_model.load_state_dict(network.state_dict())
    return model, build_processor(config)


def _check_size(architecture: str, image_size: int | None, model_args: dict[str, Any]) -> None:
    try:
        config = timm.get_pretrained_cfg(architecture)
    except RuntimeError as error:  # a weights' tag that timm does not know
        raise _cannot_build(architecture, model_args, error) from error
    own = config.input_size[-1]
    if config.fixed_input_size and image_size not in (None, own) and "img_size" not in model_args:
        raise InputError(
            f"{architecture} takes images of {own} px, got --image_size {image_size}. Leave it "
            f"out, or build it for that size: --model_args '{{\"img_size\": {image_size}}}'."
        )


def _cannot_build(architecture: str, model_args: dict[str, Any], error: Exception) -> InputError:
    return InputError(f"timm can't build {architecture} with model_args {model_args}: {error}")


def _create_timm(
    architecture: str, pretrained: bool, model_args: dict[str, Any]
) -> torch.nn.Module:
    if pretrained:
        check_weights_in_reach(architecture)
    try:
        return timm.create_model(
            architecture, pretrained=pretrained, num_classes=len(CODES), **model_args
        )
    except BUILD_ERRORS as error:
        raise _cannot_build(architecture, model_args, error) from error
    except (OSError, HfHubHTTPError) as error:
        reason = describe_rejection(error) or type(error).__name__
        raise no_weights(architecture, reason.rstrip(".")) from error


def load_classifier(source: str) -> tuple[PreTrainedModel, BaseImageProcessor]:
    """Load a saved classifier in float32, with its processor, from a folder or the Hub."""
    return load_snapshot(open_snapshot(source))


def load_snapshot(snapshot: Snapshot) -> tuple[PreTrainedModel, BaseImageProcessor]:
    """Load a saved classifier from its checked folder, as `load_classifier` does."""
    folder = str(snapshot.folder)
    with _loading(snapshot.name if snapshot.revision else folder):
        model = AutoModelForImageClassification.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
        processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
    check_labels(model, snapshot.name if snapshot.revision else folder)
    return model, processor


def _load_model(
    source: str, image_size: int | None, crop_mode: str, model_args: dict[str, Any] | None
) -> tuple[PreTrainedModel, BaseImageProcessor]:
    """Load a model to be fine-tuned: seven classes, a fresh head if it had others."""
    if model_args:
        raise InputError(f"{source} brings its own shape: leave model_args out.")
    source = str(open_snapshot(source).folder)
    with _loading(source):
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        if isinstance(config, TimmWrapperConfig):
            processor = build_processor(config)
        else:
            processor = AutoImageProcessor.from_pretrained(source, trust_remote_code=False)
        own = preprocessing_of(processor).image_size
        if getattr(config, "pooling", None) == "flatten" and image_size not in (None, own):
            raise InputError(
                f"{source} flattens its last map and works at {own} pixels only: leave "
                "--image_size out."
            )
        processor = change_processor(
            config, processor, image_size=image_size or own, crop_mode=crop_mode
        )
        config.id2label, config.label2id = dict(ID2LABEL), dict(LABEL2ID)
        model = AutoModelForImageClassification.from_pretrained(
            source,
            config=config,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
        )
    return model, processor


@contextlib.contextmanager
def _loading(source: str) -> Iterator[None]:
    """Turn what loading a model's folder can raise into one line for the user."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, HfHubHTTPError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"The model {source} could not be loaded: {reason} Pass the folder of a model that "
            "scripts/train.py saved, or a Hub id while there is a network."
        ) from error
