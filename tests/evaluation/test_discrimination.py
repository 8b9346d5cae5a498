import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hf_lesion.calibration.fit import fit_point
from hf_lesion.evaluation import discrimination, metrics
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.labels import CODES, LABEL2ID, MALIGNANT

MEL, NV = LABEL2ID["mel"], LABEL2ID["nv"]


def draw(images=210, classes=7):
    generator = np.random.default_rng(0)
    references = np.arange(images) % classes
    logits = generator.normal(size=(images, 7)) + 2 * np.eye(7)[references]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = tuple(f"L{index // 2}" for index in range(images))
    return Predictions(tuple(map(str, range(images))), references, probabilities, ids)


def of(melanomas, nevi, lesions=None):
    """Answers that give these probabilities of melanoma, the rest to a nevus."""
    scores = np.asarray([*melanomas, *nevi], dtype=float)
    probabilities = np.zeros((len(scores), 7))
    probabilities[:, MEL], probabilities[:, NV] = scores, 1 - scores
    references = np.asarray([MEL] * len(melanomas) + [NV] * len(nevi))
    return Predictions(tuple(map(str, range(len(scores)))), references, probabilities, lesions)


def fit_melanoma(answers, target=0.9):
    return fit_point(answers.probabilities, answers.references, "melanoma", target=target)


def test_malignant_is_the_sum_of_its_three_classes():
    answers = draw()
    found = discrimination.measure_question(answers, "malignant")
    malignant = [LABEL2ID[code] for code in ("akiec", "bcc", "mel")]
    truth = np.isin(answers.references, malignant)
    expected = roc_auc_score(truth, answers.probabilities[:, malignant].sum(axis=1))
    assert found["auroc"].value == pytest.approx(expected, abs=1e-12)
    assert discrimination.is_positive(answers, MALIGNANT).sum() == truth.sum() == 90
    assert all(low <= value <= high for value, low, high in found.values())


def test_the_melanoma_question_is_about_melanoma_alone():
    answers = draw()
    found = discrimination.measure_question(answers, "melanoma")
    every = metrics.compute_metrics(answers.probabilities, answers.references)
    assert found["auroc"].value == pytest.approx(every["auroc_mel"], abs=1e-12)
    assert set(found) >= {
        "sensitivity_at_90_specificity",
        "sensitivity_at_95_specificity",
        "specificity_at_95_sensitivity",
    }


def test_curves_are_drawn_for_every_class_and_empty_where_one_is_absent():
    found = discrimination.thin_curves(draw(classes=6))
    assert set(found) == {*CODES, "malignant"}
    assert found["vasc"]["roc"] == {"x": [], "y": []}
    assert found["mel"]["roc"]["y"][-1] == 1
    assert len(found["mel"]["precision_recall"]["x"]) <= discrimination.DRAWN_POINTS


def test_flags_at_the_threshold_are_what_was_promised():
    generator = np.random.default_rng(0)
    answers = of(generator.beta(3, 2, 60), generator.beta(1, 4, 300))
    for target in (0.8, 0.9, 0.95):
        point = fit_melanoma(answers, target)
        found = discrimination.measure_point(point, answers, prevalence=0.1)
        assert found["sensitivity"].value == point.sensitivity >= target
        assert found["specificity"].value == point.specificity
        assert point.sensitivity - target < 1 / 60 + 1e-9


def test_at_the_sets_own_prevalence_ppv_is_the_share_of_right_flags():
    generator = np.random.default_rng(1)
    answers = of(generator.beta(3, 2, 50), generator.beta(1, 4, 150))
    point = fit_melanoma(answers)
    found = discrimination.measure_point(point, answers, prevalence=0.25)
    flags = point.flags(answers.probabilities)
    assert found["ppv"].value == pytest.approx((answers.references[flags] == MEL).mean())
    assert all(low <= value <= high for value, low, high in found.values())
    _, low, high = found["sensitivity"]
    expected = [250 * (1 - high), 250 * (1 - low)]
    assert found["misses_per_1000"][1:] == pytest.approx(expected)


def test_one_lesion_and_absent_disease_give_nan_and_no_interval():
    point = fit_melanoma(of([0.9], [0.1]))
    found = discrimination.measure_point(point, of([], [0.1, 0.2], ("a", "a")), prevalence=0.02)
    assert np.isnan(found["sensitivity"]).all()
    assert found["specificity"].value == 1
    assert np.isnan(found["specificity"][1:]).all()


def test_a_thousand_people_counted_by_hand():
    """20 of 1,000 are ill: 18 are found, 2 missed; of 980 others a quarter is flagged."""
    found = discrimination.expect(np.array([0.9]), np.array([0.75]), 0.02)
    assert found["misses_per_1000"] == pytest.approx([2])
    assert found["false_alarms_per_1000"] == pytest.approx([245])
    assert found["ppv"] == pytest.approx([18 / (18 + 245)])


def test_ppv_of_a_threshold_that_flags_nobody_is_undefined():
    assert np.isnan(discrimination.expect(np.array([0.0]), np.array([1.0]), 0.02)["ppv"]).all()
