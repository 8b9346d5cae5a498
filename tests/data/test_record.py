import pandas as pd

from hf_lesion.data.record import count_images, count_published, list_left_out
from hf_lesion.data.shards import Outcome
from hf_lesion.labels import CODES

COLUMNS = ["split", "lesion_id", "label", "has_mask", "copy"]
TABLE = pd.DataFrame(
    [
        ("train", "a", "nv", True, "sharp"),
        ("train", "a", "nv", True, "soft"),
        ("validation", "b", "mel", False, "soft"),
        ("test", "c", "df", True, "soft"),
        ("official_test", None, "nv", False, "soft"),
        ("official_test", "d", "bcc", False, "soft"),
    ],
    columns=COLUMNS,
)


def test_images_lesions_and_diagnoses_are_counted_per_split():
    counted = count_images(TABLE, with_copy=True)
    assert counted["images"] == {"train": 2, "validation": 1, "test": 1, "official_test": 2}
    assert counted["lesions"] == {"train": 1, "validation": 1, "test": 1, "official_test": 1}
    assert counted["counts"]["train"] == {**dict.fromkeys(CODES, 0), "nv": 2}
    assert counted["counts"]["official_test"] == {**dict.fromkeys(CODES, 0), "nv": 1, "bcc": 1}
    assert counted["copies"]["train"] == {"sharp": 1, "soft": 1}
    assert counted["without_mask"] == 3


def test_without_official_test_set_and_copies_neither_is_told():
    counted = count_images(TABLE[:4], with_copy=False)
    assert list(counted["images"]) == ["train", "validation", "test"]
    assert "copies" not in counted


def test_what_was_left_out_is_told_with_the_reason():
    outcomes = [
        Outcome("a", sha256="1"),
        Outcome("b", image_problem="b.jpg: empty file"),
        Outcome("c", sha256="3", mask_problem="c.png: not a picture"),
    ]
    assert list_left_out(["d", "e"], ["f"], iter(outcomes)) == {
        "count": 3,
        "no_file": ["d", "e"],
        "unreadable": {"b": "b.jpg: empty file"},
        "unreadable_masks": {"c": "c.png: not a picture"},
        "no_row": ["f"],
    }


def test_published_images_are_known_by_their_sum(monkeypatch):
    sums = {"a": "1", "b": "2"}
    monkeypatch.setattr("hf_lesion.data.record.read_checksums", lambda: sums)
    table = pd.DataFrame({"image_id": list("abc"), "sha256": list("193")})
    assert count_published(table) == 1
