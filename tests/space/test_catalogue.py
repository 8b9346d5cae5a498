"""Which models are shown, in which order, and why one is left out: known before any is loaded."""

import json
import shutil

import pytest
from points import melanoma_points

from hf_lesion.calibration.thresholds import write_operating_points
from hf_lesion.io.checksums import WEIGHTS, file_sha256

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
    from catalogue import read_entries

    from hf_lesion.errors import InputError

    with pytest.raises(InputError) as caught:
        read_entries([folder])
    return str(caught.value).partition(" is left out: ")[2]


def test_a_folder_of_models_gives_all_of_them(model_folders, tmp_path):
    from catalogue import read_entries

    for folder in model_folders:
        shutil.copytree(folder, tmp_path / "runs" / folder.name)
    (tmp_path / "runs" / "notes").mkdir()
    shutil.copytree(model_folders[0], tmp_path / "runs" / ".partial-tiny_cnn")
    entries, lines = read_entries([tmp_path / "runs", tmp_path / "runs" / "tiny_cnn"])
    assert (names(entries), lines) == (["tiny_cnn", "tiny_resnet"], [])


def test_the_page_opens_with_the_model_that_was_measured_best(tiny_cnn_model, tmp_path):
    from catalogue import read_entries

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
    from catalogue import read_entries

    for run in ("first", "second"):
        shutil.copytree(tiny_cnn_model, tmp_path / run / "model")
    entries, _lines = read_entries([tmp_path / "first", tmp_path / "second"])
    assert names(entries) == ["model", "second/model"]


def test_what_is_damaged_is_left_out_and_the_others_are_served(copy, tiny_cnn_model, tmp_path):
    from catalogue import read_entries

    (copy / "config.json").write_text("{")
    entries, lines = read_entries([copy, tiny_cnn_model, tmp_path / "missing"])
    assert names(entries) == ["tiny_cnn"]
    assert lines == [
        f"{tmp_path / 'missing'} is left out: no such folder.",
        f"{copy} is left out: its config.json is no JSON. Copy it again.",
    ]


def test_a_half_copied_model_is_seen_by_its_length(copy):
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert reason(copy).startswith(
        f"its model.safetensors has {len(whole) // 2:,} bytes where its header says "
        f"{len(whole):,}: half copied? Copy it again."
    )


@pytest.mark.parametrize("content", [b"", b"not weights", b"\xff" * 20, b"\x02" + bytes(7) + b"[]"])
def test_what_holds_no_weights_is_left_out(copy, content):
    (copy / "model.safetensors").write_bytes(content)
    assert reason(copy).startswith("its model.safetensors holds no safetensors. Copy it again.")


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
    from catalogue import read_entry

    report = {split: {"metrics": {"balanced_accuracy": v}} for split, v in metrics.items()}
    write_report(copy, report)
    measure = read_entry("m", copy).measure
    assert (measure and (measure.balanced_accuracy, measure.split)) == (
        expected and (0.5, expected)
    )


def test_the_interval_is_read(copy):
    from catalogue import read_entry

    part = {
        "metrics": {"balanced_accuracy": 0.5},
        "intervals": {"bounds": {"balanced_accuracy": [0.4, 0.6]}},
    }
    write_report(copy, {"test": part})
    assert read_entry("m", copy).measure.interval == (0.4, 0.6)


@pytest.mark.parametrize("text", TEXTS)
def test_a_damaged_report_counts_as_no_measure(copy, text):
    from catalogue import read_entry

    (copy / "report.json").write_text(text)
    assert read_entry("m", copy).measure is None


@pytest.mark.parametrize("same", [True, False])
def test_the_measure_of_the_ensemble_is_read_if_it_is_of_these_weights(copy, tmp_path, same):
    from catalogue import measure_ensemble, read_entry

    shutil.copytree(copy, tmp_path / "other")
    entries = [read_entry(name, tmp_path / name) for name in ("copy", "other")]
    assert measure_ensemble(entries) is None
    own = file_sha256(copy / WEIGHTS)
    members = {"copy": own, "other": own if same else "2"}
    part = {"members": members, "metrics": {"balanced_accuracy": 0.5}}
    (tmp_path / "ensemble.json").write_text(json.dumps({"test": part}))
    found = measure_ensemble(entries)
    assert (found and (found.balanced_accuracy, found.split)) == ((0.5, "test") if same else None)
    assert measure_ensemble(entries[:1]) is None


def test_what_was_measured_on_other_weights_is_left_out_and_that_is_said(copy):
    from catalogue import read_entries, read_entry
    from models_tab import models

    own, other = file_sha256(copy / WEIGHTS), "0" * 64
    part = {"metrics": {"balanced_accuracy": 0.5}}
    of = {sha: {"model": {"weights_sha256": sha}} for sha in (own, other)}

    def write(sha):
        write_report(copy, {"test": part, "validation": part}, sha)
        (copy / "explanations.json").write_text(json.dumps({"test": of[sha]}))
        for name in ("gate.json", "robustness.json"):
            (copy / name).write_text(json.dumps(of[sha]))
        write_operating_points(copy, melanoma_points(sha))

    write(own)
    entry = read_entry("m", copy)
    assert (entry.stale, entry.weights_sha256) == ((), own)
    assert set(entry.report) == {"test", "validation"}
    assert entry.gate == entry.robustness == entry.explanations["test"] == of[own]
    assert entry.points == melanoma_points(own).points
    write(other)
    (entry,), lines = read_entries([copy])
    assert (entry.report, entry.explanations, entry.gate, entry.robustness) == ({}, {}, {}, {})
    assert entry.points == {}
    stale = ["report.json", "explanations.json", "gate.json", "robustness.json"]
    stale.append("operating_points.json")
    assert lines == [
        f"{copy / name} is not of the weights beside it and is not used. Measure it again."
        for name in stale
    ]
    shown = models([entry])
    assert all(f"{name} is not of the weights that are served" in shown for name in stale)


def test_of_a_report_only_the_split_that_is_of_these_weights_is_kept(copy):
    from catalogue import read_entry

    write_report(copy, {"test": {"metrics": {"balanced_accuracy": 0.5}}})
    report = json.loads((copy / "report.json").read_text())
    report["validation"] = {"metrics": {"balanced_accuracy": 0.9}}  # of unknown weights
    (copy / "report.json").write_text(json.dumps(report))
    entry = read_entry("m", copy)
    assert list(entry.report) == ["test"]
    assert entry.stale == ("report.json",)
