import csv
import hashlib

import pytest
from raised import refusal

from hf_lesion.data import checksums
from hf_lesion.data.checksums import check_originals, read_checksums


def test_every_image_and_mask_has_a_sum():
    sums = read_checksums()
    assert len(sums) == 2 * 10_015
    assert all(len(digest) == 64 and int(digest, 16) for digest in sums.values())
    # Published twice: the images of two lesions each, and one mask for two lesions.
    for first, second in (
        ("ISIC_0024366", "ISIC_0029861"),
        ("ISIC_0024777", "ISIC_0029938"),
        ("ISIC_0026042_segmentation", "ISIC_0029819_segmentation"),
    ):
        assert sums[first] == sums[second]
    assert len({*sums.values()}) == len(sums) - 3


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


@pytest.fixture
def files(tmp_path, monkeypatch):
    found = {stem: tmp_path / f"{stem}.jpg" for stem in ("ISIC_1", "ISIC_2", "ISIC_3")}
    for stem, file in found.items():
        file.write_text(stem)
    sums = {stem: hashlib.sha256(stem.encode()).hexdigest() for stem in found}
    monkeypatch.setattr(checksums, "read_checksums", lambda: sums)
    return found


def test_files_that_differ_or_were_never_published_are_named(files, tmp_path):
    check_originals(files)
    files["ISIC_2"].write_text("ISIC_3")
    (tmp_path / "new.jpg").write_text("x")
    assert refusal(check_originals, {**files, "ISIC_4": tmp_path / "new.jpg"}) == (
        "2 of 4 files differ from the published ones (SHA-256): ISIC_2, ISIC_4. Remove the "
        "archives that contain them and download them again from "
        "https://doi.org/10.7910/DVN/DBW86T."
    )
