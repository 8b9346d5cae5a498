import pyarrow.parquet as pq
from datasets import load_dataset
from PIL import Image

from hf_lesion.data import shards
from hf_lesion.data.resizing import Resize
from hf_lesion.data.shards import Item, build_features, write_split


def make_item(path):
    text = dict.fromkeys(shards.TEXT_COLUMNS)
    return Item({**text, "image_id": path.stem, "dx": "nv", "age": 5.0}, path, None)


def test_shards_and_row_groups_are_bounded_and_keep_the_order(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 10)
    monkeypatch.setattr(shards, "ROWS_PER_GROUP", 4)
    ids = [f"ISIC_{number:02d}" for number in range(25)]
    for image_id in ids:
        Image.new("RGB", (8, 6)).save(tmp_path / f"{image_id}.jpg")
    items = [make_item(tmp_path / f"{image_id}.jpg") for image_id in ids]
    done = []
    outcomes = list(write_split(tmp_path, "train", items, resize=Resize(), advance=done.append))
    assert [outcome.image_id for outcome in outcomes] == ids
    assert sum(done) == 25
    files = sorted(tmp_path.glob("*.parquet"))
    assert [file.name for file in files] == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    for file in files:
        metadata = pq.read_metadata(file)
        assert metadata.num_rows in (8, 9)
        assert max(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)) == 4
    rows = load_dataset("parquet", data_files=list(map(str, files)))["train"]
    assert rows["image_id"][:] == ids
    assert rows.features == build_features()
