import math

import numpy as np
import pytest
from drawn import draw_predictions
from sklearn.metrics import roc_auc_score

from hf_lesion.calibration.fit import fit_point
from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.predictions import take
from hf_lesion.evaluation.subgroups import FEWEST, measure_groups, name_values


def test_ages_fall_into_bands_and_unknown_ones_are_a_group():
    ages = [0.0, 29.0, 30.0, "45.0", 59, 60, 74, 75, 85.0, math.nan, None, ""]
    assert name_values("age", ages) == (
        *["under 30"] * 2,
        "30 to 44",
        *["45 to 59"] * 2,
        *["60 to 74"] * 2,
        *["75 and over"] * 2,
        *["unknown"] * 3,
    )
    values = ["male", "unknown", None, " ", math.nan]
    assert name_values("sex", values) == ("male", "unknown", None, None, None)
    ages = name_values("age", [80, 50, None, 20, 65, 35] * 20 + [20] * 20)
    found = measure_groups(draw_predictions(140, lean=1.0), {"age": ages})["age"]
    assert list(found) == ["under 30", "30 to 44", "45 to 59", "60 to 74", "75 and over", "unknown"]


def test_each_group_is_measured_as_if_it_were_alone():
    answers = draw_predictions(140, lean=1.0)
    point = fit_point(answers.probabilities, answers.references, "malignant", target=0.8)
    groups = {"sex": tuple("female" if index < 60 else "male" for index in range(140))}
    found = measure_groups(answers, groups, point=point)
    assert list(found["sex"]) == ["female", "male"]
    alone = take(answers, np.arange(60))
    part = found["sex"]["female"]
    every = metrics.compute_metrics(alone.probabilities, alone.references)
    for name in ("accuracy", "balanced_accuracy", "sensitivity_mel"):
        assert part["metrics"][name] == pytest.approx(every[name], abs=1e-5)
    truth = np.isin(alone.references, [0, 1, 4])
    score = alone.probabilities[:, [0, 1, 4]].sum(axis=1)
    expected = roc_auc_score(truth, score)
    assert part["metrics"]["malignant_auroc"] == pytest.approx(expected, abs=1e-5)
    flags = score >= point.threshold
    assert part["metrics"]["malignant_sensitivity"] == pytest.approx(flags[truth].mean(), abs=1e-5)
    assert part["metrics"]["malignant_specificity"] == pytest.approx(
        1 - flags[~truth].mean(), abs=1e-5
    )
    for name, value in part["metrics"].items():
        low, high = part["intervals"]["bounds"][name]
        assert low <= value <= high, name
    assert (part["images"], part["lesions"], part["class_counts"]["mel"]) == (60, 30, 8)


def test_small_groups_are_warned_of_and_images_without_a_value_belong_to_none():
    kinds = ("a",) * FEWEST + ("b",) * (FEWEST - 1) + (None,) * (140 - 2 * FEWEST + 1)
    found = measure_groups(draw_predictions(140, lean=1.0), {"sex": kinds})["sex"]
    assert {name: part["warning"] for name, part in found.items()} == {
        "a": None,
        "b": "fewer than 30 images",
    }
    assert "malignant_sensitivity" not in found["a"]["metrics"]
