import numpy as np
import pytest

from hf_lesion.evaluation.bootstrap import bootstrap_statistic
from hf_lesion.evaluation.resampling import estimate, estimate_differences


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
