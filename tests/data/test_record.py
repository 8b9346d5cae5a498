import pandas as pd

from hf_lesion.data.record import count_images, describe_images, get_description, list_left_out
from hf_lesion.data.shards import Outcome
from hf_lesion.labels import CODES

COLUMNS = ["image_id", "split", "lesion_id", "label", "has_mask", "sha256", "was_enlarged"]
TABLE = pd.DataFrame(
    [
        ("1", "train", "a", "nv", True, "i", False),
        ("2", "train", "a", "nv", True, "j", True),
        ("3", "validation", "b", "mel", False, "k", False),
        ("4", "test", "c", "df", True, "l", False),
        ("5", "official_test", None, "nv", False, "m", False),
        ("6", "official_test", "d", "bcc", False, "n", False),
    ],
    columns=COLUMNS,
)


def test_images_lesions_and_diagnoses_are_counted_per_split(monkeypatch):
    sums = {"1": "i", "2": "other", "3": "k"}
    monkeypatch.setattr("hf_lesion.data.record.read_checksums", lambda: sums)
    counted = count_images(TABLE)
    assert counted["images"] == {"train": 2, "validation": 1, "test": 1, "official_test": 2}
    assert counted["lesions"] == {"train": 1, "validation": 1, "test": 1, "official_test": 1}
    assert counted["counts"]["train"] == {**dict.fromkeys(CODES, 0), "nv": 2}
    assert counted["counts"]["official_test"] == {**dict.fromkeys(CODES, 0), "nv": 1, "bcc": 1}
    assert (counted["without_mask"], counted["published"], counted["enlarged"]) == (3, 2, 1)
    assert list(count_images(TABLE[:4])["images"]) == ["train", "validation", "test"]


def test_the_official_test_set_is_described_apart():
    shown = {"width": [200] * 4 + [600] * 2, "height": [150] * 4 + [450] * 2, "spread": None}
    record = describe_images(TABLE.assign(**shown, was_cut=False))
    own, official = (get_description(record, split) for split in ("validation", "official_test"))
    assert own == "4 images in the layout of HAM10000, 200×150 px, whole frame (4:3)"
    assert official == (
        "official ISIC 2018 Task 3 test set, 2 images, 600×450 px, whole frame (4:3)"
    )
    assert "official_test" not in describe_images(
        TABLE[:4].assign(
            **{name: list(values)[:4] if values else None for name, values in shown.items()},
            was_cut=False,
        )
    )
    assert get_description({}, "test") is get_description({}, "official_test") is None


def test_what_was_left_out_is_told_with_the_reason():
    outcomes = [
        Outcome("a", sha256="1"),
        Outcome("b", image_problem="b.jpg: empty file"),
        Outcome("c", sha256="3", mask_problem="c.png: not an image"),
    ]
    assert list_left_out(["d", "e"], ["f"], iter(outcomes), unscored=["g"]) == {
        "count": 3,
        "no_file": ["d", "e"],
        "unreadable": {"b": "b.jpg: empty file"},
        "unreadable_masks": {"c": "c.png: not an image"},
        "no_row": ["f"],
        "unscored": ["g"],
    }
