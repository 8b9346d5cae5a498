import json
import shutil

import pytest
from datasets import load_dataset

from hf_lesion.errors import InputError
from hf_lesion.hub.checks import read_front_matter
from hf_lesion.hub.dataset import build_dataset_folder
from hf_lesion.io.checksums import check_manifest, list_files


@pytest.fixture
def built(tmp_path):
    folder = tmp_path / "built"
    folder.mkdir()
    return folder


def test_shards_splits_record_and_card_and_nothing_else(sample_dataset, built):
    build_dataset_folder(sample_dataset, built, name="me/ham10000")
    assert list_files(built) == [
        "README.md",
        "SHA256SUMS",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
        "prepared.json",
        "splits.csv",
    ]
    check_manifest(built)
    front = read_front_matter(built)
    assert front["license"] == "cc-by-nc-4.0"
    record = json.loads((sample_dataset / "prepared.json").read_text())
    assert [part["split"] for part in front["configs"][0]["data_files"]] == list(record["images"])
    card = (built / "README.md").read_text()
    assert 'load_dataset("me/ham10000")' in card
    assert "10.7910/DVN/DBW86T" in card
    assert "/" not in json.loads((built / "prepared.json").read_text())["source"]
    stream = load_dataset(str(built), streaming=True, split="test")
    assert next(iter(stream))["image"].size[0] > 0


def test_a_folder_may_have_any_name(sample_dataset, tmp_path):
    source = shutil.copytree(sample_dataset, tmp_path / "ham[1]")
    built = tmp_path / "built::{a,b}*"
    built.mkdir()
    build_dataset_folder(source, built, name="me/ham10000")
    check_manifest(built)


def test_folders_that_are_not_what_their_record_says_are_refused(sample_dataset, built, tmp_path):
    with pytest.raises(InputError, match=r"is not a prepared dataset: it has no prepared\.json"):
        build_dataset_folder(tmp_path, built, name="me/ham10000")
    source = shutil.copytree(sample_dataset, tmp_path / "source")
    record = json.loads((source / "prepared.json").read_text())
    record["counts"]["test"]["nv"] += 1
    record["counts"]["test"]["mel"] -= 1
    (source / "prepared.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"prepared\.json: test has other numbers of mel, nv\. Pr"):
        build_dataset_folder(source, built, name="me/ham10000")
    next((source / "data").glob("test-*")).unlink()
    shutil.rmtree(built / "data")
    with pytest.raises(InputError, match=r"its prepared\.json: it has 0 rows of test ins"):
        build_dataset_folder(source, built, name="me/ham10000")
