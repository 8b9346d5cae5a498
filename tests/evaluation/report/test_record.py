import copy
import functools
import json
import math
import re

import numpy as np
import pytest

from hf_lesion.errors import InputError
from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.evaluation.report.build import build_record
from hf_lesion.evaluation.report.record import (
    SCHEMA_VERSION,
    headline_names,
    read_report,
    write_record,
)
from hf_lesion.evaluation.report.tables import format_table
from hf_lesion.labels import CODES, NAMES, NOTICE


@functools.cache
def build_once(images, lesions, split):
    generator = np.random.default_rng(0)
    references = generator.choice(6, size=images)
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


def build(images=40, lesions=True, split="test"):
    return copy.deepcopy(build_once(images, lesions, split))


def test_a_record_holds_all_metrics():
    record, predictions = build()
    assert record["schema_version"] == SCHEMA_VERSION == 1
    assert (record["images"], record["lesions"]) == (40, 20)
    assert record["class_counts"]["vasc"] == 0
    expected = metrics.compute_metrics(predictions.probabilities, predictions.references)
    assert str(record["metrics"]) == str(expected)
    assert tuple(headline_names(record)) == metrics.HEADLINES
    diagonal = np.trace(np.asarray(record["confusion_matrix"]))
    assert diagonal / 40 == record["metrics"]["accuracy"]
    assert (record["intervals"]["unit"], record["intervals"]["level"]) == ("lesion", 0.95)
    assert record["provenance"]["versions"]["scikit-learn"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "test.schema_version: Input should be 1"),
        ({"classes": ["mel"]}, "test: Value error, expected the classes akiec, bcc, bkl, df, mel"),
        ({"images": 41}, "test: Value error, the confusion matrix, class_counts and images do not"),
    ],
)
def test_a_damaged_report_is_refused_and_not_overwritten(change, message, tmp_path):
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"test": build()[0] | change}))
    text = file.read_text()
    with pytest.raises(InputError, match=f"{re.escape(message)}.* run scripts/score.py again"):
        write_record(tmp_path, "test", build()[0])
    assert file.read_text() == text
    file.unlink()
    with pytest.raises(InputError, match=r" not found\. Create it with scripts/score\.py\.$"):
        read_report(tmp_path)


def test_what_was_written_is_read_again_next_to_other_splits(tmp_path):
    first, other, again = build()[0], build(split="validation")[0], build(lesions=False)[0]
    write_record(tmp_path, "test", first)
    write_record(tmp_path, "validation", other)
    path = write_record(tmp_path, "test", again)
    lines = path.read_text().splitlines()
    assert any(line.strip().startswith('"x": [0.0, ') for line in lines), "a curve is one line"
    stored = json.loads(path.read_text(), parse_constant=pytest.fail)["test"]
    assert stored["metrics"]["auroc_vasc"] is None
    assert stored["intervals"]["bounds"]["sensitivity_vasc"] == [None, None]
    for given in (path, tmp_path):
        found, expected = read_report(given), {"test": again, "validation": other}
        assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)
    assert math.isnan(again["metrics"]["auroc_vasc"])
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_the_table_shows_every_diagnosis_with_its_numbers():
    record, _ = build()
    lines = format_table(record).splitlines()
    assert lines[0] == "tiny on ham10000 (test): 40 images of 20 lesions"
    for code in CODES:
        line = next(line for line in lines if line.startswith(NAMES[code]))
        cells = line.removeprefix(NAMES[code]).split()
        names = (f"sensitivity_{code}", f"specificity_{code}", f"auroc_{code}")
        values = [record["metrics"][name] for name in names]
        shown = ["–" if math.isnan(value) else f"{value:.3f}" for value in values]
        assert [cells[0], cells[1], *cells[-2:]] == [str(record["class_counts"][code]), *shown]
    balanced = next(line for line in lines if line.startswith("balanced accuracy"))
    lower, upper = record["intervals"]["bounds"]["balanced_accuracy"]
    value = record["metrics"]["balanced_accuracy"]
    assert balanced.endswith(f" {value:.3f} [{lower:.3f}, {upper:.3f}]")
    assert " ".join(lines[-2:]) == NOTICE
    assert max(map(len, lines)) <= 90
    record, _ = build(images=1, lesions=False)
    text = format_table(record)
    assert text.startswith("tiny on ham10000 (test): 1 image\nImages: ham10000, whose resolution")
    assert "resamples of images, since the lesions are unknown." in text
