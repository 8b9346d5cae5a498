import numpy as np
import pytest

from hf_lesion.errors import InputError
from hf_lesion.evaluation.operating_point import expect, fit_point, measure_point
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


def test_the_threshold_is_the_highest_that_finds_enough_halfway_to_the_next_score():
    answers = of([0.9, 0.8, 0.7, 0.6, 0.1], [0.65, 0.5, 0.3])
    point = fit_point(answers, "melanoma", target=0.8)
    assert point.threshold == pytest.approx((0.6 + 0.5) / 2)
    assert (point.sensitivity, point.specificity) == (0.8, pytest.approx(2 / 3))
    assert (point.images, point.positives, point.codes) == (8, 5, ("mel",))
    every = fit_point(answers, "melanoma", target=1.0)
    assert every.threshold == pytest.approx(0.05)
    assert (every.sensitivity, every.specificity) == (1, 0)


def test_flags_at_the_threshold_are_what_was_promised():
    generator = np.random.default_rng(0)
    answers = of(generator.beta(3, 2, 60), generator.beta(1, 4, 300))
    for target in (0.8, 0.9, 0.95):
        point = fit_point(answers, "melanoma", target=target)
        found = measure_point(point, answers, prevalence=0.1)["metrics"]
        assert found["sensitivity"] == point.sensitivity >= target
        assert found["specificity"] == point.specificity
        assert point.sensitivity - target < 1 / 60 + 1e-9


def test_a_set_without_the_disease_or_without_others_is_refused():
    with pytest.raises(
        InputError, match=r"^The melanoma threshold .* but 0 of 2 images are of mel"
    ):
        fit_point(of([], [0.1, 0.2]), "melanoma")
    with pytest.raises(InputError, match="but 2 of 2 images are of akiec, bcc, mel"):
        fit_point(of([0.1, 0.2], []), "malignant")
    with pytest.raises(InputError, match=r"^A sensitivity above 0 and up to 1"):
        fit_point(of([0.1], [0.2]), "melanoma", target=1.5)


def test_a_thousand_people_counted_by_hand():
    """20 of 1,000 are ill: 18 are found, 2 missed; of 980 others a quarter is flagged."""
    found = expect(np.array([0.9]), np.array([0.75]), 0.02)
    assert found["misses_per_1000"] == pytest.approx([2])
    assert found["false_alarms_per_1000"] == pytest.approx([245])
    assert found["ppv"] == pytest.approx([18 / (18 + 245)])


def test_ppv_of_a_threshold_that_flags_nobody_is_undefined():
    assert np.isnan(expect(np.array([0.0]), np.array([1.0]), 0.02)["ppv"]).all()


def test_at_the_sets_own_prevalence_ppv_is_the_share_of_right_flags():
    generator = np.random.default_rng(1)
    answers = of(generator.beta(3, 2, 50), generator.beta(1, 4, 150))
    point = fit_point(answers, "melanoma")
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
    point = fit_point(of([0.9], [0.1]), "melanoma")
    found = measure_point(point, of([], [0.1, 0.2], ("a", "a")), prevalence=0.02)
    assert np.isnan(found["metrics"]["sensitivity"])
    assert found["metrics"]["specificity"] == 1
    assert np.isnan(found["intervals"]["bounds"]["specificity"]).all()
