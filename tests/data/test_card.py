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
    assert yaml.safe_load(front) == {
        "pretty_name": "HAM10000, prepared",
        "license": "cc-by-nc-4.0",
        "task_categories": ["image-classification"],
        "tags": ["medical", "dermatology", "dermoscopy", "HAM10000"],
        "size_categories": ["1K<n<10K"],
        "configs": [
            {
                "config_name": "default",
                "description": "Content cd34",
                "data_files": [
                    {"split": "train", "path": "data/train-*.parquet"},
                    {"split": "validation", "path": "data/validation-*.parquet"},
                    {"split": "test", "path": "data/test-*.parquet"},
                ],
            }
        ],
    }


def test_text_tells_what_is_in_it():
    text = build_card(RECORD)
    assert "| Melanoma (`mel`) | 200 | 10 | 11 | 221 |" in text
    assert "| **images** | 1,400 | 70 | 77 | 1,547 |" in text
    assert "| **lesions** | 700 | 35 | 42 | 777 |" in text
    assert "12 images in the metadata were left out" in text
    assert "(seed 5)" in text
    assert "train 0.8, validation 0.1, test 0.1.\n  `splits.csv`" in text
    assert "doi:10.7910/DVN/DBW86T" in text
    assert NOTICE in text
    assert "`ab12`" in text
    assert "1,000 of the images are byte for byte the published 600×450 files" in text
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


def test_a_published_split_and_a_subset_are_told():
    published = {"seed": None, "fractions": None, "split_file": "theirs/splits.csv"}
    text = build_card({**RECORD, **published, "subset": "one-per-lesion"})
    assert "in the same split, as listed in `theirs/splits.csv`." in text
    assert "Only one image of each lesion is included: the one with the first image_id." in text
    single = build_card({**RECORD, "subset": "single-image"})
    assert "Only lesions with a single image are included." in single


def test_the_official_test_set_is_a_split_of_its_own():
    assert "official_test" not in build_card(RECORD)
    more = {
        "images": {**RECORD["images"], "official_test": 14},
        "lesions": {**RECORD["lesions"], "official_test": 0},
        "counts": {**RECORD["counts"], "official_test": dict.fromkeys(CODES, 2)},
    }
    text = build_card({**RECORD, **more})
    _, front, _ = text.split("---\n", 2)
    files = yaml.safe_load(front)["configs"][0]["data_files"]
    assert files[-1] == {"split": "official_test", "path": "data/official_test-*.parquet"}
    assert "| Melanoma (`mel`) | 200 | 10 | 11 | 2 | 223 |" in text
    assert "`official_test` is the complete test set of the ISIC 2018 challenge" in text
