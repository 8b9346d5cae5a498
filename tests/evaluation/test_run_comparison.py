import json

import pytest
from runs_on_disk import write_run

from hf_lesion.errors import InputError
from hf_lesion.evaluation.run_comparison import (
    compare_runs,
    render_comparisons,
)


def test_a_run_is_told_by_what_it_changed_and_what_came_of_it(tmp_path):
    first = write_run(tmp_path / "plain", right=0.5)
    other = write_run(tmp_path / "strong", right=0.8, augmentation="strong", seed=7)
    found = compare_runs(first, [first, other], resamples=100)
    plain, strong = found["runs"]
    assert (plain["name"], plain["changed"]) == ("plain", {})
    assert strong["changed"] == {"augmentation": "strong"}
    difference, low, high = strong["differences"]["balanced_accuracy"]
    expected = strong["metrics"]["balanced_accuracy"] - plain["metrics"]["balanced_accuracy"]
    assert difference == pytest.approx(expected)
    assert 0 < low < difference < high
    table = render_comparisons([json.loads(json.dumps(found))])
    lines = table.splitlines()
    assert lines[4].startswith("| `strong` | augmentation strong | 0.800 [")  # the best first
    assert f"| {difference:+.3f} [{low:+.3f}, {high:+.3f}] |" in lines[4]
    assert lines[4].endswith("| 7 | 0.25 |")
    assert lines[0].startswith("`resnet18`, 128 px, 2 epochs; reference `plain`: ")
    assert "(140 images)" in lines[0]


def test_runs_on_other_images_are_not_compared(tmp_path):
    first = write_run(tmp_path / "a", right=0.5)
    other = write_run(tmp_path / "b", right=0.5, images=70)
    with pytest.raises(InputError, match=r"on 70 images that are not the 140 of a: score both on "):
        compare_runs(first, [other])


def test_a_run_that_was_not_scored_says_how_to(tmp_path):
    folder = write_run(tmp_path / "a", right=0.5)
    (folder / "predictions_validation.csv").unlink()
    with pytest.raises(InputError, match=r"then run scripts/score\.py --model .* --split validat"):
        compare_runs(folder, [])
