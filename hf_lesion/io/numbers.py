"""Number formats: values with confidence intervals, the same in all tables and texts."""

import math
from collections.abc import Sequence

UNDEFINED = "–"


def format_interval(
    value: float | None,
    bounds: Sequence[float | None] | None = None,
    *,
    digits: int = 3,
    signed: bool = False,
) -> str:
    """Return "0.736 [0.684, 0.784]" for a value and its (lower, upper) `bounds`.

    An undefined value (None or NaN) is a dash; undefined bounds are omitted. `digits` are decimals;
    `signed` positive numbers have a plus, for differences.
    """
    if not _is_known(value):
        return UNDEFINED
    form = f"{'+' if signed else ''}.{digits}f"
    if bounds is None or not all(map(_is_known, bounds)):
        return f"{value:{form}}"
    low, high = bounds
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def format_difference(estimate: Sequence[float | None]) -> str:
    """Return "+0.012 [-0.003, +0.027]" of (difference, lower, upper)."""
    value, *bounds = estimate
    return format_interval(value, bounds, signed=True)


def format_estimate(estimate: Sequence[float | None]) -> str:
    """Return (value, lower, upper) with three decimals, or two if it exceeds 1, as a ratio may."""
    value, *bounds = estimate
    exceeds = value is not None and abs(value) >= 1 and (bounds[1] or 0) > 1
    return format_interval(value, bounds, digits=2 if exceeds else 3)


def _is_known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)
