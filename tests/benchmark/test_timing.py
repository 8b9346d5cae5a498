import time

import pytest

from hf_lesion.benchmark.timing import Candidate, format_table, summarise, take_turns


def test_candidates_take_turns_and_the_first_run_of_each_is_not_counted():
    order = []
    candidates = [Candidate(name, lambda name=name: order.append(name)) for name in "abc"]
    seconds = take_turns(candidates, rounds=2)
    assert "".join(order) == "abcbcacab"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2, "c": 2}


def test_a_run_that_takes_longer_is_found_to():
    quick, slow = (Candidate(n, lambda s=s: time.sleep(s)) for n, s in (("q", 0.01), ("s", 0.03)))
    summary = summarise(take_turns([slow, quick], rounds=3), items=6)
    assert summary["s"]["ratio"] == 1
    assert 1.5 < summary["q"]["ratio"] < 3.5
    assert 100 < summary["s"]["items_per_second"] <= 200


def test_ratios_compare_runs_of_one_round():
    """A machine that halves its speed midway changes no ratio."""
    summary = summarise({"a": [1.0, 2.0, 2.0], "b": [0.5, 1.0, 1.0]}, items=10)
    assert summary["b"]["ratio"] == 2
    assert summary["b"]["ratio_range"] == [2, 2]
    assert summary["b"]["median"] == 1
    assert summary["b"]["items_per_second"] == pytest.approx(10)
    table = format_table("title", summary, unit="images").splitlines()
    assert table[0] == "title"
    assert table[3].split()[:4] == ["b", "10.0", "2.00", "x"]
