import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hf_lesion.errors import InputError
from hf_lesion.io.files import write_json
from hf_lesion.ood import gate as ood

SURE, UNSURE = [0.9, 0.1], [0.55, 0.45]
RECORD = {
    "schema_version": 2,
    "dermoscopic": {"test": {"images": 9, "refused": 0.1, "unsure": 0.2, "right_unsure": None}},
    "other": {"drawn": {"images": 9, "refused": 1.0, "interval": (0.9, 1.0)}},
    "model": {"name": "a", "weights_sha256": "ab"},
}


@pytest.fixture(scope="module")
def gate():
    """Distance from the origin of two of three features; no direction covers the third."""
    return ood.Gate(
        inputs=("colours", "layer1"),
        mean=torch.zeros(3),
        scale=torch.ones(3),
        directions=torch.eye(3)[:, :2],
        centre=torch.tensor([[0.0, 0.0, 0.5 * np.log(ood.TINY)]]).float(),
        precision=torch.eye(3),
        reference=torch.arange(100) / 10,
        refused_below=0.05,
        unsure_below=0.6,
        rates={"strange": 0.041, "unsure": 0.1},
    )


@pytest.fixture(scope="module")
def classifying(gate):
    """The same gate, which also rejects where the last of four features exceeds 2."""
    return dataclasses.replace(
        gate,
        inputs=("colours", "layer1", "layer2"),
        weight=torch.tensor([0.0, 0, 0, 1]),
        offset=-2.0,
        scores=torch.linspace(-4, 1, 11),
    )


def judge(gate, probabilities, features):
    columns = np.split(features, [2, 3], axis=1)
    return ood.judge(gate, np.array(probabilities), dict(zip(gate.inputs, columns, strict=False)))


def test_verdicts_follow_distance_first_and_confidence_second(gate):
    # Half the squared distance: 0.5, 12.5 (beyond all references), 0.5, 12.5.
    features = np.array([[1, 0, 0], [5, 0, 0], [0, 1, 0], [0, 5, 0]], np.float32)
    verdicts = judge(gate, [SURE, SURE, UNSURE, UNSURE], features)
    assert [one.kind for one in verdicts] == ["accepted", "strange", "unsure", "strange"]
    assert [one.likeness for one in verdicts] == pytest.approx([0.95, 0, 0.95, 0])
    assert [one.confidence for one in verdicts] == [0.9, 0.9, 0.55, 0.55]
    assert [one.false_alarm_rate for one in verdicts] == [None, 0.041, 0.1, 0.041]
    for place, text in (
        (1, "About 4 of 100 dermoscopic images are rejected by mistake."),
        (2, "About 10 of 100 correct predictions are marked like this."),
    ):
        assert verdicts[place].sentence.endswith(text)
    inside, outside = gate.distances(np.array([[0, 0, 0], [0, 0, 90]], np.float32))
    assert inside == pytest.approx(0, abs=1e-4)
    assert outside > 20  # what the directions leave out counts too


def test_an_image_is_rejected_by_distance_or_by_the_classifier(classifying):
    features = np.array([[0, 0, 0, 0], [0, 0, 0, 2.5], [5, 0, 0, 0], [0, 0, 0, 1.4]], np.float32)
    verdicts = judge(classifying, [SURE] * 4, features)
    assert [one.kind for one in verdicts] == ["accepted", "strange", "strange", "accepted"]
    # Scores -2 (7 of the 11 are at least that), 0.5 (2 of them), -2, -0.6 (4 of them).
    expected = [7 / 11, 2 / 11, 0, 4 / 11]
    assert [one.likeness for one in verdicts] == pytest.approx(expected)
    assert classifying.rejects(features).tolist() == [False, True, True, False]


def test_features_that_are_not_numbers_are_rejected(gate, classifying):
    for each, row in ((gate, [np.nan] * 3), (classifying, [0, 0, 0, np.nan])):
        (verdict,) = judge(each, [SURE], np.array([row], np.float32))
        assert verdict.kind == "strange"


def test_without_a_gate_nothing_is_claimed():
    (verdict,) = ood.judge(None, np.array([SURE]), {})
    assert verdict.kind == "unjudged"
    assert np.isnan(verdict.likeness)
    assert verdict.false_alarm_rate is None
    assert ood.judge(None, np.empty((0, 2)), {}) == []


@pytest.mark.parametrize("name", ["gate", "classifying"])
def test_a_gate_is_read_as_it_was_written(name, request, tmp_path):
    gate, path = request.getfixturevalue(name), tmp_path / ood.GATE
    assert ood.find_gate(tmp_path) is None
    ood.write_gate(path, gate)
    again = ood.find_gate(tmp_path)
    for field in dataclasses.fields(gate):
        before, after = getattr(gate, field.name), getattr(again, field.name)
        same = torch.equal(before, after) if isinstance(before, torch.Tensor) else before == after
        assert same, field.name


def test_damaged_files_are_explained(gate, tmp_path):
    path = tmp_path / "gate.safetensors"
    save_file({"mean": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"safetensors is not a gate: .*scripts/fit_gate\.py"):
        ood.read_gate(path)
    ood.write_gate(path, gate)
    written = path.read_bytes()
    path.write_bytes(written.replace(b'"schema_version":"2"', b'"schema_version":"9"'))
    with pytest.raises(InputError, match=r"has schema_version 9; this version of hf_lesion reads"):
        ood.read_gate(path)
    path.write_bytes(written[:50])
    with pytest.raises(InputError, match="is not a gate: "):
        ood.read_gate(path)


def test_a_record_is_read_as_it_was_written_and_its_shares_have_intervals(tmp_path):
    assert ood.read_gate_record(tmp_path) is None
    write_json(tmp_path / "gate.json", RECORD)
    record = ood.read_gate_record(tmp_path)
    assert record.dermoscopic["test"].text == "10.0%"
    assert record.other["drawn"].text == "100.0% [90.0%, 100.0%]"
    assert ood.Rejection(images=0, refused=None).text == "–"
    assert record.model.weights_sha256 == "ab"
    assert record.risk_coverage is None
    ood.write_gate_record(tmp_path, record)
    assert ood.read_gate_record(tmp_path) == record


def test_the_distance_limit_is_the_greatest_distance_of_an_accepted_image(gate):
    ten = dataclasses.replace(gate, reference=torch.arange(10.0), refused_below=0.3)
    shares = [1 - sum(held_out < distance for held_out in range(10)) / 10 for distance in range(12)]
    expected = [share >= ten.refused_below - 1e-9 for share in shares]
    assert [distance <= ten.distance_limit for distance in range(12)] == expected
    assert dataclasses.replace(gate, refused_below=0.0).distance_limit == float("inf")
