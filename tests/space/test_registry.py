"""Model registry: selection, order, skipped models, and waiting until a model is loaded."""

import json
import shutil
import threading

import pytest
from PIL import Image

from hf_lesion.calibration.thresholds import FILE, OperatingPoint, OperatingPoints
from hf_lesion.errors import InputError
from hf_lesion.io.checksums import WEIGHTS, file_sha256
from hf_lesion.io.records import write_record

WAIT = 20
TOKEN = (
    "The Hub rejects your token (HTTP 401): it is expired, revoked or mistyped. It is read from "
    "the file /home/ada/.cache/huggingface/token. Run `hf auth login`."
)
TEXTS = ["{", "[]", '{"test": []}', '{"test": {"metrics": 1}}']


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
    from registry import read_entries

    from hf_lesion.errors import InputError

    with pytest.raises(InputError) as caught:
        read_entries([folder])
    return str(caught.value).partition(" was skipped: ")[2]


def test_a_folder_of_models_gives_all_of_them(model_folders, tmp_path):
    from registry import read_entries

    for folder in model_folders:
        shutil.copytree(folder, tmp_path / "runs" / folder.name)
    (tmp_path / "runs" / "notes").mkdir()
    shutil.copytree(model_folders[0], tmp_path / "runs" / ".partial-tiny_cnn")
    entries, lines = read_entries([tmp_path / "runs", tmp_path / "runs" / "tiny_cnn"])
    assert (names(entries), lines) == (["tiny_cnn", "tiny_resnet"], [])


def test_the_page_opens_with_the_model_that_was_measured_best(tiny_cnn_model, tmp_path):
    from registry import read_entries

    measured = {"a": {"test": 0.5}, "b": {"validation": 0.9}, "c": {}, "d": {"test": 0.7}}
    for name, splits in measured.items():
        shutil.copytree(tiny_cnn_model, tmp_path / name)
        report = {
            split: {"metrics": {"balanced_accuracy": value}} for split, value in splits.items()
        }
        write_report(tmp_path / name, report)
    entries, _lines = read_entries([tmp_path])
    assert names(entries) == ["d", "a", "b", "c"]


def test_two_models_of_one_name_are_told_apart(tiny_cnn_model, tmp_path):
    from registry import read_entries

    for run in ("first", "second"):
        shutil.copytree(tiny_cnn_model, tmp_path / run / "model")
    entries, _lines = read_entries([tmp_path / "first", tmp_path / "second"])
    assert names(entries) == ["model", "second/model"]


def test_what_is_damaged_is_left_out_and_the_others_are_served(copy, tiny_cnn_model, tmp_path):
    from registry import read_entries

    (copy / "config.json").write_text("{")
    entries, lines = read_entries([copy, tiny_cnn_model, tmp_path / "missing"])
    assert names(entries) == ["tiny_cnn"]
    assert lines == [
        f"{tmp_path / 'missing'} was skipped: no such folder.",
        f"{copy} was skipped: its config.json is not valid JSON. Copy it again.",
    ]


def test_an_incomplete_copy_is_recognised_by_its_length(copy):
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert reason(copy).startswith(
        "its model.safetensors is incomplete or not a safetensors file (Error while deserializing "
        "header: incomplete metadata, file not fully covered). Copy it again."
    )


@pytest.mark.parametrize("content", [b"", b"not weights", b"\xff" * 20, b"\x02" + bytes(7) + b"[]"])
def test_what_holds_no_weights_is_left_out(copy, content):
    (copy / "model.safetensors").write_bytes(content)
    assert reason(copy).startswith("its model.safetensors is incomplete or not a safetensors file")


def test_weights_of_another_format_are_not_loaded(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    assert reason(copy).startswith("it has no model.safetensors. Only safetensors are loaded.")


@pytest.mark.parametrize(
    "change", [{"id2label": {"0": "cat", "1": "dog"}}, {"label_names": ["nv"]}]
)
def test_a_model_of_other_classes_is_left_out(copy, change):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **change}))
    assert "expected akiec, bcc, bkl, df, mel, nv, vasc." in reason(copy)


