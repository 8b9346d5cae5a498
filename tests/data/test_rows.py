import re
import shutil

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from hf_lesion.data.rows import (
    count_rows,
    list_shards,
    open_image,
    read_each,
    read_rows,
    read_thumbnails,
)
from hf_lesion.errors import InputError

HINT = "Prepare one with: python scripts/prepare_data.py --source HAM10000 --output data/ham10000"


@pytest.fixture
def copy(sample_dataset, tmp_path):
    return shutil.copytree(sample_dataset, tmp_path / "copy")


def test_rows_are_those_of_load_dataset_in_its_order(sample_dataset):
    found = list(read_rows(sample_dataset, ["image_id", "label", "age"]))
    loaded = load_dataset(str(sample_dataset))
    expected = [
        (split, {"image_id": row["image_id"], "label": row["label"], "age": row["age"]})
        for split, part in loaded.items()
        for row in part.select_columns(["image_id", "label", "age"])
    ]
    assert found == expected
    assert count_rows(sample_dataset) == len(found) == sum(loaded.num_rows.values())


def test_more_splits_come_after_the_three(copy):
    shutil.copy(
        copy / "data" / "test-00000-of-00001.parquet",
        copy / "data" / "official_test-00000-of-00001.parquet",
    )
    assert list(list_shards(copy)) == ["train", "validation", "test", "official_test"]


def test_wanted_images_are_read_in_one_pass(sample_dataset):
    rows = list(read_rows(sample_dataset, ["image", "image_id"]))
    sizes = read_each(sample_dataset, {2, 70}, lambda image: image.tobytes(), "Reading")
    assert sizes == {number: open_image(rows[number][1]).tobytes() for number in (2, 70)}
    assert read_each(sample_dataset, set(), lambda image: image, "Reading") == {}
    (small,) = read_thumbnails(sample_dataset, [5], size=(40, 30)).values()
    assert (small.size, small.mode) == ((40, 30), "RGB")


def test_folder_that_is_no_dataset(tmp_path):
    with pytest.raises(InputError, match=re.escape(f"{tmp_path} is no prepared dataset")):
        list_shards(tmp_path)


def test_split_without_file(copy):
    (copy / "data" / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(InputError) as caught:
        list(read_rows(copy, ["image_id"]))
    assert str(caught.value) == f"{copy} holds no Parquet file for test. {HINT}"


def test_damaged_shard_is_named(copy):
    path = copy / "data" / "test-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError) as caught:
        list(read_rows(copy, ["image_id"]))
    text = str(caught.value)
    assert text.startswith(f"{path} cannot be read as Parquet: ")
    assert text.endswith(HINT)


def test_lacking_column_is_named(copy):
    path = copy / "data" / "test-00000-of-00001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["age", "sex"]), path)
    with pytest.raises(InputError) as caught:
        list(read_rows(copy, ["image_id", "age", "sex"]))
    assert str(caught.value) == f"{path} lacks the columns age, sex. {HINT}"


def test_image_that_does_not_decode_is_named():
    with pytest.raises(InputError) as caught:
        open_image({"image_id": "ISIC_1", "image": {"bytes": b""}})
    assert str(caught.value) == (
        "The image of ISIC_1 cannot be read: empty file. Prepare the dataset again."
    )
    assert Image.MAX_IMAGE_PIXELS  # the bomb guard that decode_picture relies on is on
