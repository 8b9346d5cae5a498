"""Candidates that take turns, so that a machine which slows down slows all of them."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm


@dataclass(frozen=True)
class Candidate:
    """One way to do a piece of work.

    Attributes:
        name: What the table calls it.
        run: Does the work once.
        is_timed: Whether `run` returns the seconds that count, since work has a beginning that does
            not; else all of it counts.
    """

    name: str
    run: Callable[[], Any]
    is_timed: bool = False


def take_turns(
    candidates: Sequence[Candidate], *, rounds: int, title: str = ""
) -> dict[str, list[float]]:
    """Return the seconds of every run of every candidate, after one run each that is not counted.

    Args:
        candidates: With different names; each round runs all of them, in turned order.
        rounds: How many rounds count.
        title: Of the progress bar.
    """
    seconds: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    runs = (rounds + 1) * len(candidates)
    with tqdm(total=runs, desc=title, unit="run", disable=None) as bar:
        for number in range(rounds + 1):
            turn = number % len(candidates)
            for candidate in (*candidates[turn:], *candidates[:turn]):
                start = time.perf_counter()
                answer = candidate.run()
                passed = answer if candidate.is_timed else time.perf_counter() - start
                if number:
                    seconds[candidate.name].append(passed)
                bar.update()
    return seconds


def summarise(seconds: dict[str, list[float]], *, items: int) -> dict[str, dict[str, Any]]:
    """Return median seconds, items per second and the speed against the first candidate.

    Args:
        seconds: As from `take_turns`; the first is what the others are compared with.
        items: How many things one run handles.

    Returns:
        Name → `seconds` (all), `median`, `items_per_second`, `ratio` (median of the ratios of runs
        of one round; above 1 is faster than the first) and `ratio_range` (lowest, highest).
    """
    first = next(iter(seconds.values()))
    found = {}
    for name, own in seconds.items():
        ratios = [a / b for a, b in zip(first, own, strict=True)]
        median = statistics.median(own)
        found[name] = {
            "seconds": own,
            "median": median,
            "items_per_second": items / median,
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
        }
    return found


def format_table(title: str, summary: dict[str, dict[str, Any]], *, unit: str) -> str:
    """Return a summary as text for a terminal."""
    width = max(len(name) for name in summary)
    lines = [title, f"  {'':<{width}}  {unit + '/s':>10}   speed against the first (range)"]
    for name, found in summary.items():
        low, high = found["ratio_range"]
        lines.append(
            f"  {name:<{width}}  {found['items_per_second']:>10,.1f}   {found['ratio']:.2f} x  "
            f"({low:.2f} to {high:.2f})"
        )
    return "\n".join(lines)
