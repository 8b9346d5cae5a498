import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from shipped import GATE, LOSS, TRAINING, records, write_model

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.evaluation.report.record import write_record
from hf_lesion.hub.checks import ONNX_FILE, QUANTISED_FILE, check_model_card, read_front_matter
from hf_lesion.hub.model import build_model_folder, write_card
from hf_lesion.hub.quantisation import write_record as write_quantisation
from hf_lesion.io.checksums import check_manifest, file_sha256, list_files, read_manifest
from hf_lesion.models import cnn
from hf_lesion.training.figures import plot_training_curves

CHARTS = (
    "confusion_matrix",
    "precision_recall",
    "reliability",
    "risk_coverage",
    "roc",
    "subgroups",
)


@pytest.fixture(scope="module")
def source(tiny_cnn_model, tmp_path_factory):
    """A finished run, with all that training, scoring and people leave in its folder."""
    folder = tmp_path_factory.mktemp("source") / "run"
    shutil.copytree(tiny_cnn_model, folder)
    record = {"dataset": {"folder": f"{Path.home()}/data", "synthetic": True}}
    (folder / "training.json").write_text(json.dumps(record))
    (folder / "run.json").write_text("{}")
    (folder / "training_args.bin").write_bytes(b"pickled")
    (folder / "predictions_test.csv").write_text("image_id\nISIC_0024306\n")
    for name in ("checkpoint-3", "figures", "onnx"):
        (folder / name).mkdir()
    (folder / "checkpoint-3" / "optimizer.pt").write_bytes(b"0")
    (folder / ONNX_FILE).write_bytes(file_sha256(folder / "model.safetensors").encode())
    (folder / "gate.json").write_text(json.dumps(GATE))
    (folder / "cnn.py").write_text("import os\n")
    plot_training_curves([{"epoch": 1, "loss": 0.5}], folder / "curves.png")
    for name in ("figures/roc_test", "figures/ISIC_0024306", "most_confused"):
        Image.new("RGB", (20, 20)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def finished(source, tmp_path):
    """A copy of the run, to change."""
    return shutil.copytree(source, tmp_path / "run")


def build(source, folder, name="me/cnn"):
    folder.mkdir()
    build_model_folder(source, folder, name=name)
    return folder


def test_what_a_user_needs_is_copied_and_nothing_else(source, tmp_path):
    built = build(source, tmp_path / "built")
    for_space = [
        "SHA256SUMS",
        "cnn.py",
        "config.json",
        "curves.png",
        "gate.json",
        "model.safetensors",
        "preprocessor_config.json",
        "training.json",
    ]
    shown = ["README.md", "figures/gate.png", "onnx/model.onnx"]
    assert list_files(built) == sorted([*for_space, *shown])
    check_manifest(built)
    LesionClassifier.from_pretrained(built)
    assert json.loads((built / "training.json").read_text())["dataset"]["folder"] == "~/data"
    assert (built / "model.safetensors").stat().st_mode & 0o044 == 0o044
    # The code that travels is ours, not what was next to the weights.
    assert (built / "cnn.py").read_text() == Path(cnn.__file__).read_text()
    front = read_front_matter(built)
    assert front["license"] == "apache-2.0"
    assert "model-index" not in front
    assert "has not been scored" in (built / "README.md").read_text()
    again = build(source, tmp_path / "again")
    assert read_manifest(again) == read_manifest(built)
    assert list_files(build(source, tmp_path / "space", name=None)) == for_space


def test_an_eight_bit_network_is_only_published_with_its_measured_loss(finished, tmp_path):
    shutil.copyfile(finished / ONNX_FILE, finished / QUANTISED_FILE)
    text = r"accuracy of .*model_quantized\.onnx was not measured\. Run scripts/export\.py"
    with pytest.raises(InputError, match=text):
        build(finished, tmp_path / "built")
    write_quantisation(finished, LOSS, data=LOSS["data"])
    built = build(finished, tmp_path / "again")
    assert {QUANTISED_FILE, "quantisation.json"} <= set(list_files(built))
    with (finished / QUANTISED_FILE).open("ab") as stream:
        stream.write(b"\0")  # of another file
    with pytest.raises(InputError, match=text):
        build(finished, tmp_path / "other")


def test_weights_trained_on_ham10000_have_the_licence_of_its_images(finished, tmp_path):
    (finished / "training.json").write_text(json.dumps({"dataset": {"synthetic": False}}))
    (finished / "README.md").write_text("---\nlicense: mit\n---\n")
    with pytest.raises(InputError, match=r"licence is mit; weights trained on HAM10000 are cc"):
        build(finished, tmp_path / "built")


@pytest.mark.slow  # draws thirteen charts
def test_a_scored_model_has_reports_and_charts_that_its_card_shows(finished, tmp_path):
    own = file_sha256(finished / "model.safetensors")
    for split, record in records().items():
        record["model"]["weights_sha256"] = own
        record["provenance"]["command"] = f"score.py --model {Path.home()}/run"
        write_record(finished, split, record)
    (finished / "training.json").write_text(json.dumps(TRAINING))
    built = build(finished, tmp_path / "built")
    names = list_files(built)
    charts = {f"figures/{name}_{split}.png" for name in CHARTS for split in ("test", "validation")}
    pictures = {name for name in names if name.endswith(".png")}
    assert pictures == {*charts, "figures/gate.png", "curves.png"}
    assert charts | {"report.json", "report.md", "report.html"} <= set(read_manifest(built))
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (built / "README.md").read_text())
    assert {f"figures/{name}_test.png" for name in CHARTS} <= set(shown) <= set(names)
    for name in ("report.json", "report.md", "report.html", "README.md"):
        assert str(Path.home()) not in (built / name).read_text()
    assert sum((built / name).stat().st_size for name in names) < 8_000_000
    report = finished / "report.json"
    report.write_text(report.read_text().replace(own, "0"))
    with pytest.raises(InputError, match=r"2 files were made from other weights: report\.json te"):
        build(finished, tmp_path / "other")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "training.json"])
def test_an_unfinished_run_is_refused(finished, tmp_path, missing):
    (finished / missing).unlink()
    with pytest.raises(InputError, match=rf"{missing}"):
        build(finished, tmp_path / "built")


def test_damaged_weights_are_refused(finished, tmp_path):
    (finished / ONNX_FILE).unlink()
    (finished / "model.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="could not be loaded"):
        build(finished, tmp_path / "built")


def test_a_card_is_rendered_again_unless_it_was_written_by_hand(tmp_path):
    folder = write_model(tmp_path, "a", right=0.5)
    for name in ("me/cnn", "me/other"):
        write_card(folder, folder, name=name)
        assert read_front_matter(folder)["model-index"][0]["name"] == name
        assert f'model="{name}"' in (folder / "README.md").read_text()
        check_model_card(folder)
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\nMine.\n")
    write_card(folder, tmp_path, name="me/cnn")
    assert (tmp_path / "README.md").read_text().endswith("Mine.\n")
