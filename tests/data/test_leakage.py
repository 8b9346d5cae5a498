import numpy as np
import pandas as pd
import pytest

from hf_lesion.data.leakage import (
    SCHEMES,
    compare_splits,
    count_seen,
    repeat_scheme,
    split_by_image,
    split_copied_rows,
)
from hf_lesion.data.metadata import parse_metadata
from hf_lesion.data.near_duplicates import NearDuplicate
from hf_lesion.errors import InputError


def table_of(*rows):
    """Return a frame of rows given as (image, lesion, content, split)."""
    frame = pd.DataFrame(rows, columns=["image_id", "lesion_id", "sha256", "split"])
    return frame.assign(label="nv")


def test_comparison_counts_each_thing_once():
    rows = table_of(
        ("a", "1", "x", "train"),
        ("b", "1", "y", "train"),
        ("c", "1", "y", "test"),
        ("d", "2", "y", "test"),
        ("e", "3", "z", "validation"),
    )
    near = [NearDuplicate(0, 4, 0, 9, 0.9), NearDuplicate(0, 1, 0, 9, 0.9)]
    found = {tuple(pair["splits"]): pair for pair in compare_splits(rows, near)}
    assert found["train", "test"] == {
        "splits": ["train", "test"],
        "lesions": ["1"],
        "identical": [["b", "c"]],
        "near_duplicates": 0,
    }
    assert found["train", "validation"]["near_duplicates"] == 1
    assert compare_splits(rows)[0]["near_duplicates"] is None


def test_unknown_lesions_are_never_the_same_one():
    rows = table_of(("a", None, "x", "train"), ("b", None, "y", "test"))
    (pair,) = compare_splits(rows)
    assert (pair["lesions"], pair["identical"]) == ([], [])
    assert count_seen(rows)["seen"] == 0
    assert (
        len(split_copied_rows(table_of(*[(str(n), str(n), "x", "test") for n in range(9)]))) == 27
    )
    with pytest.raises(InputError, match="Too few images"):
        split_copied_rows(rows)


def test_seen_rows_are_those_with_lesion_or_content_in_train():
    rows = table_of(
        ("a", "1", "x", "train"),
        ("b", "1", "y", "test"),  # lesion in train, all of it
        ("c", "2", "x", "test"),  # content in train
        ("d", "3", "z", "test"),  # not seen
        ("e", "4", "u", "train"),
        ("f", "4", "v", "test"),  # lesion in train, but not all others
        ("g", "4", "w", "validation"),
    )
    assert count_seen(rows) == {
        "rows": 4,
        "seen": 3,
        "share": 0.75,
        "all_others_seen": 1,
        "share_all_others": 0.25,
    }


@pytest.fixture(scope="module")
def many():
    """1,000 lesions with one image and 300 with two, prepared in three splits."""
    lesions = [*range(1000), *np.repeat(range(1000, 1300), 2)]
    rows = [(f"i{n}", f"l{x}", f"s{n}", "train") for n, x in enumerate(lesions)]
    frame = table_of(*rows)
    frame["split"] = np.resize(["train", "validation", "test"], len(frame))
    return frame


def test_image_level_split_leaks_as_chance_has_it(many):
    official = many.head(50).assign(split="official_test")  # not part of a scheme
    split = split_by_image(pd.concat([many, official]), seed=3)
    assert split["split"].value_counts().to_dict() == {"train": 1280, "test": 320}
    average = repeat_scheme(many, "image-level", draws=10)
    # Of 1,600 rows 600 have one sibling, which is in train with probability 0.8.
    assert average["share"]["mean"] == pytest.approx(600 / 1600 * 0.8, abs=0.02)


def test_copied_rows_are_the_single_images_three_times(many):
    split = split_copied_rows(many, seed=1)
    assert len(split) == 3000
    assert set(split["image_id"].value_counts()) == {3}
    average = repeat_scheme(many, "copied-rows", draws=5)
    assert average["share"]["mean"] == pytest.approx(1 - 0.2**2, abs=0.01)
    assert average["share_all_others"]["mean"] == pytest.approx(0.8**2, abs=0.02)


@pytest.mark.real_data
def test_what_the_common_ways_leak_on_the_real_metadata(pytestconfig):
    source = pytestconfig.rootpath.parent / "shared" / "data" / "HAM10000"
    frame = parse_metadata((source / "HAM10000_metadata.csv").open("rb"))
    rows = frame.assign(label=frame["dx"], split="train", sha256=frame["image_id"])
    by_image, copied = (repeat_scheme(rows, name, draws=4) for name in SCHEMES)
    assert by_image["share"]["mean"] == pytest.approx(0.385, abs=0.01)
    assert copied["share"]["mean"] == pytest.approx(0.96, abs=0.01)
    assert copied["share_all_others"]["mean"] == pytest.approx(0.64, abs=0.01)
