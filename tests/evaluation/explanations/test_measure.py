import datasets
import numpy as np
import pytest
from prepared import write_dataset

from hf_lesion.errors import InputError
from hf_lesion.evaluation.explanations.cases import choose_cases
from hf_lesion.evaluation.explanations.record import (
    describe_localisation,
    describe_outside,
    describe_shortcuts,
    read_explanations,
    write_explanations,
)
from hf_lesion.evaluation.scoring import read_split
from hf_lesion.explain.mask_overlap import MEASURES
from hf_lesion.explain.shortcuts import CHANGES


def test_masks_come_with_their_images(sample_dataset, tmp_path):
    masked = read_split(sample_dataset, "test")
    rows = datasets.load_dataset(str(sample_dataset), split="test")
    for index in (0, len(rows) - 1):
        mask = masked.load_mask(index)
        assert mask.mode == "L"
        assert mask.size == masked.load(index).size
        assert np.array_equal(np.asarray(mask), np.asarray(rows[index]["mask"]))
    bare = read_split(write_dataset(tmp_path / "bare"), "test")
    with pytest.raises(InputError, match=r"has no mask of I0, and heatmaps are scored"):
        bare.load_mask(0)


def test_right_and_wrong_are_apart_and_flat_maps_are_counted():
    table = np.full((4, len(MEASURES)), 0.25)
    table[2:] = 0.75
    table[3] = np.nan
    some = np.where(np.arange(4)[:, None] < 2, table, np.nan)
    probabilities = np.eye(7, dtype=np.float32)[[0, 1, 2, 3]]
    found = describe_localisation(
        {"gradcam": table, "fine": some, "gaussian": table - 0.1},
        np.array([0, 1, 4, 4]),
        probabilities,
        list("abcd"),
        in_detail=["gradcam"],
        rows_of={"fine": [0, 1]},
    )
    maps = found["maps"]
    assert maps["gradcam"]["right"]["energy"][0] == 0.25
    assert maps["gradcam"]["wrong"] == {**maps["gradcam"]["wrong"], "images": 2}
    assert maps["gradcam"]["wrong"]["energy"][0] == 0.75
    assert (maps["gradcam"]["flat"], maps["fine"]["flat"]) == (1, 0)
    assert maps["fine"]["all"]["images"] == 2
    assert maps["gradcam"]["classes"]["mel"]["wrong"]["images"] == 2
    assert found["against_gaussian"]["gradcam"]["energy"][0] == pytest.approx(0.1)
    assert set(found["against_gaussian"]) == {"gradcam", "fine"}


def test_lesions_outside_of_what_is_seen_are_counted():
    found = describe_outside(np.array([0.1, 0.5, 1, 0, np.nan]), np.array([4, 4, 4, 5, 5]))
    assert (found["images"], found["classes"]["mel"], found["classes"]["nv"]) == (2, 2, 0)


def test_answers_that_survive_are_counted():
    before = np.eye(7, dtype=np.float32)[[0, 1, 2, 3]]
    answers = {"unchanged": before, **dict.fromkeys(CHANGES, before)}
    answers["ruler"] = np.eye(7, dtype=np.float32)[[0, 1, 5, 5]]
    found = describe_shortcuts(answers, np.array([0, 1, 2, 2]), list("abcd"))
    assert found["changes"]["hair"]["same_answer"] == [1, 1, 1]
    assert found["changes"]["ruler"]["same_answer"][0] == 0.5
    assert found["changes"]["ruler"]["answers"]["nv"] == 2
    assert found["balanced_accuracy"][0] == pytest.approx(2.5 / 3, abs=1e-4)
    assert found["changes"]["ruler"]["balanced_accuracy"][0] == pytest.approx(2 / 3, abs=1e-4)


def test_confident_cases_come_first():
    probabilities = np.full((4, 7), 0.01, np.float32)
    for row, (label, value) in enumerate([(4, 0.6), (4, 0.9), (5, 0.7), (5, 0.8)]):
        probabilities[row, label] = value
    chosen = choose_cases(probabilities, np.array([4, 4, 4, 4]), 4, each=1)
    assert chosen == {"right": [1], "wrong": [3]}


def test_a_record_is_kept_beside_those_of_other_splits(tmp_path):
    write_explanations(tmp_path, "test", {"a": float("nan")})
    path = write_explanations(tmp_path, "validation", {"b": [1, 2]})
    assert read_explanations(tmp_path) == {
        "test": {"schema_version": 1, "a": None},
        "validation": {"schema_version": 1, "b": [1, 2]},
    }
    assert '    "b": [1, 2]\n' in path.read_text()
    path.write_text('{"test": {"schema_version": 9}}')
    with pytest.raises(InputError, match=r"not a valid record: test\.schema_version: Input should"):
        read_explanations(path)
    path.unlink()
    with pytest.raises(InputError, match=r"Create it with scripts/explain_images\.py score\.$"):
        read_explanations(tmp_path)
