"""Checks before a folder is published. Each error lists the first offenders."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from hf_lesion.classifier import LesionClassifier
from hf_lesion.data.checksums import read_checksums
from hf_lesion.errors import InputError, list_offenders
from hf_lesion.evaluation.report.record import REPORT, read_report
from hf_lesion.hub.client import CARD, Kind
from hf_lesion.io.checksums import MANIFEST, TRAINING, WEIGHTS, file_sha256, list_files
from hf_lesion.io.files import read_json
from hf_lesion.ood.gate import GATE, find_gate
from hf_lesion.synthetic.examples import read_examples
from hf_lesion.synthetic.lesions import draw_lesion

NON_COMMERCIAL = "cc-by-nc-4.0"
OPEN = "apache-2.0"
# Nothing that runs when it is read (pickles), no logs, no checkpoints, and no photographs: charts
# are PNG.
SUFFIXES: Mapping[Kind, frozenset[str]] = {
    "model": frozenset({".html", ".json", ".md", ".onnx", ".png", ".py", ".safetensors"}),
    "dataset": frozenset({".csv", ".json", ".md", ".parquet"}),
    "space": frozenset(
        {".css", ".csv", ".gz", ".html", ".js", ".json", ".md", ".mjs", ".onnx", ".png", ".py"}
        | {".safetensors", ".svg", ".txt", ".webp"}
    ),
}
WITHOUT_SUFFIX = (MANIFEST, "LICENSE", "py.typed", ".gitattributes")
TOKEN = re.compile(r"\bhf_[A-Za-z]{34}\b")
SHOWN = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
TOLERANCE = 1e-3  # a card shows three or four digits
DATASET_NAME = re.compile(r"ISIC_\d{7}")
EMBEDDED = re.compile(r"data:image/[\w.+-]+;base64,([A-Za-z0-9+/=]{64,})")
TEXTS = (".css", ".csv", ".html", ".js", ".json", ".md", ".mjs", ".py", ".svg", ".txt")

ONNX_FILE, QUANTISED_FILE = "onnx/model.onnx", "onnx/model_quantized.onnx"


def check_files(folder: Path, kind: Kind) -> None:
    """Raise InputError if a folder has other kinds of files, access tokens or dataset images."""
    names = list_files(folder)
    others = [
        name
        for name in names
        if Path(name).suffix not in SUFFIXES[kind] and Path(name).name not in WITHOUT_SUFFIX
    ]
    if others:
        raise InputError(
            f"{len(others)} files are of a kind that is not published with a {kind}: "
            f"{list_offenders(others)}. Remove them from the folder."
        )
    texts = {
        name: (folder / name).read_text(encoding="utf-8", errors="replace")
        for name in names
        if Path(name).suffix in TEXTS
    }
    for name, text in texts.items():
        if TOKEN.search(text):
            raise InputError(f"{name} contains an access token of the Hub. Remove it.")
    if kind != "dataset":
        check_pictures(folder, names, texts)


def check_pictures(folder: Path, names: Sequence[str], texts: Mapping[str, str]) -> None:
    """Raise InputError unless all pictures are charts of Matplotlib or our drawn examples.

    Pictures are checked by name and content; those embedded in texts must be files of the folder.
    """
    published = set(read_checksums().values())
    drawn = {one["sha256"] for one in read_examples().values()}
    pictures = {name: file_sha256(folder / name) for name in names if _is_picture(folder / name)}
    refused = [
        name
        for name, sha256 in pictures.items()
        if DATASET_NAME.search(Path(name).name)
        or sha256 in published
        or not (sha256 in drawn or _is_chart(folder / name))
    ]
    allowed = set(pictures.values())
    refused += [
        f"one inside {name}"
        for name, text in texts.items()
        if not allowed.issuperset(map(_decoded_sha256, EMBEDDED.findall(text)))
    ]
    if refused:
        raise InputError(
            f"{len(refused)} pictures are, or may be, images of HAM10000: "
            f"{list_offenders(refused)}. Its licence does not permit publishing them with a model "
            "or a Space. Remove them."
        )


def check_model(folder: Path) -> None:
    """Raise InputError unless a model folder loads and returns probabilities."""
    classifier = LesionClassifier.from_pretrained(folder, device="cpu")
    answer = classifier.predict([draw_lesion("nv", seed=0)[0]])
    if not (abs(answer.sum() - 1) < TOLERANCE and (answer >= 0).all()):
        raise InputError(f"Expected probabilities from {folder.name}, got {answer[0].tolist()}.")


def check_model_card(folder: Path) -> None:
    """Raise InputError unless a card has the licence, the measured values and its pictures."""
    record = read_json(folder / TRAINING, fix="Train the model again.")
    licence = read_licence(folder)
    drawn = record.get("dataset", {}).get("synthetic") is True
    if not drawn and licence != NON_COMMERCIAL:
        raise InputError(
            f"The card's licence is {licence}; weights trained on HAM10000 are {NON_COMMERCIAL}, "
            "as the images are. Correct the front matter of the card."
        )
    report = read_report(folder) if (folder / REPORT).is_file() else {}
    check_card(read_front_matter(folder), report)
    check_shown(folder)


def check_shown(folder: Path) -> None:
    """Raise InputError if a card shows a picture that is not in its folder."""
    shown = SHOWN.findall((folder / CARD).read_text(encoding="utf-8"))
    absent = [name for name in shown if "://" not in name and not (folder / name).is_file()]
    if absent:
        raise InputError(
            f"The card shows {len(absent)} pictures that do not exist: {list_offenders(absent)}. "
            "Remove them from the card."
        )


def check_card(front: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Raise InputError if a value or interval in a card's `model-index` differs from the report."""
    wrong = []
    for split, metric, said in _results(front):
        record = report.get(split, {})
        measured = record.get("metrics", {}).get(metric)
        if not _is_near([said["value"]], [measured]):
            wrong.append(f"{metric} on {split} is {said['value']}, measured {measured}")
        interval = (said.get("args") or {}).get("interval")
        bounds = record.get("intervals", {}).get("bounds", {}).get(metric)
        if interval is not None and not _is_near(interval, bounds or ()):
            wrong.append(f"the interval of {metric} on {split} is {interval}, measured {bounds}")
    if wrong:
        raise InputError(
            f"The card does not match {REPORT}: {list_offenders(wrong, 3)}. Delete {CARD} to have "
            "it rendered again."
        )


