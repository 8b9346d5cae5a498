import csv

import pytest

from hf_lesion.data.checksums import read_checksums


def test_every_image_and_mask_has_a_sum():
    sums = read_checksums()
    assert len(sums) == 2 * 10_015
    assert all(len(digest) == 64 and int(digest, 16) for digest in sums.values())


def test_the_list_is_that_of_the_data(pytestconfig):
    source = pytestconfig.rootpath.parent / "shared" / "data" / "HAM10000_sha256.csv"
    if not source.is_file():
        pytest.skip(f"{source} is absent")
    expected = {}
    with source.open() as stream:
        for row in csv.DictReader(stream):
            expected[row["image_id"]] = row["image_sha256"]
            expected[f"{row['image_id']}_segmentation"] = row["mask_sha256"]
    assert read_checksums() == expected
