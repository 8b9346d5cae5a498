import re

import numpy as np
import pandas as pd
import pytest

from hf_lesion.data import observations
from hf_lesion.data.exploration import read_frame

NAN = re.compile(r"\bnan\b")
NAMES = [name for name in vars(observations) if name.startswith("say_")]


@pytest.fixture
def frame():
    """Twenty images: fifteen nevi of one source by follow-up, five melanomas of another."""
    nevi = 15
    colour = {f"{part}_{c}": 100.0 for part in ("frame", "lesion", "skin") for c in "rgb"}
    frame = pd.DataFrame(
        {
            "dx": ["nv"] * nevi + ["mel"] * 5,
            "lesion_id": [f"l{number // 2}" for number in range(20)],
            "image_id": [f"i{number}" for number in range(20)],
            "age": [40.0] * nevi + [60.0] * 4 + [np.nan],
            "sex": ["male", "female", "female"] * 5 + ["male"] * 4 + ["unknown"],
            "localization": ["back"] * nevi + ["face"] * 4 + ["back"],
            "dx_type": ["follow_up"] * nevi + ["histo"] * 5,
            "dataset": ["a"] * nevi + ["b"] * 5,
            "area": [0.1] * nevi + [0.3] * 4 + [1.0],
            "touches": [False] * nevi + [True] * 5,
            "x": 0.5,
            "y": 0.5,
            **colour,
        }
    )
    frame.loc[nevi:, ["lesion_r", "lesion_g", "lesion_b"]] = 50.0
    frame.loc[nevi:, ["frame_r", "frame_g", "frame_b"]] = 80.0
    return frame


def test_sentences_state_what_the_data_hold(frame):
    say = {name: getattr(observations, name)(frame) for name in NAMES}
    assert say["say_balance"] == (
        "Melanocytic nevus (nv) makes up 75.0% of the 20 images, so a program that always says nv "
        "is 75.0% accurate: look at balanced accuracy. Melanoma (mel) has 5 images, 3 times fewer. "
        "There is no image of akiec, bcc, bkl, df and vasc."
    )
    assert say["say_malignant"].startswith("25.0% of the images show a diagnosis that counts as")
    assert say["say_age"] == (
        "The median age runs from 40 years (nv) to 60 (mel), so age and diagnosis go together. "
        "1 age is not known."
    )
    assert say["say_sex"] == (
        "Of all images: 50.0% female, 45.0% male, 5.0% unknown. Where the sex is known, from 0% "
        "(mel) to 67% (nv) are female."
    )
    assert say["say_localization"].startswith(
        "The most frequent place is the back (80.0% of the known). Melanocytic nevus (nv) keeps to "
        "one place most: 100% back. Association with the diagnosis: Cramér's V "
    )
    assert say["say_dx_type"] == (
        "15 images are confirmed by follow_up, all of them nv. Every image of mel has a histology. "
        "How sure a label is depends on the diagnosis."
    )
    assert say["say_source"] == (
        "100% of the 15 images from a are nv, and 5 of the 5 mel come from b. Association with the "
        "diagnosis: Cramér's V 1.00 (0 none, 1 complete). A model can read the diagnosis off the "
        "camera, not the skin."
    )
    assert say["say_per_lesion"].startswith(
        "10 lesions have 20 images: 0 lesions have one, and 20 images (100.0%) share their lesion"
    )
    assert say["say_masks"] == (
        "The lesion covers 10% of the frame in the median image, from 10% (nv) to 30% (mel). It "
        "reaches the frame's edge in 25% of the images. 1 mask is larger than 90% of the frame, 1 "
        "of them all of it."
    )
    assert say["say_colours"] == (
        "The median luminance runs from 50 (mel, the darkest) to 100 (nv). Against the skin around "
        "it mel stands out most (by 50) and nv least (by 0)."
    )
    assert say["say_source_colours"] == (
        "Cameras and light differ: the median luminance runs from 80 (b) to 100 (a)."
    )
    assert say["say_missing"] == "Missing: age 1, sex 1 (as the word “unknown”)."


def test_a_source_by_chance_is_no_warning(frame):
    frame["dataset"] = np.resize(["a", "b"], 20)
    assert "camera" not in observations.say_source(frame)


def test_sentences_without_what_is_not_known(frame):
    frame[["sex", "localization", "dx_type", "dataset", "lesion_id"]] = None
    frame[["age", "lesion_r"]] = np.nan
    said = [getattr(observations, name)(frame) for name in NAMES if name != "say_masks"]
    assert "No age is known." in said
    assert "The sex is not known of any image." in said
    assert "The place on the body is not known of any image." in said
    assert "It is not known of any image how its diagnosis was confirmed." in said
    assert "The lesion is not known of any image." in said
    assert "There is one source (unknown)." in said
    assert not [text for text in said if NAN.search(text)]


def test_one_class_alone_is_described(frame):
    nevi = frame[frame["dx"] == "nv"]
    said = [getattr(observations, name)(nevi) for name in NAMES]
    assert not [text for text in said if NAN.search(text)]


@pytest.mark.real_data
@pytest.mark.slow
def test_real_data_say_what_is_known_of_them(pytestconfig, tmp_path):
    """Against the facts in shared/README.md, which were counted by others."""
    from hf_lesion.data.dataset import prepare

    source = pytestconfig.rootpath.parent / "shared" / "data" / "HAM10000"
    prepare(source, tmp_path / "real")
    frame = read_frame(tmp_path / "real")
    assert "94% of the 3,954 images from vidir_molemax are nv" in observations.say_source(frame)
    assert "295 of the 327 akiec come from rosendahl" in observations.say_source(frame)
    assert "45 masks are larger than 90% of the frame, 2 of them" in observations.say_masks(frame)
    assert "5,514 lesions have one" in observations.say_per_lesion(frame)
    assert "age 57" in observations.say_missing(frame)
