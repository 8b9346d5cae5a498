import json
import re

import pytest
from shipped import SHA256, write_model

from hf_lesion.errors import InputError
from hf_lesion.evaluation.comparison import write_comparison
from hf_lesion.hub import results


@pytest.fixture
def models(tmp_path):
    for name, right in (("a", 0.5), ("b", 0.9)):
        write_model(tmp_path, name, right=right)
    return tmp_path


def change(file, edit):
    """Apply a function to the record of each split."""
    report = json.loads(file.read_text())
    for record in report.values():
        edit(record)
    file.write_text(json.dumps(report))


def test_rows_are_the_numbers_of_the_reports_best_first(models):
    shipped = results.read_shipped(models)
    assert [model.name for model in shipped] == ["b", "a"]
    header, _, first, second, *rest = results.render_table(shipped).splitlines()
    assert header.count("|") == first.count("|") == second.count("|")
    best = json.loads((models / "b" / "report.json").read_text())["test"]
    low, high = best["intervals"]["bounds"]["balanced_accuracy"]
    value = best["metrics"]["balanced_accuracy"]
    assert f"| {value:.3f} [{low:.3f}, {high:.3f}] |" in first
    assert first.startswith("| `b` | resnet18, 128 px | 1.2 million, 1.5 MB |")
    assert rest[-1].startswith("Test split: 140 images of 70 lesions (akiec 20, bcc 20, ")
    assert rest[-1].endswith(" Images: HAM10000, 140 of its 10,015 images, 256×256 px.")


def test_the_images_of_every_model_are_named_where_they_differ(models):
    write_model(models, "c", right=0.7)
    other = {"description": "HAM10000, 140 of its 10,015 images, 200×150 px"}
    change(models / "a" / "report.json", lambda record: record["data"].update(other))
    sentence = results.render_table(results.read_shipped(models)).splitlines()[-1]
    first, second = re.split(r" (?=`a`)", sentence)
    assert first.startswith("`b`, `c`: Test split: 140 images")
    assert second.startswith("`a`: Test split: 140 images of 70 lesions")
    assert "200×150 px" in second
    assert "200×150" not in first


@pytest.mark.parametrize("same", [True, False])
def test_pairs_are_shown_if_they_are_of_these_weights(same, models):
    shipped = results.read_shipped(models)
    blocks = results.render_blocks(shipped)
    assert (list(blocks), blocks["pairs"]) == (["results", "pairs", "calibration"], "")
    names = ("balanced_accuracy", "accuracy", "macro_auroc")
    pair = {"first": "b", "second": "a", "differences": dict.fromkeys(names, (0.41, -0.02, 0.5))}
    weights = {"a": SHA256, "b": SHA256 if same else "b" * 64}
    write_comparison(models, "test", {"models": weights, "pairs": [pair]})
    row = "| `b` minus `a` | +0.410 [-0.020, +0.500] | +0.410"
    assert (row in results.render_blocks(shipped)["pairs"]) is same


def test_calibration_and_thresholds_are_those_of_the_reports(models):
    test = json.loads((models / "b" / "report.json").read_text())["test"]
    errors = []
    for kind, name in (("answers", "class_balanced_ece"), ("reliability", "ece")):
        found = test["calibration"][kind]
        errors.append(f"{found['metrics'][name]:.3f} ({found['chance'][name]['mean']:.3f})")
    point = test["operating_points"]["melanoma"]
    low, high = point["intervals"]["bounds"]["specificity"]
    row = results.render_fits(results.read_shipped(models)).splitlines()[2]
    assert row.startswith(f"| `b` | {errors[0]} | {errors[1]} |")
    assert row.endswith(f"| {point['metrics']['specificity']:.3f} [{low:.3f}, {high:.3f}] |")

    change(models / "b" / "report.json", lambda record: record["calibration"].pop("reliability"))
    row = results.render_fits(results.read_shipped(models)).splitlines()[2]
    assert row.startswith(f"| `b` | {errors[0]} | – |")
    for name in ("a", "b"):
        change(models / name / "report.json", lambda record: record["operating_points"].clear())
    assert results.render_fits(results.read_shipped(models)) == ""


def test_models_that_cannot_be_shown_are_named(models, tmp_path):
    file = models / "a" / "report.json"
    report = json.loads(file.read_text())
    file.write_text(json.dumps({"validation": report["validation"]}))
    with pytest.raises(InputError, match=r"a was not scored on test\. Run scripts/score\.py\.$"):
        results.read_shipped(models)
    (models / "a" / "model.safetensors").write_bytes(b"trained again")
    with pytest.raises(InputError, match=r"a: 1 files were made from other weights: report\.json"):
        results.read_shipped(models)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"^No model found in .* scripts/pack_model\.py\.$"):
        results.read_shipped(tmp_path / "none")
