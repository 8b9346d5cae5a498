import json
from pathlib import Path

from runs_on_disk import write_run

from hf_lesion.evaluation.comparison import render_comparisons
from hf_lesion.io.markdown import fill_blocks

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare_runs.py"
CONFIGS = SCRIPT.parent / "configs"


def test_comparisons_are_kept_and_rendered(call, tmp_path):
    for name, right in (("a", 0.5), ("b", 0.7), ("c", 0.6)):
        write_run(tmp_path / name, right=right, mixup=right)
    kept, page = tmp_path / "tried.json", tmp_path / "page.md"
    page.write_text("# Tried\n<!-- tried: by a test -->\n<!-- /tried -->\n")
    for reference, run in (("a", "b"), ("c", "b"), ("a", "c")):
        words = ["--reference", tmp_path / reference, "--runs", tmp_path / run, "--json", kept]
        code, out, err = call(*words, "--markdown", page)
        assert code == 0, err
        assert f"`{run}` | mixup" in out
    found = json.loads(kept.read_text())
    assert [one["reference"] for one in found] == ["c", "a"]  # the second of a replaced its first
    assert [run["name"] for run in found[1]["runs"]] == ["a", "c"]
    assert page.read_text().count("| run | changed |") == 2


def test_what_is_missing_is_told(call):
    assert call() == (
        2,
        "",
        "error: Pass --reference DIR and --runs DIR …, or --json and --markdown.\n",
    )


def test_the_shipped_table_is_what_the_shipped_record_says():
    kept = json.loads((CONFIGS / "tried.json").read_text())
    text = (CONFIGS / "README.md").read_text()
    block = render_comparisons(kept)
    assert fill_blocks(text, {"tried": block}, source="README.md") == text
    assert any(len(one["runs"]) > 4 for one in kept)
