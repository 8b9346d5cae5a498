import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "explore_data.py"


def test_charts_page_and_samples_are_written_apart(call, sample_dataset, tmp_path):
    code, out, err = call("--dataset", sample_dataset, "--output", "reports/data", "--samples", 2)
    assert (code, err) == (0, "")
    names = {path.name for path in (tmp_path / "reports" / "data").iterdir()}
    assert {"index.html", "summary.json", "classes.png", "masks.svg", "missing.png"} <= names
    assert not [name for name in names if "sample" in name or name.startswith(".")]
    private = tmp_path / "reports" / "private"
    assert {path.name for path in private.iterdir()} == {"samples.png", "data.html"}
    with Image.open(private / "samples.png") as image:
        assert image.height > image.width  # seven rows of two
    public = (tmp_path / "reports" / "data" / "index.html").read_text(encoding="utf-8")
    assert 'id="samples"' not in public
    assert "image/png" not in public
    assert 'id="samples"' in (private / "data.html").read_text(encoding="utf-8")
    assert out.startswith("split  test  train  validation\n")
    assert (
        "Page: reports/data/index.html; charts as PNG and SVG, and summary.json, next to it" in out
    )


def test_dataset_without_masks_and_with_nulls_and_an_audit(call, refusal, sample_dataset, tmp_path):
    folder = shutil.copytree(sample_dataset, tmp_path / "bare")
    for path in (folder / "data").iterdir():
        table = pq.read_table(path)
        empty = ("mask", "age", "sex", "localization", "dataset", "dx_type")
        rows = [row | dict.fromkeys(empty) for row in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    audit = {"scheme": None, "leaks": False, "test_rows_seen": {"share": 0.0}, "fingerprint": "f"}
    (tmp_path / "leakage.json").write_text(json.dumps(audit))
    options = ["--audits", "leakage.json", "--summary", "counts.json", "--samples", 0]
    code, _, err = call("--dataset", folder, "--output", "out", *options)
    assert (code, err) == (0, "")
    assert not (tmp_path / "out" / "masks.png").exists()
    assert not (tmp_path / "reports").exists()
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["images"] == 84
    assert 'id="leakage"' in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    (tmp_path / "leakage.json").write_text("{}")
    err = refusal("--dataset", sample_dataset, *options)
    assert err.startswith("error: leakage.json is not the record of an audit. ")
    assert refusal("--dataset", tmp_path).startswith(f"error: {tmp_path} is not a prepared dataset")
    assert refusal("--dataset", sample_dataset, "--output", "counts.json") == (
        "error: File exists: counts.json"
    )
