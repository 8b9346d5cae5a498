import math

import numpy as np
import pytest

from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.bootstrap import (
    bootstrap_intervals,
    bootstrap_statistic,
    estimate,
    estimate_differences,
    paired_differences,
)
from hf_lesion.labels import CODES

NORMAL_95 = 1.959964


def answers(is_right, references):
    """Return one-hot answers that are right where told, else the next class."""
    references = np.asarray(references)
    return np.eye(len(CODES))[np.where(is_right, references, (references + 1) % len(CODES))]


def width(interval):
    return interval[1] - interval[0]


def test_independent_images_give_the_binomial_interval():
    images, share = 2000, 0.8
    is_right = np.arange(images) % 10 < 10 * share
    references = np.arange(images) // 10 % len(CODES)
    intervals = bootstrap_intervals(answers(is_right, references), references)
    expected = 2 * NORMAL_95 * math.sqrt(share * (1 - share) / images)
    assert width(intervals["accuracy"]) == pytest.approx(expected, rel=0.1)
    assert sum(intervals["accuracy"]) / 2 == pytest.approx(share, abs=0.005)
    # Balanced over 7 equal strata: the same variance.
    assert width(intervals["balanced_accuracy"]) == pytest.approx(expected, rel=0.1)


def test_four_images_of_each_lesion_that_agree_double_the_width():
    lesions, copies = 500, 4
    generator = np.random.default_rng(0)
    is_right = np.repeat(generator.random(lesions) < 0.7, copies)
    references = np.repeat(np.arange(lesions) % len(CODES), copies)
    lesion_ids = np.repeat([f"HAM_{index}" for index in range(lesions)], copies).tolist()
    probabilities = answers(is_right, references)
    by_lesion = bootstrap_intervals(probabilities, references, lesion_ids)
    by_image = bootstrap_intervals(probabilities, references)
    ratio = width(by_lesion["accuracy"]) / width(by_image["accuracy"])
    assert ratio == pytest.approx(2, rel=0.12)


def test_the_interval_holds_the_estimate_and_covers_the_truth_about_as_often_as_it_says():
    covered, trials, images, share = 0, 100, 150, 0.75
    generator = np.random.default_rng(3)
    for _ in range(trials):
        references = generator.integers(len(CODES), size=images)
        is_right = generator.random(images) < share
        probabilities = answers(is_right, references)
        lower, upper = bootstrap_intervals(probabilities, references, resamples=200)["accuracy"]
        assert lower <= is_right.mean() <= upper
        covered += lower <= share <= upper
    assert 0.88 <= covered / trials <= 0.99


def test_the_seed_and_not_the_order_of_lesions_decides():
    references = np.arange(60) % len(CODES)
    probabilities = answers(np.arange(60) % 3 > 0, references)
    lesion_ids = [f"L{index // 2:03}" for index in range(60)]
    first = bootstrap_intervals(probabilities, references, lesion_ids, seed=1)
    assert first == bootstrap_intervals(probabilities, references, lesion_ids, seed=1)
    assert first != bootstrap_intervals(probabilities, references, lesion_ids, seed=2)
    order = np.random.default_rng(0).permutation(60)
    shuffled = [lesion_ids[index] for index in order]
    assert first == bootstrap_intervals(probabilities[order], references[order], shuffled, seed=1)


def test_absent_classes_and_single_lesions_have_no_interval():
    references = np.array([5, 5, 4, 4])
    probabilities = answers([True, False, True, True], references)
    intervals = bootstrap_intervals(probabilities, references)
    assert all(map(math.isnan, intervals["sensitivity_bcc"]))
    assert not any(map(math.isnan, intervals["sensitivity_nv"]))
    of_one = bootstrap_intervals(probabilities, references, ["a"] * 4)
    assert np.isnan(list(of_one.values())).all()


def test_the_names_are_metrics_of_the_project():
    references = np.arange(14) % len(CODES)
    probabilities = answers(np.ones(14, dtype=bool), references)
    names = bootstrap_intervals(probabilities, references).keys()
    assert names < metrics.compute_metrics(probabilities, references).keys()


def test_lesion_ids_of_another_length_are_refused():
    with pytest.raises(
        ValueError, match=r"^2 lesion ids were expected, one for each image, got 1.$"
    ):
        bootstrap_intervals(answers([True, True], [0, 1]), [0, 1], ["a"])


