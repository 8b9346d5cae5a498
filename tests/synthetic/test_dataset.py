from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from raised import refusal

from hf_lesion.labels import CODES
from hf_lesion.synthetic.dataset import plan_sample, write_sample

COLUMNS = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]


@pytest.fixture
def folder(sample_folder) -> Path:
    return sample_folder


def plan_frame(images, seed=0):
    return plan_sample(images, seed=seed)


def test_the_layout_is_that_of_the_original(folder):
    frame = pd.read_csv(folder / "HAM10000_metadata.csv")
    parts = [sorted((folder / f"HAM10000_images_part_{part}").iterdir()) for part in (1, 2)]
    assert sorted(each.name for each in folder.iterdir()) == [
        "HAM10000_images_part_1",
        "HAM10000_images_part_2",
        "HAM10000_metadata.csv",
        "HAM10000_segmentations_lesion_tschandl",
    ]
    assert list(frame.columns) == COLUMNS
    assert [len(part) for part in parts] == [42, 42]
    assert sorted(f.name for part in parts for f in part) == sorted(frame.image_id + ".jpg")
    assert frame.image_id.str.fullmatch(r"SYN_\d{7}").all()  # cannot be taken for real ones
    assert frame.lesion_id.str.fullmatch(r"SYNLESION_\d{7}").all()
    masks = sorted(f.name for f in (folder / "HAM10000_segmentations_lesion_tschandl").iterdir())
    assert masks == sorted(frame.image_id + "_segmentation.png")


def test_images_are_rgb_jpegs_and_masks_one_bit_pngs_of_the_same_size(folder):
    for path in folder.glob("HAM10000_images_part_?/*.jpg"):
        masks = folder / "HAM10000_segmentations_lesion_tschandl"
        with Image.open(path) as image, Image.open(masks / f"{path.stem}_segmentation.png") as mask:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (200, 150))
            assert (mask.format, mask.mode, mask.size) == ("PNG", "1", (200, 150))
            assert 0.005 < np.asarray(mask).mean() < 0.75


@pytest.mark.parametrize("images", [84, 85, 321])
def test_every_class_has_six_lesions_and_nevi_lead(images):
    for seed in range(3):
        frame = plan_frame(images, seed)
        lesions = frame.drop_duplicates("lesion_id").dx.value_counts()
        assert len(frame) == images
        assert sorted(lesions.index) == sorted(CODES)
        assert lesions.min() >= 6
        assert frame.dx.value_counts().index[0] == "nv"


def test_a_lesion_has_one_patient_and_nearly_half_the_images_share_a_lesion():
    frame = plan_frame(700)
    per_lesion = frame.groupby("lesion_id")
    for column in ("dx", "dx_type", "age", "sex", "localization", "dataset"):
        assert (per_lesion[column].nunique() == 1).all()
    sizes = frame.lesion_id.map(frame.lesion_id.value_counts())
    assert (sizes > 1).mean() == pytest.approx(0.45, abs=0.02)
    assert set(sizes) == {1, 2, 3}
    assert set(frame.dx_type) == {"histo", "follow_up", "consensus", "confocal"}
    assert set(frame.sex) == {"male", "female", "unknown"}
    ages = pd.to_numeric(frame.age)
    assert 0 < ages.isna().mean() < 0.06
    assert ages.dropna().isin(range(5, 90, 5)).all()


def test_the_order_says_nothing_about_the_diagnosis():
    frame = plan_frame(3000)
    for dx in CODES:
        places = np.flatnonzero(frame.dx == dx) / len(frame)
        # Mean of uniform places: 0.5, standard error 0.29 / √lesions; five of them allowed.
        lesions = frame.lesion_id[frame.dx == dx].nunique()
        assert abs(places.mean() - 0.5) < 5 * 0.29 / np.sqrt(lesions)


def test_a_negative_seed_and_an_existing_folder_are_refused(tmp_path):
    assert refusal(write_sample, tmp_path / "raw", 84, seed=-3) == (
        "The seed must be 0 or more, got -3."
    )
    (tmp_path / "notes.txt").write_text("mine")
    assert refusal(write_sample, tmp_path, 84) == (
        f"{tmp_path} already exists. Pass --overwrite to replace it, or another --output."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
