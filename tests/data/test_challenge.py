import io

import numpy as np
import pytest

from hf_lesion.data.challenge import parse_official_test, parse_training
from hf_lesion.data.metadata import METADATA_COLUMNS
from hf_lesion.errors import InputError

# The challenge's own order of columns, which is not that of our codes.
TRUTH = """\
image,MEL,NV,BCC,AKIEC,BKL,DF,VASC
ISIC_1,0.0,1.0,0.0,0.0,0.0,0.0,0.0
ISIC_2,1.0,0.0,0.0,0.0,0.0,0.0,0.0
ISIC_3,0.0,0.0,0.0,0.0,0.0,0.0,1.0
"""
GROUPINGS = """\
image,lesion_id,diagnosis_confirm_type
ISIC_3,HAM_3,confocal microscopy with consensus dermoscopy
ISIC_1,HAM_1,serial imaging showing no change
ISIC_2,HAM_2,histopathology
"""
METADATA_FORM = (
    "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
    "HAM_7,ISIC_7,bcc,histo,45.0,male,back,vidir_modern\n"
    ",ISIC_8,nv,,,,,\n"
    ",ISIC_9,mel,,,,,\n"
    ",ISIC_0035068,nv,,,,,\n"
)


def train(truth=TRUTH, groupings=GROUPINGS):
    streams = (io.BytesIO(text.encode()) for text in (truth, groupings))
    return parse_training(*streams, names=("truth.csv", "groups.csv"))


def read_test(text):
    return parse_official_test(io.BytesIO(text.encode()), name="test.csv")


def error_of(parse, *texts):
    with pytest.raises(InputError) as caught:
        parse(*texts)
    return str(caught.value)


def test_one_hot_rows_and_groupings_become_metadata():
    frame = train().set_index("image_id").sort_index()
    assert tuple(train()) == METADATA_COLUMNS
    assert list(frame["dx"]) == ["nv", "mel", "vasc"]
    assert list(frame["lesion_id"]) == ["HAM_1", "HAM_2", "HAM_3"]
    assert list(frame["dx_type"]) == ["follow_up", "histo", "confocal"]
    assert frame["age"].dtype == float
    assert frame["age"].isna().all()
    assert frame[["sex", "localization", "dataset"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("truth", "groupings", "message"),
    [
        (
            TRUTH + "ISIC_4,0,1,0,0,0,0,0\n",
            GROUPINGS,
            "1 images have no row in groups.csv: ISIC_4. "
            "Fetch both tables again from https://challenge.isic-archive.com/data/#2018.",
        ),
        (
            TRUTH,
            GROUPINGS + "ISIC_5,HAM_5,histopathology\n",
            "1 images have no row in truth.csv: ISIC_5. "
            "Fetch both tables again from https://challenge.isic-archive.com/data/#2018.",
        ),
        (
            TRUTH + "ISIC_4,0,1,1,0,0,0,0\nISIC_5,0,0,0,0,0,0,0\nISIC_6,0,0.5,0.5,0,0,0,0\n",
            GROUPINGS,
            "truth.csv gives 3 images other than one diagnosis: ISIC_4, ISIC_5, ISIC_6. "
            "Expected 1 in one column and 0 in the others.",
        ),
        (
            TRUTH.replace(",VASC", ",OTHER"),
            GROUPINGS,
            "truth.csv lacks 1 columns: VASC. Expected image, AKIEC, BCC, BKL, DF, MEL, NV, VASC; "
            "came image, MEL, NV, BCC, AKIEC, BKL, DF, OTHER.",
        ),
        (
            TRUTH + "ISIC_1,0,1,0,0,0,0,0\n",
            GROUPINGS,
            "truth.csv names 1 image_ids more than once: ISIC_1. Keep one row per image.",
        ),
        (
            TRUTH,
            GROUPINGS.replace("HAM_2", "HAM_1"),
            "truth.csv with groups.csv gives 1 lesions more than one dx: HAM_1 (mel, nv). "
            "One lesion has one diagnosis: correct dx or lesion_id.",
        ),
    ],
)
def test_training_tables_that_are_wrong(truth, groupings, message):
    assert error_of(train, truth, groupings) == message


def test_the_official_test_set_in_the_form_of_the_metadata():
    for text in (METADATA_FORM, METADATA_FORM.replace(",", "\t")):
        frame = read_test(text)
        assert tuple(frame) == METADATA_COLUMNS
        assert list(frame["image_id"]) == ["ISIC_7", "ISIC_8", "ISIC_9"]
        assert list(frame["lesion_id"]) == ["HAM_7", None, None]
        assert list(frame["dx"]) == ["bcc", "nv", "mel"]
        assert frame["age"][0] == 45
        assert np.isnan(frame["age"][1])


def test_the_official_test_set_in_the_form_of_the_challenge():
    frame = read_test(TRUTH + "ISIC_0035068,0,1,0,0,0,0,0\n")
    assert list(frame["image_id"]) == ["ISIC_1", "ISIC_2", "ISIC_3"]
    assert list(frame["dx"]) == ["nv", "mel", "vasc"]
    assert frame.drop(columns=["image_id", "dx"]).isna().all(axis=None)


def test_ground_truth_that_is_wrong():
    assert error_of(read_test, METADATA_FORM.replace("bcc", "scc")) == (
        "test.csv has 1 unknown dx: 'scc'. Expected one of akiec, bcc, bkl, df, mel, nv, vasc."
    )
