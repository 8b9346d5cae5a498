"""Eight-bit ONNX networks, `onnx/model_quantized.onnx`, and the measured loss of accuracy.

Weights and activations become integers, with scales from their ranges on calibration images: static
post-training quantisation (Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", CVPR 2018), by onnxruntime.
"""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_lesion.classifier import LesionClassifier, softmax
from hf_lesion.errors import InputError
from hf_lesion.evaluation.bootstrap import paired_differences
from hf_lesion.evaluation.scoring import EvaluationSet, load_batches, over_batches
from hf_lesion.hub.checks import QUANTISED_FILE
from hf_lesion.hub.onnx import BATCH, INPUT, OUTPUT, open_session, read_metadata, write_metadata
from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.io.files import read_json_if_there, whole_file, write_json
from hf_lesion.io.provenance import provenance
from hf_lesion.verbosity import errors_only

RECORD = "quantisation.json"
CALIBRATION_IMAGES = 200


def quantise(classifier: LesionClassifier, file: Path, target: Path, images: EvaluationSet) -> None:
    """Quantise a network exported by `export_onnx` to eight bits.

    The images set the ranges of activations: of the training split, never those that the loss is
    measured on.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    batches = load_batches(images, BATCH)

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            few = next(batches, None)
            return None if few is None else {INPUT: classifier.preprocess(few).numpy()}

    # onnxruntime logs hints on other ways to quantise.
    with (
        errors_only(logging.root),
        tempfile.TemporaryDirectory() as folder,
        whole_file(target) as partial,
    ):
        merged = Path(folder) / "merged.onnx"
        # Folds batch normalisation into the preceding convolution.
        quant_pre_process(str(file), str(merged), skip_symbolic_shape=True)
        quantize_static(
            str(merged),
            str(partial),
            Reader(),
            per_channel=True,
            # Seven bits per weight: with eight, sums of products in 16 bits can overflow on x86
            # without VNNI, which changed a fifth of the predictions.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        write_metadata(partial, read_metadata(file))


def measure_loss(
    classifier: LesionClassifier, file: Path, target: Path, images: EvaluationSet
) -> dict[str, Any]:
    """Compare an eight-bit network with the original on images that it was not trained on.

    Returns:
        `images`; `lesions`; `same_answer`, the share of images with the same prediction;
        `differences`, eight bits minus full precision, as from `paired_differences`; `bytes` of the
        files.
    """
    sessions = [open_session(one) for one in (file, target)]

    def answer(few: list[Image.Image], *, batch_size: int) -> NDArray[np.float32]:
        fed = {INPUT: classifier.preprocess(few).numpy()}
        return np.stack([session.run([OUTPUT], fed)[0] for session in sessions], axis=1)

    both = softmax(over_batches(answer, images, batch_size=BATCH))
    full, eight = both[:, 0], both[:, 1]
    lesions = images.lesion_ids
    return {
        "images": len(images.references),
        "lesions": None if lesions is None else len(set(lesions)),
        "same_answer": float((full.argmax(axis=1) == eight.argmax(axis=1)).mean()),
        "differences": paired_differences(full, eight, images.references, lesions),
        "bytes": {"full": file.stat().st_size, "quantised": target.stat().st_size},
    }


def write_record(folder: Path, found: Mapping[str, Any], *, data: Mapping[str, Any]) -> None:
    """Write `quantisation.json`: what `measure_loss` found, and on which images."""
    model = {"name": folder.resolve().name, "weights_sha256": file_sha256(folder / WEIGHTS)}
    record = {
        "model": model,
        "file_sha256": file_sha256(folder / QUANTISED_FILE),
        **found,
        "data": data,
        "provenance": provenance(),
    }
    write_json(folder / RECORD, record)


def check_quantised(folder: Path) -> None:
    """Raise InputError if the loss of an eight-bit network was not measured."""
    file = folder / QUANTISED_FILE
    if file.is_file() and read_record(folder).get("file_sha256") != file_sha256(file):
        raise InputError(
            f"The loss of accuracy of {file} was not measured. Run scripts/export.py --int8, or "
            "delete the file."
        )


def read_record(folder: Path) -> dict[str, Any]:
    """Return the content of `quantisation.json`; empty if there is none."""
    return read_json_if_there(folder / RECORD, fix="Run scripts/export.py again.")
