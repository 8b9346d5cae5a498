import math

import numpy as np
import pytest

from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.bootstrap import (
    bootstrap,
    estimate,
    estimate_metrics,
    paired_differences,
)
from hf_lesion.labels import CODES

NORMAL_95 = 1.959964


def answers(is_right, references):
    """Return one-hot answers that are right where told, else the next class."""
    references = np.asarray(references)
    return np.eye(len(CODES))[np.where(is_right, references, (references + 1) % len(CODES))]


def interval(probabilities, references, lesion_ids=None, name="accuracy"):
    found = estimate_metrics(probabilities, references, lesion_ids, names=[name])
    return found[name][1:]


def width(interval):
    return interval[1] - interval[0]


def resample_rows(statistic, lesion_ids, *, resamples=1000):
    """The plain bootstrap, an oracle: the statistic of the rows of each resample, one by one."""
    lesions = np.unique(lesion_ids, return_inverse=True)[1]
    count, generator = lesions.max() + 1, np.random.default_rng(0)
    values = []
    for _ in range(resamples):
        drawn = np.bincount(generator.integers(count, size=count), minlength=count)
        values.append(statistic(np.repeat(np.arange(len(lesions)), drawn[lesions])))
    return np.quantile(values, (0.025, 0.975))


def test_independent_images_give_the_binomial_interval():
    images, share = 2000, 0.8
    is_right = np.arange(images) % 10 < 10 * share
    references = np.arange(images) // 10 % len(CODES)
    intervals = {
        name: interval(answers(is_right, references), references, name=name)
        for name in ("accuracy", "balanced_accuracy")
    }
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
    by_lesion = interval(probabilities, references, lesion_ids)
    ratio = width(by_lesion) / width(interval(probabilities, references))
    assert ratio == pytest.approx(2, rel=0.12)


def test_the_interval_holds_the_estimate_and_covers_the_truth_about_as_often_as_it_says(
    monkeypatch,
):
    monkeypatch.setattr("hf_lesion.evaluation.bootstrap.RESAMPLES", 200)
    covered, trials, images, share = 0, 100, 150, 0.75
    generator = np.random.default_rng(3)
    for _ in range(trials):
        references = generator.integers(len(CODES), size=images)
        is_right = generator.random(images) < share
        probabilities = answers(is_right, references)
        lower, upper = interval(probabilities, references)
        assert lower <= is_right.mean() <= upper
        covered += lower <= share <= upper
    assert 0.88 <= covered / trials <= 0.99


def test_the_seed_and_not_the_order_of_lesions_decides(monkeypatch):
    references = np.arange(60) % len(CODES)
    probabilities = answers(np.arange(60) % 3 > 0, references)
    lesion_ids = [f"L{index // 2:03}" for index in range(60)]
    first = interval(probabilities, references, lesion_ids, "macro_f1")
    assert first == interval(probabilities, references, lesion_ids, "macro_f1")
    order = np.random.default_rng(0).permutation(60)
    shuffled = [lesion_ids[index] for index in order]
    assert first == interval(probabilities[order], references[order], shuffled, "macro_f1")
    monkeypatch.setattr("hf_lesion.evaluation.bootstrap.SEED", 2)
    assert first != interval(probabilities, references, lesion_ids, "macro_f1")


def test_absent_classes_and_single_lesions_have_no_interval():
    references = np.array([5, 5, 4, 4])
    probabilities = answers([True, False, True, True], references)
    found = estimate_metrics(probabilities, references)
    assert np.isnan(found["sensitivity_bcc"]).all()
    assert not np.isnan(found["sensitivity_nv"]).any()
    assert not np.isnan(found["macro_auroc"]).any()
    of_one = estimate_metrics(probabilities, references, ["a"] * 4)
    assert np.isnan([one[1:] for one in of_one.values()]).all()


def test_values_are_those_of_the_metrics():
    references = np.arange(14) % len(CODES)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 14)
    found = estimate_metrics(probabilities, references)
    expected = metrics.compute_metrics(probabilities, references)
    assert {name: one.value for name, one in found.items()} == expected
    some = estimate_metrics(probabilities, references, names=["macro_auroc"])
    assert {name: one.value for name, one in some.items()} == {
        "macro_auroc": expected["macro_auroc"]
    }


def test_lesion_ids_of_another_length_are_refused():
    with pytest.raises(
        ValueError, match=r"^2 lesion ids were expected, one for each image, got 1.$"
    ):
        estimate_metrics(answers([True, True], [0, 1]), [0, 1], ["a"])


@pytest.mark.parametrize(
    "name", ["accuracy", "macro_f1", "auroc_mel", "average_precision_df", "macro_auroc"]
)
def test_intervals_are_those_of_the_metric_on_repeated_rows(name, monkeypatch):
    monkeypatch.setattr("hf_lesion.evaluation.bootstrap.RESAMPLES", 12)
    generator = np.random.default_rng(0)
    references = np.arange(210) % 7
    probabilities = generator.dirichlet(np.ones(7), 210) / 2 + np.eye(7)[references] / 2
    lesions = [f"L{index // 2}" for index in range(210)]

    def statistic(rows):
        return metrics.compute_metrics(probabilities[rows], references[rows])[name]

    found = interval(probabilities, references, lesions, name)
    expected = resample_rows(statistic, lesions, resamples=12)
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_statistic_of_one_lesion_has_no_interval():
    (found,) = bootstrap(lambda weights: {"one": np.ones(len(weights))}, 3, ["a"] * 3).values()
    assert found.value == 1
    assert np.isnan(found[1:]).all()


def test_a_model_does_not_differ_from_itself():
    references = np.arange(140) % len(CODES)
    scores = answers(np.arange(140) % 3 > 0, references)
    found = paired_differences(scores, scores, references)
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_f1", "macro_auroc"}
    assert set(found.values()) == {(0.0, 0.0, 0.0)}


def test_pairing_cancels_what_both_models_share():
    """Both are right on half of the images; the second on one image in ten more."""
    images = 700
    references = np.arange(images) % len(CODES)
    draw = np.random.default_rng(0)
    first = draw.random(images) < 0.5
    second = first | (draw.random(images) < 0.1)
    found = paired_differences(answers(first, references), answers(second, references), references)
    difference, low, high = found["accuracy"]
    assert difference == pytest.approx(second.mean() - first.mean())
    assert 0 < low < difference < high
    # The share of images on which they differ is all that varies.
    changed = (second & ~first).mean()
    expected = 2 * NORMAL_95 * math.sqrt(changed * (1 - changed) / images)
    assert high - low == pytest.approx(expected, rel=0.15)
    alone = interval(answers(first, references), references)
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
    values, lesions = measured
    mean, median = estimate(values, lesions, medians=[1])
    plain = resample_rows(lambda rows: values[rows, 0].mean(), lesions)
    assert mean.value == pytest.approx(values[:, 0].mean())
    assert (mean.low, mean.high) == pytest.approx(plain, abs=1e-12)
    assert median.value == np.sort(values[:, 1])[29]
    plain = resample_rows(lambda rows: np.sort(values[rows, 1])[(len(rows) - 1) // 2], lesions)
    assert (median.low, median.high) == pytest.approx(plain, abs=1e-12)


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
    found = estimate(better, lesions, minus=values)
    assert [one.value for one in found] == pytest.approx([0.05, 0.05])
    assert [one.high - one.low for one in found] == pytest.approx([0, 0], abs=1e-9)
