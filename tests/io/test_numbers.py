import math

import pytest

from hf_lesion.io.numbers import format_difference, format_interval


@pytest.mark.parametrize(
    ("value", "bounds", "options", "text"),
    [
        (0.7361, (0.684, 0.7842), {}, "0.736 [0.684, 0.784]"),
        (0.7361, None, {}, "0.736"),
        (0.7361, (math.nan, math.nan), {}, "0.736"),
        (0.7361, (None, None), {}, "0.736"),
        (None, (0.1, 0.2), {}, "–"),
        (math.nan, (0.1, 0.2), {}, "–"),
        (12.34, (10.0, 14.0), {"digits": 1}, "12.3 [10.0, 14.0]"),
        (0.02, (-0.01, 0.05), {"signed": True}, "+0.020 [-0.010, +0.050]"),
    ],
)
def test_a_value_with_its_interval(value, bounds, options, text):
    assert format_interval(value, bounds, **options) == text


def test_a_difference_carries_its_sign():
    assert format_difference([0.0123, -0.003, 0.027]) == "+0.012 [-0.003, +0.027]"
