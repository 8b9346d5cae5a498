"""Model registry: selection, order, skipped models, and waiting until a model is loaded."""

import json
import shutil
import threading

import pytest
from PIL import Image
from registry import Registry, read_entries, read_entry
from space.conftest import as_upload

from hf_lesion.calibration.thresholds import FILE, OperatingPoint, OperatingPoints
from hf_lesion.errors import InputError
from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.io.records import write_record

WAIT = 20
TOKEN = (
    "The Hub rejects your token (HTTP 401): it is expired, revoked or mistyped. It is read from "
    "the file /home/ada/.cache/huggingface/token. Run `hf auth login`."
)


def names(entries):
    return [entry.name for entry in entries]


@pytest.fixture
def copy(tiny_cnn_model, tmp_path):
    return shutil.copytree(tiny_cnn_model, tmp_path / "copy")


def write_report(folder, report, sha=None):
    """Write what was measured of each split, on the weights in the folder unless told otherwise."""
    model = {"weights_sha256": sha or file_sha256(folder / WEIGHTS)}
    found = {split: {"model": model, **part} for split, part in report.items()}
    (folder / "report.json").write_text(json.dumps(found))


def reason(folder):
    """Return why a folder is left out."""
    with pytest.raises(InputError) as caught:
        read_entries([folder])
    return str(caught.value).partition(" was skipped: ")[2]


def test_a_folder_of_models_gives_all_of_them(model_folders, tmp_path):
    for folder in model_folders:
        shutil.copytree(folder, tmp_path / "runs" / folder.name)
    (tmp_path / "runs" / "notes").mkdir()
    shutil.copytree(model_folders[0], tmp_path / "runs" / ".partial-tiny_cnn")
    entries, lines = read_entries([tmp_path / "runs", tmp_path / "runs" / "tiny_cnn"])
    assert (names(entries), lines) == (["tiny_cnn", "tiny_resnet"], [])


def test_the_page_opens_with_the_model_that_was_measured_best(tiny_cnn_model, tmp_path):
    measured = {"a": {"test": 0.5}, "b": {"validation": 0.9}, "c": {}, "d": {"test": 0.7}}
    for name, splits in measured.items():
        shutil.copytree(tiny_cnn_model, tmp_path / name)
        report = {
            split: {"metrics": {"balanced_accuracy": value}} for split, value in splits.items()
        }
        write_report(tmp_path / name, report)
    entries, _lines = read_entries([tmp_path])
    assert names(entries) == ["d", "a", "b", "c"]
    assert [entry.balanced_accuracy for entry in entries[1:]] == [
        *((0.5, "test"), (0.9, "validation"), None)
    ]
    for text in ("{", "[]", '{"test": {"metrics": 1}}'):
        (tmp_path / "d" / "report.json").write_text(text)
        assert read_entry("d", tmp_path / "d").balanced_accuracy is None


def test_two_models_of_one_name_are_told_apart(tiny_cnn_model, tmp_path):
    for run in ("first", "second"):
        shutil.copytree(tiny_cnn_model, tmp_path / run / "model")
    entries, _lines = read_entries([tmp_path / "first", tmp_path / "second"])
    assert names(entries) == ["model", "second/model"]


def test_a_model_of_other_classes_or_another_order_is_left_out(copy):
    config = json.loads((copy / "config.json").read_text())
    swapped = {**config["id2label"], "4": "nv", "5": "mel"}
    for change, classes in (
        ({"label_names": ["nv"]}, "nv"),
        ({"id2label": swapped}, "akiec, bcc, bkl, df, nv, mel, vasc"),
    ):
        (copy / "config.json").write_text(json.dumps({**config, **change}))
        assert reason(copy).startswith(
            f"its classes are {classes}; expected akiec, bcc, bkl, df, mel, nv, vasc."
        )


