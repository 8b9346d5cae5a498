"""Records and exports beside a model's weights: are they of these weights?"""

from collections.abc import Iterator
from pathlib import Path

from hf_lesion.errors import InputError, list_offenders
from hf_lesion.files import read_json
from hf_lesion.manifest import WEIGHTS, file_sha256
from hf_lesion.ood.gate import GATE, find_gate

ONNX_FILE, QUANTISED_FILE = "onnx/model.onnx", "onnx/model_quantized.onnx"


def check_measured_weights(folder: Path) -> None:
    """Check that every record beside a model's weights, the gate and every ONNX file are of these.

    Raises:
        InputError: If one is of others.
    """
    own = file_sha256(folder / WEIGHTS)
    others = [name for name, weights in _list_measured(folder) if weights != own]
    for name in (ONNX_FILE, QUANTISED_FILE):
        exported = folder / name
        # In its metadata, as text: found without onnx, which need not be installed to publish.
        if exported.is_file() and own.encode() not in exported.read_bytes():
            others.append(name)
    if others:
        raise InputError(
            f"{len(others)} files were made from other weights: {list_offenders(others)}. Make "
            "them again with what wrote them, such as scripts/score.py, scripts/fit_gate.py and "
            "scripts/export.py."
        )


def _list_measured(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each record, or its part of a split, with the weights that it was measured on."""
    for file in sorted(folder.glob("*.json")):
        found = read_json(file, fix="Make it again.")
        if isinstance(found.get("weights_sha256"), str):
            yield file.name, found["weights_sha256"]
        for name, part in {"": found, **found}.items():
            model = part.get("model") if isinstance(part, dict) else None
            if isinstance(model, dict) and "weights_sha256" in model:
                yield f"{file.name} {name}".strip(), model["weights_sha256"]
    gate = find_gate(folder)
    if gate is not None and gate.weights_sha256 is not None:
        yield GATE, gate.weights_sha256
