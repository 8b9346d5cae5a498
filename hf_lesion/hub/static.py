"""Static Space folders: the page that runs the models in the visitor's browser.

Plain files for any web server: `space/static/`, the networks, the drawn examples, the measured
scores (`page.json`), and onnxruntime-web from the npm registry, pinned by its SHA-256. The page
loads nothing from other servers, and building the folder again downloads nothing.
"""

import gzip
import json
import math
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pooch
from requests import RequestException

from hf_lesion.calibration.thresholds import read_operating_points
from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.evaluation.report.record import REPORT, read_report
from hf_lesion.hub.browser import Difference, export_for_browser
from hf_lesion.hub.checks import check_files
from hf_lesion.hub.space import list_sources, write_readme
from hf_lesion.io.checksums import MANIFEST, file_sha256, write_manifest
from hf_lesion.io.files import write_text
from hf_lesion.labels import DIAGNOSES
from hf_lesion.models.names import TITLES
from hf_lesion.models.snapshot import open_snapshot

VERSION = "1.30.0"
RUNTIME_URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
RUNTIME_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
LICENCES = ("LICENSE", "ThirdPartyNotices.txt")
PAGE = ("*.html", "*.js", "*.css", "*.json", "*.svg")
RECORD, WORKER, STAMP = "page.json", "sw.js", "BUILD"
SPLITS = ("test", "validation")


def build_static_folder(source: Path, folder: Path, *, models: Sequence[str]) -> None:
    """Write the page of `space/static` and its models into an empty folder, and check it.

    Models are model folders, folders of these, or Hub ids; the page opens with the best.
    """
    for file in sorted(file for pattern in PAGE for file in source.glob(pattern)):
        shutil.copyfile(file, folder / file.name)
    shutil.copytree(source.parent / "examples", folder / "examples")
    add_runtime(folder / "runtime")
    (folder / "models").mkdir()
    entries = [add_model(name, folder) for one in models for name in list_sources(one)]
    entries.sort(key=lambda entry: -(entry["balanced_accuracy"] or 0))
    write_text(folder / RECORD, json.dumps(describe_page(entries), ensure_ascii=False))
    write_readme(source, folder, pinned=())
    write_manifest(folder)
    version = file_sha256(folder / MANIFEST)[:12]  # tells browsers that files have changed
    worker = (folder / WORKER).read_text(encoding="utf-8")
    write_text(folder / WORKER, worker.replace(STAMP, version))
    write_manifest(folder)
    check_files(folder, "space")


def add_runtime(folder: Path) -> None:
    """Write onnxruntime-web and its licence, the large file compressed for any web server."""
    import onnxruntime  # of the same repository and licence; the npm package has no copy

    archive = fetch_runtime()
    folder.mkdir()
    with tarfile.open(archive) as packed:
        for name in (SCRIPT, WASM):
            stream = packed.extractfile(f"package/dist/{name}")
            assert stream is not None  # the archive is known by its hash
            content = stream.read()
            if name == WASM:
                name, content = f"{WASM}.gz", gzip.compress(content, 9, mtime=0)
            (folder / name).write_bytes(content)
    for name in LICENCES:
        shutil.copyfile(Path(onnxruntime.__file__).parent / name, folder / name)


def fetch_runtime() -> Path:
    """Return the npm package of onnxruntime-web, from the cache or the registry."""
    try:
        found = pooch.retrieve(
            RUNTIME_URL,
            f"sha256:{RUNTIME_SHA256}",
            fname=RUNTIME_URL.rpartition("/")[2],
            path=pooch.os_cache("hf_lesion"),
        )
    except (RequestException, ValueError, OSError) as error:
        raise InputError(
            f"onnxruntime-web {VERSION} can't be downloaded from registry.npmjs.org: {error}. Try "
            "again with a network connection; then it stays in the cache."
        ) from error
    return Path(found)


def add_model(source: str, folder: Path) -> dict[str, Any]:
    """Export one model into `models/`, and return its entry in `page.json`."""
    snapshot = open_snapshot(source)
    classifier = LesionClassifier.from_pretrained(source, device="cpu")
    name = snapshot.name.rpartition("/")[2]
    file = folder / "models" / f"{name}.onnx"
    if file.exists():
        raise InputError(f"Two of the models are named {name}. Rename one of them.")
    difference = export_for_browser(classifier, file)
    return describe_model(classifier, snapshot.folder, file, difference)


def describe_model(
    classifier: LesionClassifier, folder: Path, file: Path, difference: Difference
) -> dict[str, Any]:
    """Return the entry of a model in `page.json`."""
    record, gate, reliability = classifier.record, classifier.gate, classifier.reliability
    report = _own_report(folder, classifier.weights_sha256)
    split = next((split for split in SPLITS if split in report), None)
    architecture = record.get("architecture", "")
    preprocessing = classifier.preprocessing
    # Both cut the square out of the scaled image; an odd pixel goes to either side.
    rounding = "even" if hasattr(classifier.processor, "data_config") else "down"
    return {
        "name": file.stem,
        "title": TITLES.get(architecture, file.stem),
        "file": f"models/{file.name}",
        "weights_sha256": classifier.weights_sha256,
        "size": preprocessing.image_size,
        "mean": preprocessing.mean,
        "std": preprocessing.std,
        "rounding": rounding,
        "gate": gate
        and {
            "distance_limit": gate.distance_limit if math.isfinite(gate.distance_limit) else None,
            "unsure_below": gate.unsure_below,
            "rates": dict(gate.rates),
        },
        "points": _describe_points(folder, report, classifier.weights_sha256),
        "reliability": reliability and {"scores": reliability.scores, "shares": reliability.shares},
        "balanced_accuracy": split and report[split]["metrics"]["balanced_accuracy"],
        "split": split,
        "drawn_only": record.get("dataset", {}).get("synthetic") is True,
        "difference": asdict(difference),
    }


def describe_page(models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return `page.json`: diagnoses in their order, colours of heatmaps, models."""
    import matplotlib

    ramp = matplotlib.colormaps["inferno"](range(256), bytes=True)[:, :3]
    return {
        "diagnoses": [asdict(diagnosis) for diagnosis in DIAGNOSES],
        "colours": ramp.tobytes().hex(),
        "models": list(models),
    }


def _own_report(folder: Path, weights_sha256: str | None) -> dict[str, Any]:
    """Return the splits of `report.json` that were measured on these weights."""
    report = read_report(folder) if (folder / REPORT).is_file() else {}
    return {
        split: part
        for split, part in report.items()
        if part["model"].get("weights_sha256") == weights_sha256
    }


def _describe_points(
    folder: Path, report: dict[str, Any], weights_sha256: str | None
) -> dict[str, Any]:
    """Return the thresholds by name, with their rates on the test split if measured there."""
    found = read_operating_points(folder)
    if found is None or found.weights_sha256 != weights_sha256:
        return {}
    points = {}
    for name, point in found.points.items():
        measured = report.get("test", {}).get("operating_points", {}).get(name, {}).get("metrics")
        points[name] = {
            "codes": point.codes,
            "threshold": point.threshold,
            "sensitivity": (measured or {}).get("sensitivity", point.sensitivity),
            "specificity": (measured or {}).get("specificity", point.specificity),
            "split": "test" if measured else "validation",
        }
    return points
