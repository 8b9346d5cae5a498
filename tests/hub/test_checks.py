import json

import pytest
from PIL import Image

from hf_lesion.errors import InputError
from hf_lesion.hub import checks
from hf_lesion.hub.checks import (
    check_card,
    check_files,
    check_measured_weights,
    read_front_matter,
    read_licence,
)
from hf_lesion.manifest import file_sha256

CARD = "---\nlicense: cc-by-nc-4.0\n---\n# A model\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "README.md").write_text(CARD)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    Image.new("RGB", (20, 20)).save(tmp_path / "curves.png")
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


@pytest.mark.parametrize("name", ["ISIC_0024306.png", "ISIC_0024306_segmentation.png"])
@pytest.mark.parametrize("kind", ["model", "space"])
def test_a_picture_with_the_name_of_the_datasets_is_refused(folder, name, kind):
    Image.new("RGB", (20, 20)).save(folder / name)
    with pytest.raises(InputError, match=f"may be, images of HAM10000: {name}"):
        check_files(folder, kind)


def test_a_renamed_image_of_the_dataset_is_known_by_its_bytes(folder, monkeypatch):
    picture = folder / "curves.png"
    sums = {"ISIC_0024306": file_sha256(picture)}
    monkeypatch.setattr(checks, "read_checksums", lambda: sums)
    with pytest.raises(InputError, match=r"1 pictures are, .* of HAM10000: curves\.png"):
        check_files(folder, "model")


def test_a_photograph_is_refused_whatever_it_is_called(folder):
    Image.new("RGB", (20, 20)).save(folder / "note", "JPEG")
    (folder / "note").rename(folder / "notes.json")
    with pytest.raises(InputError, match=r"images of HAM10000: notes\.json"):
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


def test_a_report_of_other_weights_is_refused(folder):
    with pytest.raises(InputError, match=r"report\.json was measured on other weights: test"):
        check_measured_weights(folder, REPORT)
    own = {"model": {"weights_sha256": file_sha256(folder / "model.safetensors")}}
    check_measured_weights(folder, {"test": own})
