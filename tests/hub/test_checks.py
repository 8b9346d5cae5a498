import dataclasses
import json

import pytest
import torch

from hf_lesion.errors import InputError
from hf_lesion.hub.checks import (
    check_card,
    check_files,
    check_measured_weights,
    check_shown,
    read_front_matter,
    read_licence,
)
from hf_lesion.io.checksums import file_sha256
from hf_lesion.ood.gate import Gate, write_gate
from hf_lesion.training.figures import plot_training_curves

CARD = "---\nlicense: cc-by-nc-4.0\n---\n# A model\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "README.md").write_text(CARD)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    plot_training_curves([{"epoch": 1, "loss": 0.5}], tmp_path / "curves.png")
    return tmp_path


def test_a_clean_folder_passes(folder):
    check_files(folder, "model")
    check_files(folder, "space")


@pytest.mark.parametrize(
    "name", ["training_args.bin", "optimizer.pt", "weights.pkl", "events.out.tfevents", "log.txt"]
)
def test_what_is_never_published_is_named(folder, name):
    (folder / name).write_bytes(b"x")
    with pytest.raises(InputError, match=f"of a kind that is not published with a model: {name}"):
        check_files(folder, "model")


def test_a_token_is_found(folder):
    (folder / "config.json").write_text(json.dumps({"token": "hf_" + "a" * 34}))
    with pytest.raises(InputError, match=r"config\.json holds an access token"):
        check_files(folder, "model")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A model\n", "has no front matter"),
        ("---\n- a\n---\n", "has no front matter"),
        ("---\na: [\n---\n", "is not YAML"),
        ("---\ntags: [a]\n---\n", "names no license"),
    ],
)
def test_a_card_without_a_licence_is_refused(folder, text, expected):
    (folder / "README.md").write_text(text)
    with pytest.raises(InputError, match=expected):
        read_licence(folder)


def test_what_has_no_card_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no README\.md: what is published has a card"):
        read_front_matter(tmp_path)


def card_of(value, split="test", metric="balanced_accuracy"):
    result = {"dataset": {"split": split}, "metrics": [{"type": metric, "value": value}]}
    return {"model-index": [{"name": "a", "results": [result]}]}


REPORT = {"test": {"metrics": {"balanced_accuracy": 0.61234}, "model": {"weights_sha256": "ab"}}}


def test_a_card_may_round():
    check_card(card_of(0.612), REPORT)
    check_card({}, REPORT)


@pytest.mark.parametrize(
    ("front", "text"),
    [
        (card_of(0.712), "balanced_accuracy on test is 0.712, measured 0.61234"),
        (card_of(0.612, split="validation"), "on validation is 0.612, measured None"),
        (card_of(0.612, metric="accuracy"), "accuracy on test is 0.612, measured None"),
    ],
)
def test_a_card_that_says_something_else_is_refused(front, text):
    with pytest.raises(InputError, match=text):
        check_card(front, REPORT)


@pytest.mark.parametrize(
    ("name", "record", "found"),
    [
        ("report.json", {"test": {"model": {"weights_sha256": "ab"}}}, r"report\.json test"),
        ("gate.json", {"model": {"weights_sha256": "ab"}}, r"gate\.json"),
        ("explanations.json", {"test": {"model": {"weights_sha256": "ab"}}}, r"explanations\.json"),
        ("calibration.json", {"weights_sha256": "ab"}, r"calibration\.json"),
        ("operating_points.json", {"weights_sha256": "ab"}, r"operating_points\.json"),
    ],
)
def test_a_record_of_other_weights_is_refused(folder, name, record, found):
    (folder / name).write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"1 files were made from other weights: {found}"):
        check_measured_weights(folder)
    own = file_sha256(folder / "model.safetensors")
    (folder / name).write_text(json.dumps(record).replace('"ab"', f'"{own}"'))
    check_measured_weights(folder)


def test_a_gate_of_other_weights_is_refused(folder):
    own = file_sha256(folder / "model.safetensors")
    names = ("mean", "scale", "directions", "centre", "precision", "reference")
    gate = Gate(("colours",), **{name: torch.zeros(1) for name in names}, refused_below=0.5)
    for sha, is_own in ((own, True), ("ab", False)):
        write_gate(folder / "gate.safetensors", dataclasses.replace(gate, weights_sha256=sha))
        if is_own:
            check_measured_weights(folder)
            continue
        with pytest.raises(InputError, match=r"from other weights: gate\.safetensors\. Make"):
            check_measured_weights(folder)


@pytest.mark.parametrize("name", ["model", "model_quantized"])
def test_an_onnx_file_of_other_weights_is_refused(folder, name):
    (folder / "onnx").mkdir()
    file = folder / "onnx" / f"{name}.onnx"
    file.write_bytes(b"weights_sha256" + b"ab" * 32)
    with pytest.raises(InputError, match=rf"other weights: onnx/{name}\.onnx\. Make them again"):
        check_measured_weights(folder)
    file.write_bytes(b"weights_sha256" + file_sha256(folder / "model.safetensors").encode())
    check_measured_weights(folder)


def test_a_card_that_shows_what_is_not_there_is_refused(folder):
    card = folder / "README.md"
    card.write_text(f"{CARD}![How it went](curves.png)\n![A logo](https://a.org/logo.png)\n")
    check_shown(folder)
    card.write_text(f"{CARD}![ROC](figures/roc.png)\n")
    with pytest.raises(InputError, match=r"shows 1 pictures that are not there: figures/roc\.png"):
        check_shown(folder)
