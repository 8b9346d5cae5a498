import copy
import json
import math
import re

import numpy as np
import pytest

from hf_lesion.errors import InputError
from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.predictions import Predictions, take
from hf_lesion.evaluation.report.build import build_record, weights_sha256
from hf_lesion.evaluation.report.record import (
    SCHEMA_VERSION,
    headline_names,
    parse_report,
    read_report,
    write_record,
)
from hf_lesion.evaluation.report.tables import format_table
from hf_lesion.labels import CODES, NAMES, NOTICE


def build(images=40, classes=(0, 1, 2, 3, 4, 5), lesions=True, split="test"):
    generator = np.random.default_rng(0)
    references = generator.choice(classes, size=images)
    lesion_ids = tuple(f"L{index // 2}" for index in range(images)) if lesions else None
    predictions = Predictions(
        image_ids=tuple(f"I{index}" for index in range(images)),
        references=references,
        probabilities=generator.dirichlet(np.ones(7) + 3 * np.eye(7)[4], size=images),
        lesion_ids=lesion_ids,
    )
    record = build_record(
        predictions,
        data={"source": "ham10000", "split": split, "fingerprint": "f" * 64},
        model={"name": "tiny", "weights_sha256": "a" * 64},
        size=(64, 48),
    )
    return record, predictions


def comparable(record):
    """NaN equals NaN, whatever the order of the fields."""
    return json.dumps(record, sort_keys=True)


def test_a_record_holds_all_that_is_known():
    record, predictions = build()
    assert record["schema_version"] == SCHEMA_VERSION == 1
    assert (record["images"], record["lesions"]) == (40, 20)
    assert record["classes"] == list(CODES)
    assert sum(record["class_counts"].values()) == 40
    assert record["class_counts"]["vasc"] == 0
    assert record["preprocessing"] == {"height": 64, "width": 48, "views": 1}
    expected = metrics.compute_metrics(predictions.probabilities, predictions.references)
    assert str(record["metrics"]) == str(expected)
    diagonal = np.trace(np.asarray(record["confusion_matrix"]))
    assert diagonal / 40 == record["metrics"]["accuracy"]
    assert record["intervals"]["unit"] == "lesion"
    assert record["intervals"]["level"] == 0.95
    assert record["provenance"]["versions"]["scikit-learn"]


def test_unknown_lesions_are_said_to_be_unknown():
    record, _ = build(lesions=False)
    assert record["lesions"] is None
    assert record["intervals"]["unit"] == "image"
    assert "resamples of images, since the lesions are unknown." in format_table(record)


def test_what_was_written_is_read_again(tmp_path):
    record, _ = build()
    path = write_record(tmp_path, "test", record)
    lines = path.read_text().splitlines()
    assert any(line.strip().startswith('"x": [0.0, ') for line in lines), "a curve is one line"
    assert path == tmp_path / "report.json"
    for given in (path, tmp_path):
        assert comparable(read_report(given)) == comparable({"test": record})


def test_an_undefined_metric_is_null_in_json_and_nan_in_python(tmp_path):
    record, _ = build()
    assert math.isnan(record["metrics"]["auroc_vasc"])
    stored = json.loads(
        write_record(tmp_path, "test", record).read_text(), parse_constant=pytest.fail
    )["test"]
    assert stored["metrics"]["auroc_vasc"] is None
    assert stored["intervals"]["bounds"]["sensitivity_vasc"] == [None, None]
    found = read_report(tmp_path)["test"]
    assert math.isnan(found["metrics"]["auroc_vasc"])
    assert math.isnan(found["intervals"]["bounds"]["sensitivity_vasc"][0])


def test_another_split_is_added_and_the_same_replaced(tmp_path):
    first, _ = build()
    other, _ = build(images=12, split="validation")
    again, _ = build(images=20)
    write_record(tmp_path, "test", first)
    write_record(tmp_path, "validation", other)
    write_record(tmp_path, "test", again)
    report = read_report(tmp_path)
    assert list(report) == ["test", "validation"]
    assert report["test"]["images"] == 20
    assert comparable(report["validation"]) == comparable(other)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_damaged_report_is_not_overwritten(tmp_path):
    (tmp_path / "report.json").write_text('{"test": {')
    said = r"report\.json is not a valid record: Invalid JSON: .*Delete the file and run"
    with pytest.raises(InputError, match=said):
        write_record(tmp_path, "test", build()[0])
    assert (tmp_path / "report.json").read_text() == '{"test": {'


def damage(change):
    record = copy.deepcopy(build()[0])
    change(record)
    return json.dumps({"test": record})


