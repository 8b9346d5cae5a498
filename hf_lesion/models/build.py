"""From a name to a network with seven classes and the preprocessing that belongs to it.

A name is `cnn`, a timm architecture, a Hub id or a folder of a saved model.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import timm
import torch
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from safetensors.torch import load_file
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
from hf_lesion.labels import CODES, ID2LABEL, LABEL2ID
from hf_lesion.models.cnn import LesionCnnConfig, LesionCnnForImageClassification
from hf_lesion.models.preprocessing import (
    build_cnn_processor,
    build_processor,
    cnn_preprocessing,
    describe_for_timm,
    preprocessing_of,
    timm_preprocessing,
)

CNN = "cnn"
CNN_IMAGE_SIZE = 128


def build_model(
    name: str,
    *,
    image_size: int | None = None,
    pretrained: bool = False,
    init_weights: Path | None = None,
    model_args: dict[str, Any] | None = None,
) -> tuple[PreTrainedModel, BaseImageProcessor]:
    """Build a classifier of the seven diagnoses and its image processor.

    Random weights come from torch's global generator: seed it first.

    Args:
        name: "cnn", a timm architecture ("resnet18"), a Hub id ("microsoft/resnet-50") or a folder.
        image_size: Side of the square input in pixels; None keeps the model's own.
        pretrained: For a timm architecture: fetch its ImageNet weights from the Hub.
        init_weights: For a timm architecture: a safetensors file with weights in timm's key names.
        model_args: Fields of `LesionCnnConfig`, or keyword arguments for `timm.create_model`.

    Raises:
        InputError: If the name is unknown, weights are missing or do not fit, or the Hub is out of
            reach.
    """
    if name == CNN:
        _refuse_weights(name, pretrained, init_weights)
        return _build_cnn(image_size or CNN_IMAGE_SIZE, model_args or {})
    if Path(name).is_dir() or "/" in name:
        _refuse_weights(name, pretrained, init_weights)
        return _load_model(name, image_size)
    if not timm.is_model(name):
        raise InputError(
            f"Unknown model {name!r}: expected cnn, a timm architecture such as resnet18, a Hub id "
            "such as timm/resnet18.a1_in1k, or the folder of a saved model."
        )
    return _build_timm(name, image_size, pretrained, init_weights, model_args or {})


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
    image_size: int, model_args: dict[str, Any]
) -> tuple[PreTrainedModel, BaseImageProcessor]:
    known = LesionCnnConfig.__annotations__
    if unknown := sorted(set(model_args) - set(known)):
        raise InputError(
            f"Unknown model_args for cnn: {list_offenders(unknown)}. Known: {', '.join(known)}."
        )
    config = LesionCnnConfig(
        **{**model_args, "image_size": image_size}, id2label=ID2LABEL, label2id=LABEL2ID
    )
    processor = build_cnn_processor(cnn_preprocessing(image_size))
    return LesionCnnForImageClassification(config), processor


def _build_timm(
    architecture: str,
    image_size: int | None,
    pretrained: bool,
    init_weights: Path | None,
    model_args: dict[str, Any],
) -> tuple[PreTrainedModel, BaseImageProcessor]:
    if pretrained and init_weights is not None:
        raise InputError(
            "--pretrained true and --init_weights exclude each other: pass one of them."
        )
    network = _create_timm(architecture, pretrained, model_args)
    if init_weights is not None:
        load_weights(network, init_weights)
    config = TimmWrapperConfig(
        architecture=architecture,
        pretrained_cfg=describe_for_timm(
            timm.get_pretrained_cfg(architecture).to_dict(),
            timm_preprocessing(architecture, image_size),
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


def _create_timm(
    architecture: str, pretrained: bool, model_args: dict[str, Any]
) -> torch.nn.Module:
    try:
        return timm.create_model(
            architecture, pretrained=pretrained, num_classes=len(CODES), **model_args
        )
    except TypeError as error:
        raise InputError(
            f"timm does not take these model_args for {architecture}: {error}"
        ) from error
    except (OSError, HfHubHTTPError, RuntimeError) as error:
        if not pretrained:
            raise
        raise InputError(
            f"The ImageNet weights of {architecture} could not be fetched from the Hub "
            f"({type(error).__name__}). Either pass a local copy with --init_weights "
            "FILE.safetensors, or start from random weights with --pretrained false."
        ) from error


def load_weights(network: torch.nn.Module, file: Path) -> None:
    """Load a backbone's weights into a timm network; a head with other classes stays random.

    Args:
        network: A network made by `timm.create_model`.
        file: Safetensors in timm's own key names, with or without a classifier.

    Raises:
        InputError: If the file is missing, damaged, or of another architecture.
    """
    if not file.is_file():
        raise InputError(f"No weights at {file}. Pass --init_weights a .safetensors file.")
    try:
        weights = load_file(file)
    except SafetensorError as error:
        raise InputError(f"{file} is not a readable safetensors file: {error}") from error
    own = network.state_dict()
    fitting = {key: value for key, value in weights.items() if _fits(own.get(key), value)}
    head = _head_keys(network)
    unused = [key for key in weights if key not in fitting and key not in head]
    missing = [key for key in own if key not in fitting and key not in head]
    if unused or missing:
        raise InputError(
            f"{file} does not fit {type(network).__name__}: {len(missing)} tensors are missing "
            f"({list_offenders(missing, 3)}), {len(unused)} have no place "
            f"({list_offenders(unused, 3)}). Pass the weights of the same architecture."
        )
    network.load_state_dict({**own, **fitting})


def _fits(own: torch.Tensor | None, value: torch.Tensor) -> bool:
    return own is not None and own.shape == value.shape


def _head_keys(network: torch.nn.Module) -> set[str]:
    classifier = cast(dict[str, Any], network.pretrained_cfg)["classifier"]
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    return {
        key for key in network.state_dict() if key.startswith(tuple(f"{n}." for n in names))
    } | {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}


def load_classifier(
    source: str, *, revision: str | None = None
) -> tuple[PreTrainedModel, BaseImageProcessor]:
    """Load a saved classifier as it is, in float32, with its processor.

    Args:
        source: Folder or Hub id of a model with the seven diagnoses.
        revision: Branch, tag or commit on the Hub.

    Raises:
        InputError: If it can't be loaded or has other classes.
    """
    with _loading(source):
        model = AutoModelForImageClassification.from_pretrained(
            source,
            revision=revision or "main",
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
        )
        processor = AutoImageProcessor.from_pretrained(
            source, revision=revision or "main", trust_remote_code=False
        )
    check_labels(model, source)
    return model, processor


def _load_model(source: str, image_size: int | None) -> tuple[PreTrainedModel, BaseImageProcessor]:
    """Load a model to be fine-tuned: seven classes, a fresh head if it had others."""
    with _loading(source):
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        if isinstance(config, TimmWrapperConfig):
            _describe_anew(config, image_size)
        elif image_size is not None and image_size != getattr(config, "image_size", None):
            raise InputError(f"{source} brings its own image size: leave --image_size out.")
        config.id2label, config.label2id = dict(ID2LABEL), dict(LABEL2ID)
        model = AutoModelForImageClassification.from_pretrained(
            source,
            config=config,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
        )
        if isinstance(config, TimmWrapperConfig):
            return model, build_processor(config)
        return model, AutoImageProcessor.from_pretrained(source, trust_remote_code=False)


def _describe_anew(config: TimmWrapperConfig, image_size: int | None) -> None:
    own = preprocessing_of(build_processor(config))
    wanted = dataclasses.replace(own, image_size=image_size or own.image_size)
    config.pretrained_cfg = describe_for_timm(config.pretrained_cfg, wanted)


@contextlib.contextmanager
def _loading(source: str) -> Iterator[None]:
    """Turn what loading a folder or Hub id can raise into one line for the user."""
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
