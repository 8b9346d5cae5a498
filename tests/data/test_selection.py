import pandas as pd

from hf_lesion.data.selection import EVERYTHING, Selection, describe_split, training_ids

FRACTIONS = (0.8, 0.1, 0.1)


def test_the_record_tells_how_a_split_was_drawn_or_where_it_is_from(tmp_path):
    assert describe_split(EVERYTHING, fractions=FRACTIONS, seed=3) == {
        "seed": 3,
        "fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
        "split_file": None,
        "subset": "all",
    }
    taken = Selection(subset="single-image", split_file=tmp_path / "splits.csv")
    assert describe_split(taken, fractions=FRACTIONS, seed=3) == {
        "seed": None,
        "fractions": None,
        "split_file": str(tmp_path / "splits.csv"),
        "subset": "single-image",
    }


def test_training_ids_are_all_but_those_of_the_official_test_set():
    splits = ["train", "official_test", "test", "validation"]
    frame = pd.DataFrame({"image_id": list("abcd"), "split": splits})
    assert training_ids(frame) == ["a", "c", "d"]
