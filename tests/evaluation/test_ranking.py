import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hf_lesion.evaluation import metrics, ranking
from hf_lesion.evaluation.bootstrap import bootstrap_statistic
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.labels import CODES, LABEL2ID


def draw(images=210, classes=7, lesions=True, seed=0):
    generator = np.random.default_rng(seed)
    references = np.arange(images) % classes
    logits = generator.normal(size=(images, 7)) + 2 * np.eye(7)[references]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = tuple(f"L{index // 2}" for index in range(images)) if lesions else None
    return Predictions(tuple(map(str, range(images))), references, probabilities, ids)


def test_intervals_are_those_of_the_metric_on_repeated_rows():
    answers = draw()
    found = ranking.class_intervals(answers, resamples=12, seed=3)
    assert set(found) == {
        *(f"{name}_{code}" for name in ("auroc", "average_precision") for code in CODES),
        "macro_auroc",
        "macro_average_precision",
    }
    for name in ("auroc_mel", "average_precision_df", "macro_auroc", "macro_average_precision"):

        def statistic(rows, name=name):
            return metrics.compute_metrics(answers.probabilities[rows], answers.references[rows])[
                name
            ]

        expected = bootstrap_statistic(
            statistic, len(answers.references), answers.lesion_ids, resamples=12, seed=3
        )
        assert found[name] == pytest.approx(expected, abs=1e-9), name


def test_absent_classes_have_no_interval_and_the_mean_leaves_them_out():
    found = ranking.class_intervals(draw(classes=6), resamples=20)
    assert all(map(math.isnan, found["auroc_vasc"]))
    assert not any(map(math.isnan, found["macro_auroc"]))


def test_malignant_is_the_sum_of_its_three_classes():
    answers = draw()
    found = ranking.measure_question(answers, "malignant", resamples=20)
    malignant = [LABEL2ID[code] for code in ("akiec", "bcc", "mel")]
    truth = np.isin(answers.references, malignant)
    expected = roc_auc_score(truth, answers.probabilities[:, malignant].sum(axis=1))
    assert found["metrics"]["auroc"] == pytest.approx(expected, abs=1e-12)
    assert found["positives"] == truth.sum() == 90
    for name, value in found["metrics"].items():
        low, high = found["intervals"]["bounds"][name]
        assert low <= value <= high, name


def test_the_melanoma_question_is_about_melanoma_alone():
    answers = draw()
    found = ranking.measure_question(answers, "melanoma", resamples=20)
    every = metrics.compute_metrics(answers.probabilities, answers.references)
    assert found["metrics"]["auroc"] == pytest.approx(every["auroc_mel"], abs=1e-12)
    assert set(found["metrics"]) >= {
        "sensitivity_at_90_specificity",
        "sensitivity_at_95_specificity",
        "specificity_at_95_sensitivity",
    }


def test_curves_are_drawn_for_every_class_and_empty_where_one_is_absent():
    found = ranking.drawn_curves(draw(classes=6))
    assert set(found) == {*CODES, "malignant"}
    assert found["vasc"]["roc"] == {"x": [], "y": []}
    assert found["mel"]["roc"]["y"][-1] == 1
    assert len(found["mel"]["precision_recall"]["x"]) <= ranking.DRAWN_POINTS
