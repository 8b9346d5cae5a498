import itertools
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image
from prepared import draw_png, write_dataset
from raised import refusal

from hf_lesion.data import reader
from hf_lesion.data.build import prepare
from hf_lesion.data.reader import (
    check_rows,
    map_images,
    open_image,
    open_split,
    open_splits,
    read_rows,
    read_thumbnails,
)
from hf_lesion.data.record import PREPARE_HINT
from hf_lesion.eda.frame import read_frame
from hf_lesion.labels import CODES

AGAIN = "Prepare it again with scripts/prepare_data.py, or copy all files of one preparation."
TEST = "data/test-00000-of-00001.parquet"


@pytest.fixture
def copy(sample_dataset, tmp_path):
    return shutil.copytree(sample_dataset, tmp_path / "copy")


@pytest.fixture(scope="module")
def split_otherwise(sample_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader") / "other"
    prepare(sample_folder, folder, seed=1)
    return folder


@pytest.fixture
def other(split_otherwise, tmp_path):
    """The same images, split otherwise."""
    return shutil.copytree(split_otherwise, tmp_path / "other")


def ids_of(splits):
    return {split: rows["image_id"][:] for split, rows in splits.items()}


def test_splits_are_those_of_load_dataset(sample_dataset):
    found, expected = open_splits(sample_dataset), load_dataset(str(sample_dataset))
    assert list(found) == list(expected)
    assert ids_of(found) == ids_of(expected)
    for split, rows in expected.items():
        assert found[split].features == rows.features
        assert str(found[split].split) == split
    first, second = found["test"][3], expected["test"][3]
    assert first.pop("image").tobytes() == second.pop("image").tobytes()
    assert first.pop("mask").tobytes() == second.pop("mask").tobytes()
    assert first == second
    assert open_split(sample_dataset, "test")["image_id"][:] == expected["test"]["image_id"][:]


@pytest.mark.parametrize(
    ("name", "sibling"),
    [
        ("ham[1]", "ham1"),
        ("{ham,pig}", "pig"),
        ("hf:", "pig"),
    ],
)
def test_a_folder_of_any_name_is_that_folder(
    name, sibling, sample_dataset, other, tmp_path, monkeypatch
):
    other.rename(tmp_path / sibling)
    shutil.copytree(sample_dataset, tmp_path / name)
    (tmp_path / "link").symlink_to(tmp_path / name)
    (tmp_path / "away").mkdir()
    expected = ids_of(open_splits(sample_dataset))
    monkeypatch.chdir(tmp_path / "away")
    for folder in (f"../{name}", "../link"):
        assert ids_of(open_splits(Path(folder))) == expected
    monkeypatch.chdir(tmp_path)
    assert ids_of(open_splits(Path(name))) == expected
    rows = [(split, row["image_id"]) for split, row in read_rows(Path(name), ["image_id"])]
    assert rows == [(split, image_id) for split, ids in expected.items() for image_id in ids]


def test_a_folder_that_is_replaced_is_never_served_from_the_cache(
    sample_dataset, split_otherwise, tmp_path
):
    seen = []
    for folder in (sample_dataset, split_otherwise):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        shutil.copytree(folder, tmp_path / "out")
        seen.append(ids_of(open_splits(tmp_path / "out")))
    assert seen[0] == ids_of(open_splits(sample_dataset)) != seen[1]
    for image in (draw_png(1), draw_png(2)):
        shutil.rmtree(tmp_path / "small", ignore_errors=True)
        write_dataset(tmp_path / "small", labels=[0], images=[image])
        assert open_split(tmp_path / "small", "test")[0]["image"].tobytes() == (
            Image.open(BytesIO(image)).tobytes()
        )


def test_an_unknown_split_names_those_there(sample_dataset):
    assert refusal(open_split, sample_dataset, "tets") == (
        f"{sample_dataset} has no split 'tets'. Pass one of its splits as --split: train, "
        "validation, test."
    )


def test_files_of_another_preparation_are_found_out(copy, other):
    shutil.copyfile(other / TEST, copy / TEST)
    record = json.loads((copy / "prepared.json").read_text())
    count = pq.read_metadata(copy / TEST).num_rows
    found = f"it has {count} rows of test instead of {record['images']['test']}"
    assert refusal(open_splits, copy) == (
        f"{copy} does not match its prepared.json: {found}. {AGAIN}"
    )
    (copy / TEST).unlink()
    for function in (check_rows, read_frame):
        assert "it has 0 rows of test instead of" in refusal(function, copy)
    shutil.copyfile(other / TEST, copy / TEST)
    record["images"]["test"] = count
    (copy / "prepared.json").write_text(json.dumps(record))
    assert refusal(open_splits, copy) == (
        f"{copy} does not match its prepared.json: the fingerprint of its images differs. {AGAIN}"
    )


def test_many_who_open_a_dataset_at_once_unpack_it_once(tmp_path, monkeypatch):
    labels = list(range(7)) * 30
    images = [draw_png(seed) for seed in range(1000, 1000 + len(labels))]
    write_dataset(tmp_path / "new", labels=labels, images=images)
    unpacked = []
    copy_rows = reader._copy_rows

    def watched(*arguments):
        unpacked.append(arguments)
        return copy_rows(*arguments)

    monkeypatch.setattr(reader, "_copy_rows", watched)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(open_splits, itertools.repeat(tmp_path / "new", 6)))
    assert {len(splits["test"]) for splits in found} == {len(labels)}
    assert len(unpacked) == 1


