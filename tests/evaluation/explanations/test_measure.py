from types import SimpleNamespace

import datasets
import numpy as np
import pytest
from PIL import Image
from prepared import write_dataset

from hf_lesion.classifier import LesionClassifier
from hf_lesion.errors import InputError
from hf_lesion.evaluation.explanations.cases import choose_cases
from hf_lesion.evaluation.explanations.measure import measure_outside, read_masked_split
from hf_lesion.evaluation.explanations.record import (
    describe_localisation,
    describe_outside,
    describe_shortcuts,
    read_explanations,
    write_explanations,
)
from hf_lesion.explain.mask_overlap import MEASURES
from hf_lesion.explain.shortcuts import CHANGES
from hf_lesion.models.preprocessing import change_processor


def test_masks_come_with_their_images(sample_dataset, tmp_path):
    masked = read_masked_split(sample_dataset, "test")
    rows = datasets.load_dataset(str(sample_dataset), split="test")
    for index in (0, len(rows) - 1):
        mask = masked.load_mask(index)
        assert mask.mode == "L"
        assert mask.size == masked.load(index).size
        assert np.array_equal(np.asarray(mask), np.asarray(rows[index]["mask"]))
    with pytest.raises(InputError, match=r"lacks the column mask, and heatmaps are scored"):
        read_masked_split(write_dataset(tmp_path / "bare"), "test")


def test_right_and_wrong_are_apart_and_flat_maps_are_counted():
    table = np.full((4, len(MEASURES)), 0.25)
    table[2:] = 0.75
    table[3] = np.nan
    some = np.where(np.arange(4)[:, None] < 2, table, np.nan)
    probabilities = np.eye(7, dtype=np.float32)[[0, 1, 2, 3]]
    found = describe_localisation(
        {"gradcam": table, "eigencam": some, "gaussian": table - 0.1},
        np.array([0, 1, 4, 4]),
        probabilities,
        list("abcd"),
        in_detail=["gradcam"],
        rows_of={"eigencam": [0, 1]},
    )
    maps = found["maps"]
    assert maps["gradcam"]["right"]["energy"][0] == 0.25
    assert maps["gradcam"]["wrong"] == {**maps["gradcam"]["wrong"], "images": 2}
    assert maps["gradcam"]["wrong"]["energy"][0] == 0.75
    assert (maps["gradcam"]["flat"], maps["eigencam"]["flat"]) == (1, 0)
    assert maps["eigencam"]["all"]["images"] == 2
    assert maps["gradcam"]["classes"]["mel"]["wrong"]["images"] == 2
    assert found["against_gaussian"]["gradcam"]["energy"][0] == pytest.approx(0.1)
    assert set(found["against_gaussian"]) == {"gradcam", "eigencam"}


@pytest.mark.parametrize(("mode", "count"), [("centre", 2), ("squash", 0), ("pad", 0)])
def test_lesions_outside_of_what_is_seen_are_counted(mode, count, tiny_cnn_model):
    """A tenth, half and all of a lesion outside of the centre square, one inside, one empty."""
    boxes = [(48, 0, 68, 9), (40, 0, 60, 9), (0, 0, 9, 9), (60, 0, 90, 90)]
    masks = [Image.new("L", (200, 100)) for _ in range(5)]
    for mask, box in zip(masks, boxes, strict=False):
        mask.paste(255, box)
    whole = LesionClassifier.from_pretrained(tiny_cnn_model)
    own = change_processor(whole.model.config, whole.processor, crop_mode=mode)
    classifier = LesionClassifier(whole.model, own, name="a")
    images = SimpleNamespace(load_mask=masks.__getitem__, image_ids=range(5))
    shares = measure_outside(classifier, images)
    expected = [0.1, 0.5, 1, 0, np.nan] if mode == "centre" else [0, 0, 0, 0, np.nan]
    assert shares == pytest.approx(expected, nan_ok=True)
    found = describe_outside(shares, np.array([4, 4, 4, 5, 5]))
    assert (found["images"], found["classes"]["mel"], found["classes"]["nv"]) == (count, count, 0)


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
