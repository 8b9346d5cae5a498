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
    outcomes = list(write_split(tmp_path, "train", items, resize=Resize(), advance=done.append))
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


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_any_mode_is_stored_as_the_projects_decoder_shows_it(mode, items):
    path = items[0].image_file.with_suffix(".tif" if mode == "CMYK" else ".png")
    source = Image.new("RGB", (40, 30), (200, 120, 90))
    if mode == "I;16":
        wide = np.asarray(source.convert("L"), dtype=np.uint16) * 257
        Image.fromarray(wide).save(path)
    elif mode == "P":
        source.quantize(4).save(path)
    else:
        source.convert(mode, dither=Image.Dither.NONE).save(path)
    item = Item(items[0].metadata, path, None)
    outcome = read_item(item, resize=Resize(20, centre_crop=True))
    stored = Image.open(io.BytesIO(outcome.row["image"]["bytes"]))
    assert (stored.mode, stored.size, stored.format) == ("RGB", (20, 20), "JPEG")
    assert outcome.row["image"]["path"] == f"{items[0].metadata['image_id']}.jpg"
    expected = load_image(path).getpixel((5, 5))
    assert stored.getpixel((5, 5)) == pytest.approx(expected, abs=3)


def test_broken_files_become_problems(items):
    good = items[0]
    good.image_file.with_name("mask.png").write_bytes(b"no image")
    masked = Item(good.metadata, good.image_file, good.image_file.with_name("mask.png"))
    outcome = read_item(masked, resize=Resize())
    assert outcome.row["mask"] is None
    assert (outcome.mask_problem, outcome.has_mask) == ("mask.png: not an image", False)
    good.image_file.write_bytes(b"")
    assert read_item(good, resize=Resize()).image_problem == "ISIC_00.jpg: empty file"
