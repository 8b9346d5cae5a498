import json
import runpy
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_lesion.data import leakage
from hf_lesion.data.reader import open_image
from hf_lesion.data.record import read_fingerprint

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "audit_splits.py"
TRAIN, TEST = "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"


@pytest.fixture
def leaky(sample_dataset, tmp_path):
    """A dataset whose test split holds an image, a lesion and a mirrored image of train."""
    folder = shutil.copytree(sample_dataset, tmp_path / "leaky")
    train, test = (pq.read_table(folder / path) for path in (TRAIN, TEST))
    known, rows = train.to_pylist(), test.to_pylist()
    rows[0]["image"] = known[0]["image"]
    rows[1]["lesion_id"] = known[1]["lesion_id"]
    path = tmp_path / "mirrored.jpg"
    open_image(known[-1]).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path, quality=80)
    rows[2]["image"] = {"bytes": path.read_bytes(), "path": "x.jpg"}
    pq.write_table(pa.Table.from_pylist(rows, schema=test.schema), folder / TEST)
    return folder, known[-1]["image_id"], rows[2]["image_id"]


def test_clean_splits_pass(call, sample_dataset, tmp_path):
    sheet = tmp_path / "reports" / "private" / "near_duplicates.png"
    sheet.parent.mkdir(parents=True)
    sheet.write_bytes(b"of an earlier run")
    code, out, err = call("--dataset", sample_dataset)
    assert not sheet.exists()
    assert (code, err) == (0, "")
    assert out.splitlines()[2].split("  ")[0] == "splits"
    table = [line.split() for line in out.splitlines() if " / " in line]
    assert [row[:3] for row in table] == [
        ["train", "/", "validation"],
        ["train", "/", "test"],
        ["validation", "/", "test"],
    ]
    assert all(row[3:5] == ["0", "0"] for row in table)
    assert "\nNo lesion and no identical image is in two splits.\n" in out
    record = json.loads((tmp_path / "reports" / "leakage.json").read_text())
    assert record["leaks"] is False
    assert record["fingerprint"] == read_fingerprint(sample_dataset)
    assert record["provenance"]["command"].startswith("audit_splits.py --dataset")


def test_leaks_fail_and_near_duplicates_are_shown(call, leaky, tmp_path):
    folder, first, second = leaky
    code, out, err = call("--dataset", folder)
    assert (code, err) == (1, "")
    (row,) = [line.split() for line in out.splitlines() if line.startswith("train / test")]
    assert row[3:6] == ["1", "1", "1"]
    assert f"  {first} (train, " in out
    assert f"and {second} (test, " in out
    assert "mirrored" in out
    assert "\nNote: the files have changed since prepare_data.py wrote them.\n" in out
    assert "\nLEAK: a lesion or an identical image is in two splits.\n" in out
    sheet = tmp_path / "reports" / "private" / "near_duplicates.png"
    with Image.open(sheet) as image:
        assert image.width > 300
    record = json.loads((tmp_path / "reports" / "leakage.json").read_text())
    assert record["near_duplicates"][0]["image_id"] == [first, second]


@pytest.mark.parametrize("scheme", ["image-level", "copied-rows"])
def test_other_ways_to_split_fail_with_their_share(call, sample_dataset, scheme, tmp_path):
    code, out, err = call("--dataset", sample_dataset, "--as", scheme, "--output", "out")
    assert (code, err) == (1, "")
    record = json.loads((tmp_path / "out" / f"leakage_{scheme}.json").read_text())
    seen = record["test_rows_seen"]
    assert (
        f"Test rows whose lesion or identical image is in train: {seen['seen']} of {seen['rows']} "
        f"({seen['share']:.1%}); over 20 draws " in out
    )
    assert ("both other copies" in out) == (scheme == "copied-rows")
    assert record["scheme"]["name"] == scheme
    assert record["near_duplicates"] is None
    assert record["leaks"] is True


def test_what_is_wrong_is_one_line(refusal, sample_dataset, tmp_path):
    absent = tmp_path / "none"
    assert refusal("--dataset", absent).startswith(f"error: Dataset folder {absent} not found. ")
    options = ("--dataset", sample_dataset, "--as", "image-level", "--test_fraction", 2)
    assert refusal(*options) == "error: Expected a test fraction between 0 and 1; got 2."
    module = runpy.run_path(str(SCRIPT), run_name="script")
    assert set(module["SCHEMES"]) == set(leakage.SCHEMES)
