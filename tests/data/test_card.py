import yaml

from hf_lesion.data.card import build_card
from hf_lesion.data.splits import SPLITS
from hf_lesion.labels import CODES, NOTICE

RECORD = {
    "fingerprint": "ab12",
    "content": "cd34",
    "images": {"train": 1400, "validation": 70, "test": 77},
    "lesions": {"train": 700, "validation": 35, "test": 42},
    "counts": {
        split: dict.fromkeys(CODES, count)
        for split, count in zip(SPLITS, (200, 10, 11), strict=True)
    },
    "without_mask": 3,
    "left_out": {"count": 12},
    "seed": 5,
    "fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
    "split_file": None,
    "subset": "all",
    "published": 1000,
}


def test_front_matter_names_licence_and_files():
    _, front, _ = build_card(RECORD).split("---\n", 2)
    found = yaml.safe_load(front)
    assert (found["license"], found["size_categories"]) == ("cc-by-nc-4.0", ["1K<n<10K"])
    files = found["configs"][0]["data_files"]
    assert files == [{"split": name, "path": f"data/{name}-*.parquet"} for name in SPLITS]


def test_the_contents_are_listed():
    text = build_card(RECORD)
    for part in (
        "| Melanoma (`mel`) | 200 | 10 | 11 | 221 |",
        "| **lesions** | 700 | 35 | 42 | 777 |",
        "12 images in the metadata were left out",
        "(seed 5)",
        "train 0.8, validation 0.1, test 0.1.\n  `splits.csv`",
        "1,000 of the images are byte for byte the published 600×450 files",
        "`ab12`",
        NOTICE,
    ):
        assert part in text
    assert "one image of each lesion" not in text


def test_what_was_done_to_the_images_is_told():
    assert "- `image`: the original file, never re-encoded. `mask`" in build_card(RECORD)
    framing = {
        "image_size": 256,
        "centre_crop": True,
        "images": "JPEG, quality 75, lanczos resampling",
        "masks": "PNG of 1 bit, nearest pixel",
    }
    described = "HAM10000, all 10,015 images, 256×256 px, centre square of the frame"
    text = build_card({**RECORD, "framing": framing, "enlarged": 3, "description": described})
    assert f"of hf_lesion: {described}.\n" in text
    assert (
        "- `image`: cropped to the centre square and resized to 256 pixels on the shorter side "
        "(JPEG, quality 75, lanczos resampling; masks likewise: PNG of 1 bit, nearest pixel); 3 of "
        "them were enlarged. `mask`"
    ) in text
    whole = build_card({**RECORD, "framing": {**framing, "centre_crop": False}, "enlarged": 0})
    assert "- `image`: resized to 256 pixels on the shorter side (JPEG" in whole
    assert "enlarged" not in whole


def test_a_published_split_a_subset_and_the_official_test_set_are_told():
    published = {"seed": None, "fractions": None, "split_file": "theirs/splits.csv"}
    more = {
        "images": {**RECORD["images"], "official_test": 14},
        "lesions": {**RECORD["lesions"], "official_test": 0},
        "counts": {**RECORD["counts"], "official_test": dict.fromkeys(CODES, 2)},
    }
    text = build_card({**RECORD, **published, **more, "subset": "one-per-lesion"})
    assert "in the same split, as listed in `theirs/splits.csv`." in text
    assert "Only one image of each lesion is included: the one with the first image_id." in text
    assert "path: data/official_test-*.parquet\n" in text
    assert "| Melanoma (`mel`) | 200 | 10 | 11 | 2 | 223 |" in text
    assert "`official_test` is the complete test set of the ISIC 2018 challenge" in text
    single = build_card({**RECORD, "subset": "single-image"})
    assert "Only lesions with a single image are included." in single
    assert "official_test" not in single
