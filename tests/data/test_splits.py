from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from raised import refusal

from hf_lesion.data.metadata import parse_metadata
from hf_lesion.data.splits import (
    FRACTIONS,
    SPLITS,
    apply_splits,
    check_splits,
    choose_subset,
    read_splits,
    split_by_lesion,
)
from hf_lesion.labels import CODES


def draw_frame(lesions_of, seed=0):
    """Images of lesions: one to three each, in an order that mixes lesions and diagnoses."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"{dx}_{lesion}", f"{dx}_{lesion}_{image}", dx)
        for dx, lesions in lesions_of.items()
        for lesion in range(lesions)
        for image in range(rng.integers(1, 4))
    ]
    frame = pd.DataFrame(rows, columns=["lesion_id", "image_id", "dx"])
    return frame.sample(frac=1, random_state=seed)


@pytest.fixture(scope="module")
def frame():
    return draw_frame(dict(zip(CODES, (30, 40, 60, 12, 80, 400, 20), strict=True)))


def test_no_lesion_crosses_and_every_image_has_a_split(frame):
    splits = split_by_lesion(frame, seed=3)
    assert splits.index.equals(frame.index)
    assert set(splits) == set(SPLITS)
    assert (splits.groupby(frame["lesion_id"]).nunique() == 1).all()


@pytest.mark.parametrize("fractions", [FRACTIONS, (0.5, 0.2, 0.3)])
def test_fractions_hold_for_the_lesions_of_each_diagnosis(frame, fractions):
    splits = split_by_lesion(frame, fractions=fractions)
    lesions = frame.assign(split=splits).drop_duplicates("lesion_id")
    counts = pd.crosstab(lesions["dx"], lesions["split"])[list(SPLITS)]
    expected = counts.sum(axis=1).to_numpy()[:, None] * np.array(fractions)
    assert (counts - expected).abs().to_numpy().max() <= 1.5
    assert (counts.to_numpy() > 0).all()


def test_same_seed_same_split_whatever_the_order_of_rows(frame):
    first = split_by_lesion(frame, seed=1)
    shuffled = frame.sample(frac=1, random_state=9)
    assert split_by_lesion(shuffled, seed=1).sort_index().equals(first.sort_index())
    assert not split_by_lesion(frame, seed=2).equals(first)


def test_too_few_lesions():
    assert refusal(split_by_lesion, draw_frame({"nv": 100, "mel": 50, "df": 3})) == (
        "Too few lesions to split each diagnosis into train, validation and test by 0.7 0.15 0.15: "
        "df 3. Expected about 8 lesions of each diagnosis: add images or pass other --fractions."
    )
    for seed in range(6):  # six are enough
        frame = draw_frame(dict.fromkeys(CODES, 8), seed)
        table = pd.crosstab(frame["dx"], split_by_lesion(frame, seed=seed))
        assert (table.to_numpy() > 0).all()


@pytest.mark.parametrize(
    ("fractions", "shown"),
    [
        ((0.7, 0.2, 0.2), "0.7 0.2 0.2"),
        ((0.8, 0.2, 0.0), "0.8 0.2 0"),
    ],
)
def test_fractions_out_of_range(frame, fractions, shown):
    assert refusal(split_by_lesion, frame, fractions=fractions) == (
        f"Expected fractions of train, validation and test between 0 and 1 with sum 1; got {shown}."
    )


def test_seed_out_of_range(frame):
    message = "Expected a seed from 0 to 4294967295; got -1."
    assert refusal(split_by_lesion, frame, seed=-1) == message


def test_subsets_are_all_images_or_the_first_of_each_lesion_or_single_ones(frame):
    assert choose_subset(frame, "all").equals(frame)
    first = choose_subset(frame, "one-per-lesion").set_index("lesion_id")["image_id"]
    assert first.sort_index().equals(frame.groupby("lesion_id")["image_id"].min())
    counts = frame["lesion_id"].value_counts()
    single = choose_subset(frame, "single-image")["lesion_id"]
    assert sorted(single) == sorted(counts.index[counts == 1])


def test_a_published_split_is_taken_back_whatever_the_order(frame, tmp_path):
    splits = split_by_lesion(frame, seed=5)
    text = frame.assign(split=splits).to_csv(index=False)
    text += "x,ISIC_9,nv,official_test\n"
    (tmp_path / "a.csv").write_text(text)
    shuffled = frame.sample(frac=1, random_state=2)
    taken = apply_splits(shuffled, read_splits(tmp_path / "a.csv"), name="a")
    assert taken.sort_index().equals(splits.sort_index())


PUBLISHED = "image_id,split\na,train\nb,train\nc,test\n"


@pytest.fixture
def published_error(tmp_path, monkeypatch):
    def error(text, images="abc", lesions="112"):
        frame = pd.DataFrame({"image_id": list(images), "lesion_id": list(lesions)})
        (tmp_path / "s.csv").write_text(text)
        return refusal(lambda: apply_splits(frame, read_splits(Path("s.csv")), name="s.csv"))

    monkeypatch.chdir(tmp_path)
    return error


def test_a_published_split_of_other_images_or_torn_lesions_is_refused(published_error):
    hint = "Pass the source and the --subset that the split was made from."
    assert published_error(PUBLISHED, "abcdefghi", "123456789") == (
        f"6 images have no split in s.csv: d, e, f, g, h, …. {hint}"
    )
    assert published_error(PUBLISHED, "ab", "12") == (
        f"1 images of s.csv are not in the source: c. {hint}"
    )
    assert published_error(PUBLISHED, lesions="122").startswith(
        "s.csv has 1 lesions in more than one split: 2. Assign all images of a lesion to the same "
    )
    assert published_error(PUBLISHED.replace("test", "holdout")) == (
        "s.csv has 1 unknown splits: holdout. Expected one of train, validation, test."
    )


def test_every_diagnosis_is_in_every_split_but_the_official_one():
    rows = [("train", "nv"), ("train", "df"), ("test", "nv"), ("official_test", "mel")]
    table = pd.DataFrame(rows, columns=["split", "label"])
    assert refusal(check_splits, table, ["train", "test", "official_test"]) == (
        "1 diagnoses have no image in a split: df in test. Pass a source with more images, another "
        "--seed or other --fractions."
    )
    check_splits(table.drop(index=1), ["train", "test", "official_test"])
    assert refusal(check_splits, table, ["train", "validation", "test"]) == (
        "No images remain for validation. Pass a source with more images."
    )


@pytest.mark.real_data
def test_real_lesions_are_split_as_asked(pytestconfig):
    source = pytestconfig.rootpath.parent / "shared" / "data" / "HAM10000"
    frame = parse_metadata((source / "HAM10000_metadata.csv").open("rb"))
    assert len(choose_subset(frame, "single-image")) == 5_514
    assert len(choose_subset(frame, "one-per-lesion")) == 7_470
    frame["split"] = split_by_lesion(frame)
    assert (frame.groupby("lesion_id")["split"].nunique() == 1).all()
    assert frame.drop_duplicates("lesion_id")["split"].value_counts()[list(SPLITS)].to_list() == [
        *(5230, 1120, 1120)
    ]
