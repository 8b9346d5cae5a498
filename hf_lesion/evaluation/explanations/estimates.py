"""Comparisons in `explanations.json`: in which measures a heatmap is better, and in which worse."""

from collections.abc import Mapping, Sequence

Estimate = Sequence[float | None]
# Of the deletion curve less is better.
LOWER_IS_BETTER = ("deletion",)


def better_in(differences: Mapping[str, Estimate], measures: Mapping[str, str]) -> list[str]:
    """Return the names of the measures that are better: the interval excludes zero."""
    return [name for key, name in measures.items() if _sign(key, differences.get(key)) > 0]


def worse_in(differences: Mapping[str, Estimate], measures: Mapping[str, str]) -> list[str]:
    """Return the names of the measures that are worse: the interval excludes zero."""
    return [name for key, name in measures.items() if _sign(key, differences.get(key)) < 0]


def list_words(words: Sequence[str]) -> str:
    """Return one word or more as a list in a sentence."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _sign(measure: str, difference: Estimate | None) -> int:
    """Return 1 for the better, -1 for the worse, 0 where the interval holds zero or is unknown."""
    _, low, high = difference or (None, None, None)
    if low is None or high is None:
        return 0
    rise = int(low > 0) - int(high < 0)
    return -rise if measure in LOWER_IS_BETTER else rise
