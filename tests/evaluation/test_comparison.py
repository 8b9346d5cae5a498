import json

import pytest
from runs_on_disk import write_run

from hf_lesion.errors import InputError
from hf_lesion.evaluation import comparison


def test_records_of_several_splits_are_kept_and_one_model_cannot_be_compared(tmp_path):
    comparison.write_comparison(tmp_path, "validation", {"pairs": []})
    comparison.write_comparison(tmp_path, "test", {"pairs": [1]})
    found = {"validation": {"pairs": []}, "test": {"pairs": [1]}}
    assert comparison.read_comparison(tmp_path) == found
    with pytest.raises(InputError, match=r"holds 0 models; a comparison needs two or more\.$"):
        comparison.find_models(tmp_path / "none")
    (tmp_path / comparison.RECORD).write_text("no json")
    with pytest.raises(InputError, match=r"comparison\.json .* compare again\."):
        comparison.read_comparison(tmp_path)


def test_a_run_is_told_by_what_it_changed_and_what_came_of_it(tmp_path):
    first = write_run(tmp_path / "plain", right=0.5)
    other = write_run(tmp_path / "strong", right=0.8, augmentation="strong", seed=7)
    found = comparison.compare_runs(first, [first, other])
    plain, strong = found["runs"]
    assert (plain["name"], plain["changed"]) == ("plain", {})
    assert strong["changed"] == {"augmentation": "strong"}
    difference, low, high = strong["differences"]["balanced_accuracy"]
    expected = strong["metrics"]["balanced_accuracy"] - plain["metrics"]["balanced_accuracy"]
    assert difference == pytest.approx(expected)
    assert 0 < low < difference < high
    table = comparison.render_comparisons([json.loads(json.dumps(found))])
    lines = table.splitlines()
    assert lines[4].startswith("| `strong` | augmentation strong | 0.800 [")  # the best first
    assert f"| {difference:+.3f} [{low:+.3f}, {high:+.3f}] |" in lines[4]
    assert lines[4].endswith("| 7 | 0.25 |")
    assert lines[0].startswith("`resnet18`, 128 px, 2 epochs; reference `plain`: ")
    assert "(140 images)" in lines[0]


def test_runs_on_other_images_or_without_predictions_are_not_compared(tmp_path):
    first = write_run(tmp_path / "a", right=0.5)
    other = write_run(tmp_path / "b", right=0.5, images=70)
    with pytest.raises(InputError, match=r"on 70 images that are not the 140 of a: score both on "):
        comparison.compare_runs(first, [other])
    (first / "predictions_validation.csv").unlink()
    with pytest.raises(InputError, match=r"then run scripts/score\.py --model .* --split validat"):
        comparison.compare_runs(first, [])
