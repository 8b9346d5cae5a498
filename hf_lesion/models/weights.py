"""Pretrained weights, from a file or from the Hub after checking that it is available.

Without a network, huggingface_hub retries for most of a minute and logs each attempt; this module
reports an error after seconds.
"""

from pathlib import Path
from typing import Any, cast

import timm
import torch
from huggingface_hub import constants, get_session, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import httpx
from safetensors import SafetensorError
from safetensors.torch import load_file

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.io.checksums import WEIGHTS

SECONDS = 5


def check_weights_in_reach(architecture: str) -> None:
    """Raise InputError unless timm's weights are cached or the Hub is available."""
    config = timm.get_pretrained_cfg(architecture)
    if config is None or not config.hf_hub_id:
        raise InputError(
            f"timm has no ImageNet weights of {architecture} on the Hub. Pass --init_weights "
            "FILE.safetensors, or start from random weights with --pretrained false."
        )
    hub_id = config.hf_hub_id
    if hub_id.endswith("/"):
        hub_id += f"{config.architecture}.{config.tag}"
    if isinstance(try_to_load_from_cache(hub_id, WEIGHTS), str):
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=SECONDS)
    except (OSError, OfflineModeIsEnabled, HfHubHTTPError, httpx.HTTPError) as error:
        raise no_weights(architecture, type(error).__name__) from error


def no_weights(architecture: str, reason: str) -> InputError:
    """Return the error for missing weights, which names both fixes."""
    return InputError(
        f"The ImageNet weights of {architecture} could not be fetched from the Hub ({reason}). "
        "Either pass a local copy with --init_weights FILE.safetensors, or start from random "
        "weights with --pretrained false."
    )


def load_weights(network: torch.nn.Module, file: Path) -> None:
    """Load a backbone's weights into a timm network; a head for other classes starts at zero.

    The file is safetensors in timm's own key names, with or without a classifier.
    """
    if not file.is_file():
        raise InputError(f"No weights at {file}. Pass --init_weights a .safetensors file.")
    try:
        weights = load_file(file)
    except SafetensorError as error:
        raise InputError(f"{file} is not a readable safetensors file: {error}") from error
    own = network.state_dict()
    fitting = {
        key: value for key, value in weights.items() if key in own and own[key].shape == value.shape
    }
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
    if not head & fitting.keys():
        start_head_at_zero(network)


def start_head_at_zero(network: torch.nn.Module) -> None:
    """Set the classification layer of a timm network to zero, so that all classes start equal.

    A random head on trained features can be sure and wrong (that of EfficientNet-Lite0 starts with
    a loss of 5.6, where ignorance has ln 7 = 1.9), and the first steps then spoil the features.
    Source: Kolesnikov et al., "Big Transfer" (ECCV 2020).
    """
    own = network.state_dict()
    for key in _head_keys(network) & own.keys():
        own[key].zero_()


def _head_keys(network: torch.nn.Module) -> set[str]:
    classifier = cast(dict[str, Any], network.pretrained_cfg)["classifier"]
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    return {
        key for key in network.state_dict() if key.startswith(tuple(f"{n}." for n in names))
    } | {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
