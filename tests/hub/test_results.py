import json
import re

import pytest
from shipped import SHA256, write_model

from hf_lesion.errors import InputError
from hf_lesion.evaluation.comparison import write_comparison
from hf_lesion.hub import results


def test_rows_are_the_reports_numbers_best_first(tmp_path):
    write_model(tmp_path, "a", right=0.5)
    write_model(tmp_path, "b", right=0.9)
    shipped = results.read_shipped(tmp_path)
    assert [model.name for model in shipped] == ["b", "a"]
    header, _, first, second, *rest = results.render_table(shipped).splitlines()
    assert header.count("|") == first.count("|") == second.count("|")
    best = json.loads((tmp_path / "b" / "report.json").read_text())["test"]
    low, high = best["intervals"]["bounds"]["balanced_accuracy"]
    value = best["metrics"]["balanced_accuracy"]
    assert f"| {value:.3f} [{low:.3f}, {high:.3f}] |" in first
    assert first.startswith("| `b` | resnet18, 128 px | 1.2 million, 1.5 MB |")
    assert rest[-1].startswith("Test split: 140 images of 70 lesions (akiec 20, bcc 20, ")
    assert rest[-1].endswith(" Images: HAM10000, 140 of its 10,015 images, 256×256 px.")


@pytest.mark.parametrize(
    ("change", "mark"),
    [
        ({"description": "HAM10000, 140 of its 10,015 images, 200×150 px"}, ""),
        ({"fingerprint": "0123456789abcdef"}, " (dataset 01234567)"),
    ],
)
def test_the_images_of_every_model_are_named_where_they_differ(change, mark, tmp_path):
    for name, right in (("a", 0.5), ("b", 0.9), ("c", 0.7)):
        write_model(tmp_path, name, right=right)
    file = tmp_path / "a" / "report.json"
    report = json.loads(file.read_text())
    report["test"]["data"] |= change
    file.write_text(json.dumps(report))
    sentence = results.render_table(results.read_shipped(tmp_path)).splitlines()[-1]
    first, second = re.split(r" (?=`a`)", sentence)
    assert re.match(r"`b`, `c`( \(dataset \w{8}\))?: Test split: 140 images", first)
    assert bool(mark) == ("(dataset" in first)
    assert second.startswith(f"`a`{mark}: Test split: 140 images of 70 lesions")
    assert ("200×150 px" in second) is not bool(mark)
    assert "200×150" not in first


def test_a_report_of_other_weights_is_refused(tmp_path):
    folder = write_model(tmp_path, "a", right=0.5)
    (folder / "model.safetensors").write_bytes(b"trained again")
    with pytest.raises(InputError) as caught:
        results.read_shipped(tmp_path)
    assert str(caught.value).startswith(
        f"{folder}: 2 files were made from other weights: report.json test, report.json validation."
    )


@pytest.mark.parametrize("same", [True, False])
def test_pairs_have_a_table_if_they_are_of_these_weights(same, tmp_path):
    write_model(tmp_path, "a", right=0.5)
    write_model(tmp_path, "b", right=0.9)
    shipped = results.read_shipped(tmp_path)
    assert results.render_pairs(shipped) == ""
    names = ("balanced_accuracy", "accuracy", "macro_auroc")
    pair = {"first": "b", "second": "a", "differences": dict.fromkeys(names, (0.41, -0.02, 0.5))}
    models = {"a": SHA256, "b": SHA256 if same else "b" * 64}
    found = {"models": models, "pairs": [pair]}
    write_comparison(tmp_path, "test", found)
    row = "| `b` minus `a` | +0.410 [-0.020, +0.500] | +0.410"
    assert (row in results.render_pairs(shipped)) is same


def test_what_was_not_measured_leaves_its_block_empty(tmp_path):
    write_model(tmp_path, "a", right=0.5)
    shipped = results.read_shipped(tmp_path)
    table, fits = results.render_table(shipped), results.render_fits(shipped)
    assert results.render_blocks(shipped) == {"results": table, "pairs": "", "calibration": fits}


def test_calibration_and_thresholds_are_the_reports(tmp_path):
    write_model(tmp_path, "a", right=0.5)
    shipped = results.read_shipped(tmp_path)
    test = json.loads((tmp_path / "a" / "report.json").read_text())["test"]
    row = results.render_fits(shipped).splitlines()[2]
    cells = []
    for kind, name in (("answers", "class_balanced_ece"), ("reliability", "ece")):
        found = test["calibration"][kind]
        cells.append(f"{found['metrics'][name]:.3f} ({found['chance'][name]['mean']:.3f})")
    assert row.startswith(f"| `a` | {cells[0]} | {cells[1]} |")
    point = test["operating_points"]["melanoma"]
    low, high = point["intervals"]["bounds"]["specificity"]
    assert row.endswith(f"| {point['metrics']['specificity']:.3f} [{low:.3f}, {high:.3f}] |")


def test_what_an_earlier_report_did_not_measure_is_a_dash(tmp_path):
    folder = write_model(tmp_path, "a", right=0.5)
    report = json.loads((folder / "report.json").read_text())
    for record in report.values():
        del record["calibration"]["reliability"]
        del record["calibration"]["answers"]["metrics"]["class_balanced_ece"]
    (folder / "report.json").write_text(json.dumps(report))
    row = results.render_fits(results.read_shipped(tmp_path)).splitlines()[2]
    assert row.startswith("| `a` | – | – |")


def test_models_without_thresholds_have_no_such_table(tmp_path):
    folder = write_model(tmp_path, "a", right=0.5)
    report = json.loads((folder / "report.json").read_text())
    for record in report.values():
        record["operating_points"] = {}
    (folder / "report.json").write_text(json.dumps(report))
    assert results.render_fits(results.read_shipped(tmp_path)) == ""


def test_a_model_that_was_not_scored_is_named(tmp_path):
    folder = write_model(tmp_path, "a", right=0.5)
    report = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps({"validation": report["validation"]}))
    with pytest.raises(InputError, match=r"a was not scored on test\. Run scripts/score\.py\.$"):
        results.read_shipped(tmp_path)


def test_an_empty_folder_is_explained(tmp_path):
    with pytest.raises(InputError, match=r"^There is no model in .* scripts/pack_model\.py\.$"):
        results.read_shipped(tmp_path)
