import numpy as np
import pytest
from drawn import MEL, draw_predictions, melanomas_and_nevi
from sklearn.metrics import roc_auc_score

from hf_lesion.calibration.fit import fit_point
from hf_lesion.evaluation import discrimination, metrics
from hf_lesion.labels import CODES, LABEL2ID


def test_malignant_is_the_sum_of_its_three_classes_and_melanoma_one_of_them():
    answers = draw_predictions()
    found = discrimination.measure_question(answers, "malignant")
    malignant = [LABEL2ID[code] for code in ("akiec", "bcc", "mel")]
    truth = np.isin(answers.references, malignant)
    expected = roc_auc_score(truth, answers.probabilities[:, malignant].sum(axis=1))
    assert found["auroc"].value == pytest.approx(expected, abs=1e-12)
    assert all(low <= value <= high for value, low, high in found.values())
    found = discrimination.measure_question(answers, "melanoma")
    every = metrics.compute_metrics(answers.probabilities, answers.references)
    assert found["auroc"].value == pytest.approx(every["auroc_mel"], abs=1e-12)


def test_curves_are_drawn_for_every_class_and_empty_where_one_is_absent():
    found = discrimination.thin_curves(draw_predictions(classes=6))
    assert set(found) == {*CODES, "malignant"}
    assert found["vasc"]["roc"] == {"x": [], "y": []}
    assert found["mel"]["roc"]["y"][-1] == 1
    assert len(found["mel"]["precision_recall"]["x"]) <= discrimination.DRAWN_POINTS


def test_rates_at_a_threshold_are_those_that_it_was_chosen_for():
    generator = np.random.default_rng(0)
    answers = melanomas_and_nevi(generator.beta(3, 2, 50), generator.beta(1, 4, 150))
    for target in (0.8, 0.95):
        point = fit_point(answers.probabilities, answers.references, "melanoma", target=target)
        found = discrimination.measure_point(point, answers, prevalence=0.25)
        assert found["sensitivity"].value == point.sensitivity >= target
        assert found["specificity"].value == point.specificity
        assert point.sensitivity - target < 1 / 50 + 1e-9
    # At the set's own prevalence, PPV is the share of right flags.
    flags = point.flags(answers.probabilities)
    assert found["ppv"].value == pytest.approx((answers.references[flags] == MEL).mean())
    assert all(low <= value <= high for value, low, high in found.values())
    _, low, high = found["sensitivity"]
    expected = [250 * (1 - high), 250 * (1 - low)]
    assert found["misses_per_1000"][1:] == pytest.approx(expected)
    # One lesion without the disease.
    nevi = melanomas_and_nevi([], [0.1, 0.0], ("a", "a"))
    found = discrimination.measure_point(point, nevi, prevalence=0.02)
    assert np.isnan([*found["sensitivity"], *found["specificity"][1:]]).all()
    assert not np.isnan(found["specificity"].value)


def test_a_thousand_people_counted_by_hand():
    """20 of 1,000 are ill: 18 are found, 2 missed; of 980 others a quarter is flagged."""
    found = discrimination.expect(np.array([0.9]), np.array([0.75]), 0.02)
    assert found["misses_per_1000"] == pytest.approx([2])
    assert found["false_alarms_per_1000"] == pytest.approx([245])
    assert found["ppv"] == pytest.approx([18 / (18 + 245)])
    assert np.isnan(discrimination.expect(np.array([0.0]), np.array([1.0]), 0.02)["ppv"]).all()
