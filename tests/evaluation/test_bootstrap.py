import math

import numpy as np
import pytest

from hf_lesion.evaluation import metrics
from hf_lesion.evaluation.bootstrap import estimate, estimate_metrics, paired_differences
from hf_lesion.labels import CODES

NORMAL_95 = 1.959964


def answers(is_right, references):
    """Return one-hot answers that are right where told, else the next class."""
    references = np.asarray(references)
    return np.eye(len(CODES))[np.where(is_right, references, (references + 1) % len(CODES))]


def interval(probabilities, references, lesion_ids=None, name="accuracy"):
    return estimate_metrics(probabilities, references, lesion_ids, names=[name])[name][1:]


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
    expected = 2 * NORMAL_95 * math.sqrt(share * (1 - share) / images)
    for name in ("accuracy", "balanced_accuracy"):  # over 7 equal strata: the same variance
        found = interval(answers(is_right, references), references, name=name)
        assert width(found) == pytest.approx(expected, rel=0.1)
        assert sum(found) / 2 == pytest.approx(share, abs=0.005)


def test_the_seed_and_not_the_order_of_lesions_decides(monkeypatch):
    references = np.arange(60) % len(CODES)
    probabilities = answers(np.arange(60) % 3 > 0, references)
    lesion_ids = [f"L{index // 2:03}" for index in range(60)]
    first = interval(probabilities, references, lesion_ids, "macro_f1")
    order = np.random.default_rng(0).permutation(60)
    shuffled = [lesion_ids[index] for index in order]
    assert first == interval(probabilities[order], references[order], shuffled, "macro_f1")
    monkeypatch.setattr("hf_lesion.evaluation.bootstrap.SEED", 2)
    assert first != interval(probabilities, references, lesion_ids, "macro_f1")


def test_absent_classes_and_single_lesions_have_no_interval():
    references = np.array([5, 5, 4, 4])
    probabilities = answers([True, False, True, True], references)
    found = estimate_metrics(probabilities, references)
    expected = metrics.compute_metrics(probabilities, references)
    assert str({name: one.value for name, one in found.items()}) == str(expected)
    assert np.isnan(found["sensitivity_bcc"]).all()
    assert not np.isnan([*found["sensitivity_nv"], *found["macro_auroc"]]).any()
    for one in estimate_metrics(probabilities, references, ["a"] * 4).values():
        assert np.isnan(one[1:]).all()
    assert np.isnan(estimate(np.ones((2, 1)), ["a", "a"])[0][1:]).all()
    with pytest.raises(ValueError, match=r"^4 lesion ids were expected, one for each image, got 1"):
        estimate_metrics(probabilities, references, ["a"])


@pytest.mark.parametrize("name", ["macro_f1", "auroc_mel", "average_precision_df"])
def test_intervals_are_those_of_the_metric_on_repeated_rows(name, monkeypatch):
    monkeypatch.setattr("hf_lesion.evaluation.bootstrap.RESAMPLES", 12)
    references = np.arange(210) % 7
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 210) / 2
    probabilities += np.eye(7)[references] / 2
    lesions = [f"L{index // 2}" for index in range(210)]

    def statistic(rows):
        return metrics.compute_metrics(probabilities[rows], references[rows])[name]

    found = interval(probabilities, references, lesions, name)
    expected = resample_rows(statistic, lesions, resamples=12)
    assert found == pytest.approx(expected, abs=1e-9)


def test_pairing_cancels_what_both_models_share():
    """Both are right on half of the images; the second on one image in ten more."""
    images = 700
    references = np.arange(images) % len(CODES)
    draw = np.random.default_rng(0)
    first = draw.random(images) < 0.5
    second = first | (draw.random(images) < 0.1)
    found = paired_differences(answers(first, references), answers(second, references), references)
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_f1", "macro_auroc"}
    difference, low, high = found["accuracy"]
    assert difference == pytest.approx(second.mean() - first.mean())
    assert 0 < low < difference < high
    # The share of images on which they differ is all that varies.
    changed = (second & ~first).mean()
    expected = 2 * NORMAL_95 * math.sqrt(changed * (1 - changed) / images)
    assert high - low == pytest.approx(expected, rel=0.15)
    alone = interval(answers(first, references), references)
    assert high - low < 0.7 * width(alone)


@pytest.fixture(scope="module")
def measured():
    generator = np.random.default_rng(0)
    lesions = [str(number // 2) for number in range(60)]
    values = generator.random((60, 2)) + np.repeat(generator.random((30, 1)), 2, axis=0)
    return values, lesions


def test_intervals_of_means_and_medians_are_those_of_the_plain_bootstrap(measured):
    values, lesions = measured
    mean, median = estimate(values, lesions, medians=[1])
    plain = resample_rows(lambda rows: values[rows, 0].mean(), lesions)
    assert mean.value == pytest.approx(values[:, 0].mean())
    assert (mean.low, mean.high) == pytest.approx(plain, abs=1e-12)
    assert median.value == np.sort(values[:, 1])[29]
    plain = resample_rows(lambda rows: np.sort(values[rows, 1])[(len(rows) - 1) // 2], lesions)
    assert (median.low, median.high) == pytest.approx(plain, abs=1e-12)


def test_missing_and_infinite_values(measured):
    values = measured[0].copy()
    values[::3, 0] = np.nan
    found = estimate(values)
    assert found[0].value == pytest.approx(np.nanmean(values[:, 0]))
    assert found[1].value == pytest.approx(values[:, 1].mean())
    assert np.isnan(estimate(np.full((5, 1), np.nan))[0]).all()
    found = estimate(values + 0.05, minus=measured[0])
    assert [one.value for one in found] == pytest.approx([0.05, 0.05])
    assert [one.high - one.low for one in found] == pytest.approx([0, 0], abs=1e-9)
    found = estimate(np.array([[1.0], [2.0], [np.inf], [3.0], [np.inf]]), medians=[0])[0]
    assert (found.value, found.high) == (3, np.inf)
