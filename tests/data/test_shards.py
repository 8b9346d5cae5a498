import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from hf_lesion.data import shards
from hf_lesion.data.resizing import Resize
from hf_lesion.data.shards import Item, build_features, read_item, write_split
from hf_lesion.io.decoding import load_image


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


@pytest.mark.parametrize("mode", ["LA", "P", "CMYK", "I;16"])
def test_a_resized_image_of_any_mode_is_stored_as_the_decoder_shows_it(mode, tmp_path):
    path = tmp_path / "ISIC_1.tif"
    source = Image.new("RGB", (40, 30), (200, 120, 90))
    if mode == "I;16":
        source = Image.fromarray(np.asarray(source.convert("L"), dtype=np.uint16) * 257)
    else:
        source = source.quantize(4) if mode == "P" else source.convert(mode)
    source.save(path)
    row = read_item(make_item(path), resize=Resize(20, centre_crop=True)).row
    stored = Image.open(io.BytesIO(row["image"]["bytes"]))
    assert (stored.mode, stored.size, stored.format) == ("RGB", (20, 20), "JPEG")
    assert row["image"]["path"] == "ISIC_1.jpg"
    assert stored.getpixel((5, 5)) == pytest.approx(load_image(path).getpixel((5, 5)), abs=3)
