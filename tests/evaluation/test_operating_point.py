import numpy as np
import pytest

from hf_lesion.calibration.fit import fit_point
from hf_lesion.evaluation.operating_point import measure_point
from hf_lesion.evaluation.predictions import Predictions
from hf_lesion.labels import LABEL2ID

MEL, NV = LABEL2ID["mel"], LABEL2ID["nv"]


def of(melanomas, nevi, lesions=None):
    """Answers that give these probabilities of melanoma, the rest to a nevus."""
    scores = np.asarray([*melanomas, *nevi], dtype=float)
    probabilities = np.zeros((len(scores), 7))
    probabilities[:, MEL], probabilities[:, NV] = scores, 1 - scores
    references = np.asarray([MEL] * len(melanomas) + [NV] * len(nevi))
    return Predictions(tuple(map(str, range(len(scores)))), references, probabilities, lesions)


def fit_melanoma(answers, target=0.9):
    return fit_point(answers.probabilities, answers.references, "melanoma", target=target)


def test_flags_at_the_threshold_are_what_was_promised():
    generator = np.random.default_rng(0)
    answers = of(generator.beta(3, 2, 60), generator.beta(1, 4, 300))
    for target in (0.8, 0.9, 0.95):
        point = fit_melanoma(answers, target)
        found = measure_point(point, answers, prevalence=0.1)["metrics"]
        assert found["sensitivity"] == point.sensitivity >= target
        assert found["specificity"] == point.specificity
        assert point.sensitivity - target < 1 / 60 + 1e-9


def test_at_the_sets_own_prevalence_ppv_is_the_share_of_right_flags():
    generator = np.random.default_rng(1)
    answers = of(generator.beta(3, 2, 50), generator.beta(1, 4, 150))
    point = fit_melanoma(answers)
    found = measure_point(point, answers, prevalence=0.25)
    flags = point.flags(answers.probabilities)
    assert found["metrics"]["ppv"] == pytest.approx((answers.references[flags] == MEL).mean())
    for name, value in found["metrics"].items():
        low, high = found["intervals"]["bounds"][name]
        assert low <= value <= high, name
    low, high = found["intervals"]["bounds"]["sensitivity"]
    assert found["intervals"]["bounds"]["misses_per_1000"] == pytest.approx(
        [250 * (1 - high), 250 * (1 - low)]
    )


def test_one_lesion_and_absent_disease_give_nan_and_no_interval():
    point = fit_melanoma(of([0.9], [0.1]))
    found = measure_point(point, of([], [0.1, 0.2], ("a", "a")), prevalence=0.02)
    assert np.isnan(found["metrics"]["sensitivity"])
    assert found["metrics"]["specificity"] == 1
    assert np.isnan(found["intervals"]["bounds"]["specificity"]).all()