def test_what_was_measured_on_other_weights_is_left_out_and_that_is_said(copy):
    own, other = file_sha256(copy / WEIGHTS), "0" * 64
    part = {"metrics": {"balanced_accuracy": 0.5}}
    of = {sha: {"model": {"weights_sha256": sha}} for sha in (own, other)}
    point = OperatingPoint(
        codes=("mel",),
        threshold=0.1,
        target_sensitivity=0.9,
        images=50,
        positives=9,
        sensitivity=0.9,
        specificity=0.7,
    )

    def write(sha):
        write_report(copy, {"test": part, "validation": part}, sha)
        (copy / "gate.json").write_text(json.dumps(of[sha]))
        write_record(
            copy / FILE,
            OperatingPoints(weights_sha256=sha, fitted_on={}, points={"melanoma": point}),
        )

    write(own)
    entry = read_entry("m", copy)
    assert (entry.stale, entry.weights_sha256) == ((), own)
    assert set(entry.report) == {"test", "validation"}
    assert entry.gate == of[own]
    assert entry.points == {"melanoma": point}
    # One split is of these weights, the other of unknown ones.
    report = json.loads((copy / "report.json").read_text())
    (copy / "report.json").write_text(json.dumps({**report, "validation": part}))
    assert list(read_entry("m", copy).report) == ["test"]
    write(other)
    (entry,), lines = read_entries([copy])
    assert (entry.report, entry.gate, entry.points) == ({}, {}, {})
    assert lines == [
        f"{copy / name} was ignored: it was measured on other weights. Measure it again."
        for name in ("report.json", "gate.json", "operating_points.json")
    ]


@pytest.fixture
def entries(model_folders):
    return read_entries(model_folders)[0]


def test_who_asks_before_a_model_is_loaded_waits_for_it(entries, classifiers, monkeypatch):
    may_load = threading.Event()

    def load(entry):
        may_load.wait(WAIT)
        return classifiers[entry.name]

    monkeypatch.setattr("registry.load_classifier", load)
    registry = Registry(entries)
    registry.start()
    found = []
    asking = threading.Thread(target=lambda: found.append(registry.get("tiny_cnn")))
    asking.start()
    asking.join(0.1)
    assert asking.is_alive()
    may_load.set()
    asking.join(WAIT)
    assert found == [classifiers["tiny_cnn"]]


def test_one_that_cannot_be_loaded_is_said_and_the_others_are_served(
    entries, classifiers, monkeypatch, capsys
):
    def load(entry):
        if entry.name == "tiny_cnn":
            raise RuntimeError("two\nlines")
        return classifiers[entry.name]

    monkeypatch.setattr("registry.load_classifier", load)
    registry = Registry(entries)
    registry.load()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"{registry.entries['tiny_cnn'].source} was skipped: RuntimeError: two lines"]
    assert registry.names() == list(registry.titles()) == ["tiny_resnet"]
    assert list(registry.classify_all(as_upload(Image.new("RGB", (9, 9))))) == ["tiny_resnet"]
    with pytest.raises(InputError, match="The model tiny_cnn can't be used"):
        registry.get("tiny_cnn")


def test_what_is_skipped_is_told_to_visitors_without_paths_of_this_machine(entries, monkeypatch):
    reasons = {"tiny_cnn": InputError("{0}/x is damaged."), "tiny_resnet": OSError("{0} is odd")}

    def load(entry):
        error = reasons[entry.name]
        raise type(error)(str(error).format(entry.source))

    lines = [
        "/home/ada/half was skipped: /home/ada/half/x is half copied.",
        "me/a@1a2b3c4: commit 1a2b3c4",
        f"me/b was skipped: No. {TOKEN}",
    ]
    monkeypatch.setattr("registry.load_classifier", load)
    registry = Registry(entries, lines=lines)
    registry.load()
    assert sorted(registry.skipped) == [
        "b was skipped: No. The Hub rejects your token (HTTP 401): it is expired, revoked or "
        "mistyped.",
        "half was skipped: half/x is half copied.",
        "tiny_cnn was skipped: tiny_cnn/x is damaged.",
        "tiny_resnet was skipped: its files are damaged.",
    ]


def test_models_are_called_by_their_usual_names_and_told_apart(copy, tmp_path):
    (copy / "training.json").write_text('{"architecture": "densenet121"}')
    other = shutil.copytree(copy, tmp_path / "other")
    write_report(copy, {"test": {"metrics": {"balanced_accuracy": 0.7365}}})
    one = read_entry("a", copy)
    assert (one.title, one.accuracy_text) == ("DenseNet-121", "balanced accuracy 0.74")
    assert Registry([one]).titles() == {"a": "DenseNet-121"}
    both = Registry([one, read_entry("b", other)])
    assert both.titles() == {"a": "DenseNet-121 (a)", "b": "DenseNet-121 (b)"}