def test_any_statistic_gets_the_interval_that_the_confusion_matrix_gives():
    generator = np.random.default_rng(3)
    right = generator.random(300) < 0.8
    lesions = [str(index // 2) for index in range(300)]
    references = np.arange(300) % 7
    expected = bootstrap_intervals(answers(right, references), references, lesions, seed=5)
    found = bootstrap_statistic(lambda rows: float(right[rows].mean()), 300, lesions, seed=5)
    assert np.allclose(found, expected["accuracy"])


def test_a_statistic_of_one_lesion_has_no_interval():
    assert np.isnan(bootstrap_statistic(lambda rows: 1.0, 3, ["a", "a", "a"])).all()


def test_a_model_does_not_differ_from_itself():
    references = np.arange(140) % len(CODES)
    scores = answers(np.arange(140) % 3 > 0, references)
    found = paired_differences(scores, scores, references, resamples=50)
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_f1", "macro_auroc"}
    assert set(found.values()) == {(0.0, 0.0, 0.0)}


def test_pairing_cancels_what_both_models_share():
    """Both are right on half of the images; the second on one image in ten more."""
    images = 700
    references = np.arange(images) % len(CODES)
    draw = np.random.default_rng(0)
    first = draw.random(images) < 0.5
    second = first | (draw.random(images) < 0.1)
    found = paired_differences(
        answers(first, references), answers(second, references), references, resamples=400
    )
    difference, low, high = found["accuracy"]
    assert difference == pytest.approx(second.mean() - first.mean())
    assert 0 < low < difference < high
    # The share of images on which they differ is all that varies.
    changed = (second & ~first).mean()
    expected = 2 * NORMAL_95 * math.sqrt(changed * (1 - changed) / images)
    assert high - low == pytest.approx(expected, rel=0.15)
    alone = bootstrap_intervals(answers(first, references), references)["accuracy"]
    assert high - low < 0.7 * width(alone)


def test_pairs_of_one_lesion_tell_nothing_of_others():
    references = np.array([4, 5])
    scores = answers([True, False], references)
    found = paired_differences(scores, scores, references, ["a", "a"])
    difference, low, high = found["accuracy"]
    assert difference == 0
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.fixture(scope="module")
def measured():
    generator = np.random.default_rng(0)
    lesions = [str(number // 2) for number in range(60)]
    values = generator.random((60, 2)) + np.repeat(generator.random((30, 1)), 2, axis=0)
    return values, lesions


def test_intervals_are_those_of_the_plain_bootstrap(measured):
    """The same resamples as `intervals.bootstrap_statistic`, one at a time."""
    values, lesions = measured
    mean, median = estimate(values, lesions, medians=[1])
    plain = bootstrap_statistic(lambda rows: values[rows, 0].mean(), 60, lesions)
    assert mean.value == pytest.approx(values[:, 0].mean())
    assert (mean.low, mean.high) == pytest.approx(plain, abs=2e-3)
    assert median.value == np.sort(values[:, 1])[29]
    plain = bootstrap_statistic(
        lambda rows: np.sort(values[rows, 1])[(len(rows) - 1) // 2], 60, lesions
    )
    assert (median.low, median.high) == pytest.approx(plain, abs=0.03)


def test_lesions_are_drawn_whole(measured):
    values, lesions = measured
    together, alone = estimate(values, lesions)[0], estimate(values)[0]
    assert together.high - together.low > 1.15 * (alone.high - alone.low)


def test_a_missing_value_is_left_out_of_its_column(measured):
    values = measured[0].copy()
    values[::3, 0] = np.nan
    found = estimate(values)
    assert found[0].value == pytest.approx(np.nanmean(values[:, 0]))
    assert found[1].value == pytest.approx(values[:, 1].mean())
    nothing = estimate(np.full((5, 1), np.nan))[0]
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_one_lesion_has_no_interval(measured):
    found = estimate(measured[0][:2], ["1", "1"])[0]
    assert not np.isnan(found.value)
    assert np.isnan([found.low, found.high]).all()
    assert estimate(np.empty((0, 2)), [])[0].rounded()[1:] != [0, 0]


def test_an_infinite_value_is_no_obstacle_to_a_median():
    found = estimate(np.array([[1.0], [2.0], [np.inf], [3.0], [np.inf]]), medians=[0])[0]
    assert found.value == 3
    assert found.high == np.inf


def test_paired_differences_are_narrower_than_unpaired(measured):
    values, lesions = measured
    better = values + 0.05
    better[0, 0] = np.nan
    found = estimate_differences(better, values, lesions)
    assert [one.value for one in found] == pytest.approx([0.05, 0.05])
    assert [one.high - one.low for one in found] == pytest.approx([0, 0], abs=1e-9)