def test_classes_in_another_order_are_other_classes(copy):
    config = json.loads((copy / "config.json").read_text())
    config["id2label"]["4"], config["id2label"]["5"] = "nv", "mel"
    (copy / "config.json").write_text(json.dumps(config))
    assert reason(copy).startswith("its classes are akiec, bcc, bkl, df, nv, mel, vasc;")


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"validation": 1.0, "test": 0.5}, "test"),
        ({"validation": 0.5}, "validation"),
        ({"validation": 0.5, "test": None}, "validation"),
        ({"test": None}, None),
        ({}, None),
    ],
)
def test_the_measured_accuracy_is_read(copy, metrics, expected):
    from registry import read_entry

    report = {split: {"metrics": {"balanced_accuracy": v}} for split, v in metrics.items()}
    write_report(copy, report)
    assert read_entry("m", copy).balanced_accuracy == (expected and (0.5, expected))


@pytest.mark.parametrize("text", TEXTS)
def test_a_damaged_report_counts_as_no_measure(copy, text):
    from registry import read_entry

    (copy / "report.json").write_text(text)
    assert read_entry("m", copy).balanced_accuracy is None


def test_what_was_measured_on_other_weights_is_left_out_and_that_is_said(copy):
    from registry import read_entries, read_entry

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
    write(other)
    (entry,), lines = read_entries([copy])
    assert (entry.report, entry.gate, entry.points) == ({}, {}, {})
    assert lines == [
        f"{copy / name} was ignored: it was measured on other weights. Measure it again."
        for name in ("report.json", "gate.json", "operating_points.json")
    ]


def test_of_a_report_only_the_split_that_is_of_these_weights_is_kept(copy):
    from registry import read_entry

    write_report(copy, {"test": {"metrics": {"balanced_accuracy": 0.5}}})
    report = json.loads((copy / "report.json").read_text())
    report["validation"] = {"metrics": {"balanced_accuracy": 0.9}}  # of unknown weights
    (copy / "report.json").write_text(json.dumps(report))
    entry = read_entry("m", copy)
    assert list(entry.report) == ["test"]
    assert entry.stale == ("report.json",)


@pytest.fixture
def entries(model_folders):
    from registry import read_entries

    return read_entries(model_folders)[0]


def test_who_asks_before_a_model_is_loaded_waits_for_it(entries, classifiers, monkeypatch):
    from registry import Registry

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
    from registry import Registry
    from uploads import UploadedImage

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
    assert list(registry.classify_all(UploadedImage.of(Image.new("RGB", (9, 9))))) == [
        "tiny_resnet"
    ]
    with pytest.raises(InputError, match="The model tiny_cnn can't be used"):
        registry.get("tiny_cnn")


def test_what_is_skipped_is_told_to_visitors_without_paths_of_this_machine(entries, monkeypatch):
    from registry import Registry

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


def test_what_takes_too_long_is_said(entries, classifiers, monkeypatch):
    import registry as module

    monkeypatch.setattr(module, "MAX_WAIT", 0.01)
    with pytest.raises(InputError, match=r"is still being loaded\. Try again in a few seconds\."):
        module.Registry(entries).get("tiny_cnn")


def test_a_model_that_is_not_there_is_named(classifiers):
    from registry import Registry

    with pytest.raises(InputError, match=r"Unknown model '\.\./x'; expected one of tiny_cnn, "):
        Registry.from_classifiers(classifiers).get("../x")


def test_models_are_called_by_their_usual_names_and_told_apart(copy, tmp_path):
    from registry import Registry, read_entry

    (copy / "training.json").write_text('{"architecture": "densenet121"}')
    other = shutil.copytree(copy, tmp_path / "other")
    write_report(copy, {"test": {"metrics": {"balanced_accuracy": 0.7365}}})
    one = read_entry("a", copy)
    assert (one.title, one.accuracy_text) == ("DenseNet-121", "balanced accuracy 0.74")
    assert Registry([one]).titles() == {"a": "DenseNet-121"}
    both = Registry([one, read_entry("b", other)])
    assert both.titles() == {"a": "DenseNet-121 (a)", "b": "DenseNet-121 (b)"}
