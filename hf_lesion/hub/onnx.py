"""ONNX export: `onnx/model.onnx`, checked against PyTorch.

Input `pixel_values` (B, 3, H, W), output `logits` (B, 7). The logits include a temperature that was
folded into the weights. Labels and preprocessing are in the file's metadata, so onnxruntime in any
language needs only this file. The pipelines of transformers.js support neither of our model types
(`timm_wrapper`, `lesion_cnn`) and do not load these folders.
"""

import importlib.util
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.classifier import LesionClassifier, softmax
from hf_lesion.errors import InputError
from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.io.files import whole_file
from hf_lesion.labels import CODES, NAMES, NOTICE
from hf_lesion.models.preprocessing import INTERPOLATION, describe_geometry
from hf_lesion.synthetic.lesions import draw_lesion
from hf_lesion.verbosity import errors_only

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUT, OUTPUT = "pixel_values", "logits"
OPSET = 18
TOLERANCE = 1e-4
CHECKED_IMAGES = 200
BATCH = 20
NEEDED = ("onnx", "onnxruntime", "onnxscript")  # the last by torch.onnx.export
INSTALL = "pip install -e '.[export]'"


@dataclass(frozen=True)
class Agreement:
    """Agreement of an exported network with PyTorch: the largest differences on some images."""

    images: int
    logits: float
    probabilities: float


class _Logits(torch.nn.Module):
    """Wrapper of a model that maps a tensor to a tensor."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.model(pixel_values=pixel_values).logits


def export_onnx(
    classifier: LesionClassifier, file: Path, *, images: Sequence[Image.Image] | None = None
) -> Agreement:
    """Export a classifier on the CPU as ONNX and check that its outputs equal PyTorch's.

    They are compared on `images`, or on 200 that are drawn. If the outputs differ by more than
    `TOLERANCE`, no file is written.
    """
    check_packages()
    height, width = classifier.image_size
    # Two images, since a batch of one would be exported as a fixed size.
    pixel_values = torch.zeros(2, 3, height, width)
    batch = {INPUT: {0: torch.export.Dim("batch")}}
    network = _Logits(classifier.model)
    with whole_file(file) as partial:
        write_network(network, partial, pixel_values, [OUTPUT], dynamic_shapes=batch)
        write_metadata(partial, _metadata(classifier))
        return compare(classifier, partial, draw_images() if images is None else images)


def check_packages() -> None:
    """Raise InputError if a package that the export needs is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"Exporting needs {', '.join(missing)}: {INSTALL}.")


def draw_images(count: int = CHECKED_IMAGES) -> list[Image.Image]:
    """Return drawn lesions, cycling through the diagnoses."""
    return [draw_lesion(CODES[index % len(CODES)], seed=index)[0] for index in range(count)]


def compare(classifier: LesionClassifier, file: Path, images: Sequence[Image.Image]) -> Agreement:
    """Compare an ONNX file with PyTorch; a difference above `TOLERANCE` is an InputError."""
    expected = classifier.logits(images, batch_size=BATCH)
    found = onnx_logits(open_session(file), classifier, images)
    if len(images) > 1:
        # A batch size other than that of the export.
        found[:1] = onnx_logits(open_session(file), classifier, images[:1])
    agreement = Agreement(
        len(images),
        float(np.abs(found - expected).max()),
        float(np.abs(softmax(found) - softmax(expected)).max()),
    )
    if not max(agreement.logits, agreement.probabilities) <= TOLERANCE:
        raise InputError(
            f"The exported network differs from PyTorch's by {agreement.logits:.1e} in a logit; "
            f"at most {TOLERANCE:.0e} is allowed. Nothing was written."
        )
    return agreement


def open_session(file: Path) -> "InferenceSession":
    """Return an ONNX Runtime session on the CPU."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def onnx_logits(
    session: "InferenceSession", classifier: LesionClassifier, images: Sequence[Image.Image]
) -> NDArray[np.float32]:
    """Return (N, C) logits of an ONNX network, on the classifier's preprocessing."""
    parts = [np.empty((0, len(CODES)), np.float32)]
    for start in range(0, len(images), BATCH):
        pixels = classifier.preprocess(images[start : start + BATCH]).numpy()
        parts.append(session.run([OUTPUT], {INPUT: pixels})[0])
    return np.concatenate(parts)


def read_metadata(file: Path) -> dict[str, str]:
    """Return an ONNX file's metadata: labels, preprocessing, notice and source, as JSON or text."""
    import onnx

    model = onnx.load(str(file), load_external_data=False)
    return {entry.key: entry.value for entry in model.metadata_props}


def write_metadata(file: Path, metadata: Mapping[str, str]) -> None:
    """Replace the metadata of an ONNX file and check the file."""
    import onnx

    model = onnx.load(str(file))
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def write_network(
    network: torch.nn.Module,
    file: Path,
    pixel_values: torch.Tensor,
    outputs: Sequence[str],
    *,
    dynamic_shapes: dict[str, Any] | None = None,
) -> None:
    """Write a network as one ONNX file, without the exporter's messages.

    It is traced with `pixel_values` (B, 3, H, W), whose shape is fixed without `dynamic_shapes`.
    """
    with errors_only(logging.getLogger("torch.onnx")), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            network.eval(),
            (pixel_values,),
            str(file),
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes,
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )


def _metadata(classifier: LesionClassifier) -> dict[str, str]:
    preprocessing: dict[str, Any] = {
        **asdict(classifier.preprocessing),
        "resize": describe_geometry(classifier.preprocessing),
        "interpolation": INTERPOLATION,
        "colours": "RGB, divided by 255, minus mean, divided by std",
        "layout": "NCHW",
    }
    weights = Path(classifier.model.name_or_path) / WEIGHTS
    return {
        "labels": json.dumps(CODES),
        "names": json.dumps(NAMES),
        "preprocessing": json.dumps(preprocessing),
        "output": "logits; softmax gives probabilities, a fitted temperature is in the weights",
        "notice": NOTICE,
        **({"weights_sha256": file_sha256(weights)} if weights.is_file() else {}),
    }