FIX = "Delete the file and run scripts/score.py again."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "Input should be a valid dictionary"),
        ('{"test": 3}', "test: Input should be a valid dictionary or instance of Entry"),
        (
            damage(lambda record: record.update(schema_version=2)),
            "test.schema_version: Value error, got 2; this version of hf_lesion reads 1",
        ),
        (
            damage(lambda record: (record.pop("metrics"), record.update(images="many"))),
            "test.images: Input should be a valid integer, unable to parse string as an integer, "
            "test.metrics: Field required",
        ),
        (
            damage(lambda record: record["classes"].reverse()),
            "test: Value error, expected the classes akiec, bcc, bkl, df, mel, nv, vasc, got "
            "['vasc', 'nv', 'mel', 'df', 'bkl', 'bcc', 'akiec']",
        ),
        (
            damage(lambda record: record.update(images=41)),
            "test: Value error, the confusion matrix, class_counts and images do not add up",
        ),
        (
            damage(lambda record: record["confusion_matrix"].pop()),
            "test: Value error, the confusion matrix, class_counts and images do not add up",
        ),
    ],
)
def test_a_report_that_is_none_is_refused(text, message):
    message = f"report.json is not a valid record: {message}. {FIX}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse_report(text)


def test_an_absent_report_names_the_script(tmp_path):
    message = f"There is no {tmp_path / 'report.json'}. Make it with scripts/score.py."
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_report(tmp_path)


def test_the_table_shows_every_diagnosis_with_its_numbers():
    record, _ = build()
    lines = format_table(record).splitlines()
    assert lines[0] == "tiny on ham10000 (test): 40 images of 20 lesions"
    for code in CODES:
        line = next(line for line in lines if line.startswith(NAMES[code]))
        cells = line.removeprefix(NAMES[code]).split()
        assert cells[0] == str(record["class_counts"][code])
        value = record["metrics"][f"sensitivity_{code}"]
        assert cells[1] == ("–" if math.isnan(value) else f"{value:.3f}")
        for cell, name in zip(cells[-2:], ("specificity", "auroc"), strict=True):
            value = record["metrics"][f"{name}_{code}"]
            assert cell == ("–" if math.isnan(value) else f"{value:.3f}")
    balanced = next(line for line in lines if line.startswith("balanced accuracy"))
    lower, upper = record["intervals"]["bounds"]["balanced_accuracy"]
    value = record["metrics"]["balanced_accuracy"]
    assert balanced.split(maxsplit=2)[2] == f"{value:.3f} [{lower:.3f}, {upper:.3f}]"
    assert " ".join(lines[-2:]) == NOTICE
    assert max(map(len, lines)) <= 90


def test_headlines_are_the_metrics_of_all_classes():
    assert tuple(headline_names(build()[0])) == metrics.HEADLINES


def test_one_image_has_a_table_without_intervals():
    record, _ = build(images=1, classes=(5,))
    lines = format_table(record).splitlines()
    assert lines[0] == "tiny on ham10000 (test): 1 image of 1 lesion"
    assert lines[1] == "Images: ham10000, whose resolution and geometry were not recorded."
    assert re.fullmatch(r"accuracy +[01]\.000", lines[3])


def test_the_hash_of_the_weights_is_sha256sums(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert weights_sha256(tmp_path) == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_subgroups_are_measured_as_if_they_were_alone(tmp_path):
    assert build()[0]["subgroups"] == {}
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(7), 42)
    predictions = Predictions(
        image_ids=tuple(map(str, range(42))),
        references=np.arange(42) % 6,  # one class is absent
        probabilities=probabilities,
        lesion_ids=tuple(str(index // 2) for index in range(42)),
    )
    kinds = tuple("male" if index < 30 else "female" if index < 40 else None for index in range(42))
    options = {"data": {"source": "d", "split": "s"}, "model": {"name": "m"}, "size": (64, 64)}
    record = build_record(predictions, groups={"sex": kinds}, **options)
    assert {name: part["images"] for name, part in record["subgroups"]["sex"].items()} == {
        "male": 30,
        "female": 10,
    }
    alone = build_record(take(predictions, np.arange(30)), **options)
    male = record["subgroups"]["sex"]["male"]
    for name in ("accuracy", "balanced_accuracy", "sensitivity_mel"):
        assert male["metrics"][name] == pytest.approx(alone["metrics"][name], abs=1e-5)
        expected = alone["intervals"]["bounds"][name]
        assert male["intervals"]["bounds"][name] == pytest.approx(expected, abs=1e-5)
    write_record(tmp_path, "s", record)
    again = read_report(tmp_path)["s"]
    assert comparable(again["subgroups"]) == comparable(record["subgroups"])
    value = record["subgroups"]["sex"]["female"]["metrics"]["balanced_accuracy"]
    assert f"{'sex: female':<35}  {10:>6}  {value:.3f} [" in format_table(record)