def test_a_damaged_cache_is_said(tmp_path, monkeypatch):
    write_dataset(tmp_path / "new", labels=[3], images=[draw_png(77)])
    monkeypatch.setattr(reader.datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    open_splits(tmp_path / "new")
    (file,) = (tmp_path / "cache").rglob("test.arrow")
    file.write_bytes(file.read_bytes()[:100])
    assert re.fullmatch(
        f"The cached dataset {re.escape(str(file.parent))} is damaged: .*Delete it.",
        refusal(open_splits, tmp_path / "new"),
    )


def test_columns_that_are_absent_labels_that_differ_and_damage_are_said(tmp_path):
    folder = write_dataset(tmp_path / "no_id", leave_out=["image_id"])
    lacking = f"{folder / TEST} lacks the columns image_id. {PREPARE_HINT}"
    assert refusal(open_splits, folder) == lacking
    assert refusal(list, read_rows(folder, ["image_id"])) == lacking
    path = folder / TEST
    path.write_bytes(path.read_bytes()[:-100])
    message = refusal(list, read_rows(folder, ["image"]))
    assert message.startswith(f"{path} cannot be read as Parquet: ")
    assert message.endswith(PREPARE_HINT)
    folder = write_dataset(tmp_path / "swapped", names=("bcc", "akiec", *CODES[2:]))
    assert refusal(open_splits, folder) == (
        f"Expected the labels akiec, bcc, bkl, df, mel, nv, vasc; {folder} has bcc, akiec, bkl, "
        f"df, mel, nv, vasc. {PREPARE_HINT}"
    )


def test_wanted_images_are_read_in_one_pass(sample_dataset):
    rows = list(read_rows(sample_dataset, ["image", "image_id"]))
    sizes = map_images(sample_dataset, {2, 70}, lambda image: image.tobytes(), "Reading")
    assert sizes == {number: open_image(rows[number][1]).tobytes() for number in (2, 70)}
    assert map_images(sample_dataset, set(), lambda image: image, "Reading") == {}
    (small,) = read_thumbnails(sample_dataset, [5], size=(40, 30)).values()
    assert (small.size, small.mode) == ((40, 30), "RGB")


def test_image_that_does_not_decode_is_named():
    assert refusal(open_image, {"image_id": "ISIC_1", "image": {"bytes": b""}}) == (
        "ISIC_1: The image can't be read as an image (UnidentifiedImageError): the file is damaged "
        "or not an image. Pass a JPEG or PNG. Prepare the dataset again."
    )