def read_front_matter(folder: Path) -> dict[str, Any]:
    """Return the YAML at the start of a folder's README.md, or raise InputError."""
    file = folder / CARD
    if not file.is_file():
        raise InputError(f"{folder} has no {CARD}. A published folder needs a card.")
    found = re.match(r"---\n(.*?)\n---\n", file.read_text(encoding="utf-8"), re.DOTALL)
    try:
        front = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError as error:
        raise InputError(f"The front matter of {file} is not YAML: {error}") from error
    if not isinstance(front, dict):
        raise InputError(f"{file} has no front matter (YAML between two lines of ---).")
    return front


def read_licence(folder: Path) -> str:
    """Return the licence that a card names; raise InputError if it names none."""
    licence = read_front_matter(folder).get("license")
    if not isinstance(licence, str) or not licence:
        raise InputError(f"The card of {folder.name} names no license in its front matter.")
    return licence


def _results(front: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield split, metric and entry of every result in a `model-index`."""
    for model in front.get("model-index") or []:
        for result in model["results"]:
            for metric in result["metrics"]:
                yield str(result["dataset"].get("split")), str(metric["type"]), metric


def _is_near(said: Sequence[Any], measured: Sequence[float | None]) -> bool:
    return len(said) == len(measured) and all(
        b is not None and abs(float(a) - b) <= TOLERANCE
        for a, b in zip(said, measured, strict=True)
    )


def _is_chart(file: Path) -> bool:
    """Return whether a picture is a PNG that Matplotlib wrote; it puts its name into the file."""
    if file.suffix != ".png":
        return False
    try:
        with Image.open(file) as image:
            return str(image.info.get("Software", "")).startswith("Matplotlib")
    except OSError:
        return False


def _decoded_sha256(data: str) -> str:
    try:
        return hashlib.sha256(base64.b64decode(data)).hexdigest()
    except ValueError:
        return "not base64"


def _is_picture(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.read(12)
    kinds = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    return start.startswith(kinds) or start[8:12] == b"WEBP"


def check_measured_weights(folder: Path) -> None:
    """Raise InputError if a record, the gate or an ONNX file belongs to other weights."""
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
            "them again with the scripts that wrote them, such as score.py, fit_gate.py, export.py."
        )


def _list_measured(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each record, or its entry for a split, with the weights that it was measured on."""
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
