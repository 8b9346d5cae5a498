import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from shipped import TRAINING, records, write_model

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.evaluation.report.record import write_record
from hf_lesion.hub.checks import ONNX_FILE, QUANTISED_FILE, check_model_card, read_front_matter
from hf_lesion.hub.model import build_model_folder, write_card
from hf_lesion.hub.quantisation import write_record as write_quantisation
from hf_lesion.io.checksums import check_manifest, file_sha256, read_manifest
from hf_lesion.training.figures import plot_training_curves

GATE = {
    "model": {"name": "run"},
    "real": {"test": {"images": 9, "refused": 0.1, "unsure": 0.2, "right_unsure": 0.1}},
    "strange": {"drawn": {"images": 9, "refused": 1.0}},
}
CHARTS = (
    "confusion_matrix",
    "precision_recall",
    "reliability",
    "risk_coverage",
    "roc",
    "subgroups",
)


@pytest.fixture
def finished(tiny_cnn_model, tmp_path):
    """A finished run, with all that training, scoring and people leave in its folder."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_cnn_model, folder)
    record = {"dataset": {"folder": f"{Path.home()}/data", "synthetic": True}}
    (folder / "training.json").write_text(json.dumps(record))
    (folder / "run.json").write_text("{}")
    (folder / "training_args.bin").write_bytes(b"pickled")
    (folder / "predictions_test.csv").write_text("image_id\nISIC_0024306\n")
    (folder / "events.out.tfevents.1").write_bytes(b"log")
    (folder / "checkpoint-3").mkdir()
    (folder / "checkpoint-3" / "optimizer.pt").write_bytes(b"0")
    (folder / "figures").mkdir()
    (folder / "onnx").mkdir()
    sha256 = file_sha256(folder / "model.safetensors")
    (folder / "onnx" / "model.onnx").write_bytes(sha256.encode())
    (folder / "gate.json").write_text(json.dumps(GATE))
    plot_training_curves([{"epoch": 1, "loss": 0.5}], folder / "curves.png")
    for name in ("figures/roc_test", "figures/ISIC_0024306", "most_confused"):
        Image.new("RGB", (20, 20)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def scored(finished):
    """The same run, once its weights were scored on both splits."""
    own = file_sha256(finished / "model.safetensors")
    for split, record in records().items():
        record["model"]["weights_sha256"] = own
        record["provenance"]["command"] = f"score.py --model {Path.home()}/run"
        write_record(finished, split, record)
    (finished / "training.json").write_text(json.dumps(TRAINING))
    return finished


@pytest.fixture
def built(tmp_path):
    folder = tmp_path / "built"
    folder.mkdir()
    return folder


def names(folder):
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


def test_what_a_user_needs_goes_along_and_nothing_else(finished, built):
    build_model_folder(finished, built, name="me/cnn")
    assert names(built) == [
        "README.md",
        "SHA256SUMS",
        "cnn.py",
        "config.json",
        "curves.png",
        "figures/gate.png",
        "gate.json",
        "model.safetensors",
        "onnx/model.onnx",
        "preprocessor_config.json",
        "training.json",
    ]
    check_manifest(built)
    assert json.loads((built / "training.json").read_text())["dataset"]["folder"] == "~/data"
    assert {file.stat().st_mode & 0o044 for file in built.rglob("*.safetensors")} == {0o044}
    LesionClassifier.from_pretrained(built)


def test_building_twice_gives_the_same_bytes(finished, built, tmp_path):
    build_model_folder(finished, built, name="me/cnn")
    again = tmp_path / "again"
    again.mkdir()
    build_model_folder(finished, again, name="me/cnn")
    assert [(n, file_sha256(built / n)) for n in names(built)] == [
        (n, file_sha256(again / n)) for n in names(again)
    ]


def test_eight_bits_go_along_with_what_they_cost_and_never_without(finished, built, tmp_path):
    quantised = finished / QUANTISED_FILE
    shutil.copyfile(finished / ONNX_FILE, quantised)
    with pytest.raises(InputError, match=r"accuracy of .*model_quantized\.onnx was not measured"):
        build_model_folder(finished, built, name="me/cnn")
    write_quantisation(finished, {"bytes": {}}, data={})
    again = tmp_path / "again"
    again.mkdir()
    build_model_folder(finished, again, name="me/cnn")
    assert {QUANTISED_FILE, "quantisation.json"} <= set(names(again))


def test_a_spaces_model_goes_without_what_only_a_repository_shows(finished, built):
    build_model_folder(finished, built, name=None)
    assert names(built) == [
        "SHA256SUMS",
        "cnn.py",
        "config.json",
        "curves.png",
        "gate.json",
        "model.safetensors",
        "preprocessor_config.json",
        "training.json",
    ]


def test_the_code_that_travels_is_ours_whatever_lay_there(finished, built):
    from hf_lesion.models import cnn

    (finished / "cnn.py").write_text("import os\n")
    build_model_folder(finished, built, name="me/cnn")
    assert (built / "cnn.py").read_text() == Path(cnn.__file__).read_text()


def test_the_cards_licence_is_that_of_the_images_it_was_trained_on(finished, built):
    build_model_folder(finished, built, name="me/cnn")
    assert read_front_matter(built)["license"] == "apache-2.0"
    (finished / "training.json").write_text(json.dumps({"dataset": {"synthetic": False}}))
    card = "---\nlicense: mit\n---\n"
    (finished / "README.md").write_text(card)
    shutil.rmtree(built)
    built.mkdir()
    with pytest.raises(InputError, match=r"licence is mit; weights trained on HAM10000 are cc"):
        build_model_folder(finished, built, name="me/cnn")


@pytest.mark.slow  # draws thirteen charts
def test_a_scored_model_brings_reports_and_charts_that_its_card_shows(scored, built):
    build_model_folder(scored, built, name="me/cnn")
    charts = {f"figures/{name}_{split}.png" for name in CHARTS for split in ("test", "validation")}
    assert {name for name in names(built) if name.endswith(".png")} == {
        *charts,
        "figures/gate.png",
        "curves.png",
    }
    assert charts | {"report.json", "report.md", "report.html"} <= set(read_manifest(built))
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (built / "README.md").read_text())
    assert {f"figures/{name}_test.png" for name in CHARTS} <= set(shown) <= set(names(built))
    for name in names(built):  # as people see them
        if name.endswith(".png"):
            with Image.open(built / name) as image:
                assert min(image.size) > 300
                image.load()
    for name in ("report.json", "report.md", "report.html", "README.md"):
        assert str(Path.home()) not in (built / name).read_text()
    assert sum((built / name).stat().st_size for name in names(built)) < 8_000_000


def test_a_report_of_other_weights_stops_it(scored, built):
    report = scored / "report.json"
    report.write_text(report.read_text().replace(file_sha256(scored / "model.safetensors"), "0"))
    with pytest.raises(
        InputError, match=r"2 files were made from other weights: report\.json test"
    ):
        build_model_folder(scored, built, name="me/cnn")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "training.json"])
def test_an_unfinished_run_is_refused(finished, built, missing):
    (finished / missing).unlink()
    with pytest.raises(InputError, match=rf"{missing}"):
        build_model_folder(finished, built, name="me/cnn")


def test_damaged_weights_are_refused(finished, built):
    (finished / "onnx" / "model.onnx").unlink()
    (finished / "model.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="could not be loaded"):
        build_model_folder(finished, built, name="me/cnn")


def test_a_scored_model_gets_its_results_and_its_name_on_the_hub_into_the_card(tmp_path):
    folder = write_model(tmp_path, "a", right=0.5)
    write_card(folder, folder, name="me/cnn")
    front = read_front_matter(folder)
    assert front["model-index"][0]["name"] == "me/cnn"
    assert 'model="me/cnn"' in (folder / "README.md").read_text()
    check_model_card(folder)
    # What was rendered under another name is rendered anew; what somebody wrote is kept.
    write_card(folder, folder, name="me/other")
    assert read_front_matter(folder)["model-index"][0]["name"] == "me/other"
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\nMine.\n")
    write_card(folder, tmp_path, name="me/cnn")
    assert (tmp_path / "README.md").read_text().endswith("Mine.\n")


def test_a_model_that_was_not_scored_says_so(finished, built):
    build_model_folder(finished, built, name="me/cnn")
    assert "has not been scored" in (built / "README.md").read_text()
    assert "model-index" not in read_front_matter(built)
