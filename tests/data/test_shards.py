import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from hf_lesion.data import shards
from hf_lesion.data.framing import Framing
from hf_lesion.data.shards import Item, build_features, read_item, write_split


@pytest.fixture
def items(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    made = []
    for number in range(25):
        path = folder / f"ISIC_{number:02d}.jpg"
        Image.new("RGB", (8, 6), (number * 10, 0, 0)).save(path)
        text = dict.fromkeys(shards.TEXT_COLUMNS)
        made.append(Item({**text, "image_id": path.stem, "dx": "nv", "age": 5.0}, path, None))
    return made


def test_shards_and_row_groups_are_bounded_and_keep_the_order(tmp_path, items, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 10)
    monkeypatch.setattr(shards, "ROWS_PER_GROUP", 4)
    done = []
    outcomes = list(write_split(tmp_path, "train", items, framing=Framing(), advance=done.append))
    assert [outcome.image_id for outcome in outcomes] == [f"ISIC_{n:02d}" for n in range(25)]
    assert sum(done) == 25
    names = [f"train-{shard:05d}-of-00003.parquet" for shard in range(3)]
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == names
    for name in names:
        parquet = pq.ParquetFile(tmp_path / name)
        groups = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
        assert parquet.metadata.num_rows in (8, 9)
        assert max(groups) == 4
    rows = load_dataset("parquet", data_files=[str(tmp_path / name) for name in names])["train"]
    assert rows["image_id"][:] == [f"ISIC_{n:02d}" for n in range(25)]
    assert rows.features == build_features()


def test_broken_files_become_problems(items):
    good = items[0]
    good.image_file.with_name("mask.png").write_bytes(b"no picture")
    masked = Item(good.metadata, good.image_file, good.image_file.with_name("mask.png"))
    outcome = read_item(masked, framing=Framing())
    assert outcome.row["mask"] is None
    assert (outcome.mask_problem, outcome.has_mask) == ("mask.png: not a picture", False)
    good.image_file.write_bytes(b"")
    assert read_item(good, framing=Framing()).image_problem == "ISIC_00.jpg: empty file"
