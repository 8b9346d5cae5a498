import numpy as np
import pytest
import sklearn.metrics

from hf_lesion.evaluation import curves


def draw(images=400, ties=False):
    generator = np.random.default_rng(0)
    truth = generator.random(images) < 0.3
    scores = generator.normal(size=images) + truth
    return (scores.round(1) if ties else scores), truth


@pytest.mark.parametrize("ties", [False, True])
def test_scikit_learn_agrees(ties):
    scores, truth = draw(ties=ties)
    curve = curves.build_curve(scores, truth)
    expected = sklearn.metrics.roc_auc_score(truth, scores)
    assert curves.auroc(curve) == pytest.approx(expected, abs=1e-12)
    expected = sklearn.metrics.average_precision_score(truth, scores)
    assert curves.average_precision(curve) == pytest.approx(expected, abs=1e-12)
    alarms, hits, _ = sklearn.metrics.roc_curve(truth, scores, drop_intermediate=False)
    assert curve.sensitivity == pytest.approx(hits[1:], abs=1e-12)
    assert curve.specificity == pytest.approx(1 - alarms[1:], abs=1e-12)
    for least in (0.9, 0.95):
        expected = hits[1 - alarms >= least - 1e-12].max()
        assert curves.sensitivity_at(curve, least) == pytest.approx(expected, abs=1e-12)
        expected = (1 - alarms)[hits >= least - 1e-12].max()
        assert curves.specificity_at(curve, least) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("positive", [True, False])
def test_one_kind_alone_gives_nan(positive):
    curve = curves.build_curve([0.1, 0.2], np.array([positive, positive]))
    assert np.isnan(curves.auroc(curve))
    assert np.isnan(curves.sensitivity_at(curve, 0.9))
    assert np.isnan(curves.specificity_at(curve, 0.95))
    assert np.isnan(curves.average_precision(curve)) == (not positive)
    undefined = curves.thin_curve(curve.specificity, curve.sensitivity, 10)
    assert undefined == {"x": [], "y": []}


def test_nine_of_ten_is_at_least_nine_tenths_and_an_alarm_at_the_top_score_leaves_nothing():
    truth = np.arange(20) < 10
    scores = np.r_[np.arange(10, 0, -1), np.full(10, 1.5)]
    curve = curves.build_curve(scores, truth)
    assert curves.sensitivity_at(curve, 1.0) == pytest.approx(0.9)
    assert curves.specificity_at(curve, 0.9) == 1
    curve = curves.build_curve([1.0, 1.0], np.array([True, False]))
    assert curves.sensitivity_at(curve, 0.95) == 0


def test_a_thinned_curve_keeps_its_ends_and_its_area():
    curve = curves.build_curve(*draw(4000))
    roc = np.r_[0.0, 1 - curve.specificity], np.r_[0.0, curve.sensitivity]
    points = curves.thin_curve(*roc, 60)
    assert len(points["x"]) <= 60
    assert (points["x"][0], points["y"][0], points["x"][-1], points["y"][-1]) == (0, 0, 1, 1)
    area = np.trapezoid(points["y"], points["x"])
    assert area == pytest.approx(float(curves.auroc(curve)), abs=0.005)
