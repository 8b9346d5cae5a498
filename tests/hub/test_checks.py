import base64
import dataclasses
import io
import json
import shutil

import pytest
import torch
from PIL import Image, PngImagePlugin

from hf_lesion.errors import InputError
from hf_lesion.hub import checks
from hf_lesion.hub.checks import check_card, check_files, check_measured_weights, check_shown
from hf_lesion.io.checksums import file_sha256
from hf_lesion.ood.gate import Gate, write_gate
from hf_lesion.training.figures import plot_training_curves

CARD = "---\nlicense: cc-by-nc-4.0\n---\n# A model\n"


@pytest.fixture(scope="module")
def chart(tmp_path_factory):
    file = tmp_path_factory.mktemp("chart") / "curves.png"
    plot_training_curves([{"epoch": 1, "loss": 0.5}], file)
    return file


@pytest.fixture
def folder(chart, tmp_path):
    (tmp_path / "README.md").write_text(CARD)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    shutil.copyfile(chart, tmp_path / "curves.png")
    return tmp_path


@pytest.mark.parametrize("kind", ["model", "space"])
def test_a_clean_folder_passes(folder, kind):
    check_files(folder, kind)


@pytest.mark.parametrize("name", ["training_args.bin", "weights.pkl", "events.out.tfevents"])
def test_files_of_other_kinds_are_named(folder, name):
    (folder / name).write_bytes(b"x")
    with pytest.raises(InputError, match=f"of a kind that is not published with a model: {name}"):
        check_files(folder, "model")


def test_a_token_is_found(folder):
    (folder / "config.json").write_text(json.dumps({"token": "hf_" + "a" * 34}))
    with pytest.raises(InputError, match=r"config\.json contains an access token"):
        check_files(folder, "model")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, r"has no README\.md\. A published folder"),
        ("# A model\n", "has no front matter"),
        ("---\na: [\n---\n", "is not YAML"),
        ("---\ntags: [a]\n---\n", "names no license"),
    ],
)
def test_a_card_without_a_licence_is_refused(folder, text, expected):
    (folder / "README.md").unlink()
    if text is not None:
        (folder / "README.md").write_text(text)
    with pytest.raises(InputError, match=expected):
        checks.read_licence(folder)


def test_a_card_that_shows_a_missing_picture_is_refused(folder):
    card = folder / "README.md"
    card.write_text(f"{CARD}![Curves](curves.png)\n![A logo](https://a.org/logo.png)\n")
    check_shown(folder)
    card.write_text(f"{CARD}![ROC](figures/roc.png)\n")
    with pytest.raises(InputError, match=r"shows 1 pictures that do not exist: figures/roc\.png"):
        check_shown(folder)


@pytest.mark.parametrize(
    ("name", "split", "value", "interval", "text"),
    [
        ("balanced_accuracy", "test", 0.612, [0.5, 0.7], None),  # a card may round
        ("balanced_accuracy", "test", 0.712, None, "on test is 0.712, measured 0.61234"),
        ("balanced_accuracy", "test", 0.612, [0.4, 0.7], r"interval of .* is \[0.4, 0.7\], meas"),
        ("balanced_accuracy", "validation", 0.612, None, "validation is 0.612, measured None"),
        ("accuracy", "test", 0.612, None, "accuracy on test is 0.612, measured None"),
    ],
)
def test_results_of_a_card_are_those_of_the_report(name, split, value, interval, text):
    metric = {"type": name, "value": value, "args": {"interval": interval}}
    result = {"dataset": {"split": split}, "metrics": [metric]}
    front = {"model-index": [{"name": "a", "results": [result]}]}
    bounds = {"balanced_accuracy": [0.50001, 0.69999]}
    measured = {"metrics": {"balanced_accuracy": 0.61234}, "intervals": {"bounds": bounds}}
    if text is None:
        check_card(front, {"test": measured})
        return
    with pytest.raises(InputError, match=text):
        check_card(front, {"test": measured})


@pytest.mark.parametrize(
    ("name", "record", "found"),
    [
        ("report.json", {"test": {"model": {"weights_sha256": "ab"}}}, r"report\.json test"),
        ("gate.json", {"model": {"weights_sha256": "ab"}}, r"gate\.json"),
        ("calibration.json", {"weights_sha256": "ab"}, r"calibration\.json"),
        ("onnx/model.onnx", {"weights_sha256": "ab"}, r"onnx/model\.onnx"),
        ("onnx/model_quantized.onnx", {"weights_sha256": "ab"}, r"onnx/model_quantized\.onnx"),
    ],
)
def test_files_of_other_weights_are_refused(folder, name, record, found):
    (folder / "onnx").mkdir()
    (folder / name).write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"1 files were made from other weights: {found}. Make"):
        check_measured_weights(folder)
    own = file_sha256(folder / "model.safetensors")
    (folder / name).write_text(json.dumps(record).replace('"ab"', f'"{own}"'))
    check_measured_weights(folder)


def test_a_gate_of_other_weights_is_refused(folder):
    own = file_sha256(folder / "model.safetensors")
    names = ("mean", "scale", "directions", "centre", "precision", "reference")
    gate = Gate(("colours",), **{name: torch.zeros(1) for name in names}, refused_below=0.5)
    write_gate(folder / "gate.safetensors", dataclasses.replace(gate, weights_sha256=own))
    check_measured_weights(folder)
    write_gate(folder / "gate.safetensors", dataclasses.replace(gate, weights_sha256="ab"))
    with pytest.raises(InputError, match=r"from other weights: gate\.safetensors\. Make"):
        check_measured_weights(folder)


class TestPictures:
    """Images of HAM10000 are never published."""

    @staticmethod
    def is_refused(folder, name, kind="model"):
        text = f"1 pictures are, or may be, images of HAM10000: {name}"
        with pytest.raises(InputError, match=text):
            check_files(folder, kind)

    @pytest.mark.parametrize("kind", ["model", "space"])
    def test_names_of_the_dataset(self, folder, kind):
        (folder / "curves.png").rename(folder / "ISIC_0024306_segmentation.png")
        self.is_refused(folder, "ISIC_0024306_segmentation.png", kind)

    def test_bytes_of_the_dataset(self, folder, monkeypatch):
        sums = {"ISIC_0024306": file_sha256(folder / "curves.png")}
        monkeypatch.setattr(checks, "read_checksums", lambda: sums)
        self.is_refused(folder, r"curves\.png")

    @pytest.mark.parametrize(
        ("kind", "name"),
        [("PNG", "roc.png"), ("JPEG", "a.json"), ("PNG", "a.json"), ("WEBP", "a.json")],
    )
    def test_a_photograph_under_another_name(self, folder, kind, name):
        told = PngImagePlugin.PngInfo()
        if name != "roc.png":  # the signature of a chart does not help another suffix
            told.add_text("Software", "Matplotlib version3")
        Image.new("RGB", (20, 20)).save(folder / "note", kind, pnginfo=told)
        (folder / "note").rename(folder / name)
        self.is_refused(folder, name)

    def test_a_picture_inside_a_page_has_to_be_a_chart_of_the_folder(self, folder):
        page = folder / "report.html"
        page.write_text(embed((folder / "curves.png").read_bytes()))
        check_files(folder, "model")
        stream = io.BytesIO()
        Image.new("RGB", (20, 20)).save(stream, "PNG")
        page.write_text(page.read_text() + embed(stream.getvalue()))
        self.is_refused(folder, r"one inside report\.html")


def embed(content):
    return f'<img src="data:image/png;base64,{base64.b64encode(content).decode()}">'
