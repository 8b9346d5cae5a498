import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hf_lesion import decision
from hf_lesion.errors import InputError
from hf_lesion.io.files import write_json


@pytest.fixture(scope="module")
def gate():
    """Distance from the origin of two of three features; no direction covers the third."""
    return decision.Gate(
        inputs=("colours", "layer1"),
        mean=torch.zeros(3),
        scale=torch.ones(3),
        directions=torch.eye(3)[:, :2],
        centre=torch.tensor([[0.0, 0.0, 0.5 * np.log(decision.TINY)]]).float(),
        precision=torch.eye(3),
        reference=torch.arange(100) / 10,
        refused_below=0.05,
        unsure_below=0.6,
        rates={"strange": 0.041, "unsure": 0.1},
    )


SURE, UNSURE = [0.9, 0.1], [0.55, 0.45]


def test_verdicts_follow_distance_first_and_confidence_second(gate):
    # Half the squared distance: 0.5, 12.5 (beyond all references), 0.5, 12.5.
    features = np.array([[1, 0, 0], [5, 0, 0], [0, 1, 0], [0, 5, 0]], np.float32)
    verdicts = gate.judge(np.array([SURE, SURE, UNSURE, UNSURE]), features)
    assert [each.kind for each in verdicts] == ["accepted", "strange", "unsure", "strange"]
    assert [each.likeness for each in verdicts] == pytest.approx([0.95, 0, 0.95, 0])
    assert [each.confidence for each in verdicts] == [0.9, 0.9, 0.55, 0.55]
    assert [each.false_alarm_rate for each in verdicts] == [None, 0.041, 0.1, 0.041]
    assert verdicts[1].sentence.endswith("Of 100 real ones, about 4 are refused like this.")
    assert verdicts[2].sentence.endswith("Of 100 right answers, about 10 carry this note.")


def test_what_the_directions_leave_out_counts_too(gate):
    inside, outside = gate.distances(np.array([[0, 0, 0], [0, 0, 90]], np.float32))
    assert inside == pytest.approx(0, abs=1e-4)
    assert outside > 20


def test_a_distance_that_is_no_number_is_refused(gate):
    (verdict,) = gate.judge(np.array([SURE]), np.full((1, 3), np.nan, np.float32))
    assert verdict.kind == "strange"


def test_a_gate_takes_its_inputs_by_name(gate):
    seen = {"layer1": np.array([[0.0]], np.float32), "colours": np.array([[5, 0]], np.float32)}
    assert decision.judge(gate, np.array([SURE]), seen)[0].kind == "strange"
    seen["colours"] = np.zeros((1, 2), np.float32)
    assert decision.judge(gate, np.array([SURE]), seen)[0].kind == "accepted"


def test_without_a_gate_nothing_is_claimed():
    (verdict,) = decision.judge(None, np.array([SURE]), {})
    assert verdict.kind == "unjudged"
    assert np.isnan(verdict.likeness)
    assert verdict.false_alarm_rate is None
    assert decision.judge(None, np.empty((0, 2)), {}) == []


def test_a_gate_is_read_as_it_was_written(gate, tmp_path):
    path = tmp_path / decision.GATE
    decision.write_gate(path, gate)
    again = decision.read_gate(path)
    for field in dataclasses.fields(gate):
        before, after = getattr(gate, field.name), getattr(again, field.name)
        same = torch.equal(before, after) if isinstance(before, torch.Tensor) else before == after
        assert same, field.name


def test_a_gate_is_found_with_the_weights_it_was_fitted_on(gate, tmp_path):
    assert decision.find_gate(tmp_path) is None
    decision.write_gate(tmp_path / decision.GATE, gate)
    assert decision.find_gate(tmp_path).weights_sha256 is None
    write_json(tmp_path / "gate.json", {"model": {"weights_sha256": "ab"}})
    assert decision.find_gate(tmp_path).weights_sha256 == "ab"
    decision.write_gate(tmp_path / decision.GATE, dataclasses.replace(gate, weights_sha256="cd"))
    assert decision.find_gate(tmp_path).weights_sha256 == "cd"


def test_damaged_files_are_explained(gate, tmp_path):
    path = tmp_path / "gate.safetensors"
    path.write_bytes(b"none")
    with pytest.raises(InputError, match=r"gate\.safetensors is no gate: .*scripts/fit_gate\.py"):
        decision.read_gate(path)
    save_file({"mean": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"is no gate: "):
        decision.read_gate(path)
    decision.write_gate(path, gate)
    written = path.read_bytes()
    path.write_bytes(written.replace(b'"schema_version":"1"', b'"schema_version":"9"'))
    with pytest.raises(InputError, match=r"has schema_version 9; this version of hf_lesion reads"):
        decision.read_gate(path)
