import io

import numpy as np
import pytest
from raised import refusal

from hf_lesion.data.metadata import (
    METADATA_COLUMNS,
    parse_ground_truth,
    parse_metadata,
    parse_training,
    read_ground_truth,
)

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
GOOD = (
    HEADER
    + "HAM_1,ISIC_2,nv,histo,80.0,male,scalp,rosendahl\n"
    + "HAM_1,ISIC_1,nv,histo,,unknown,,rosendahl\n"
    + "HAM_2,ISIC_3,mel,histo,0,female,back,vidir_modern\n"
)
ONE_HOT = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"
# The challenge's own order of columns, which is not that of our codes.
TRUTH = f"""\
{ONE_HOT}
ISIC_1,0.0,1.0,0.0,0.0,0.0,0.0,0.0
ISIC_2,1,0,0,0,0,0,0
ISIC_3,0.0,0.0,0.0,0.0,0.0,0.0,1.0
"""
GROUPINGS = """\
image,lesion_id,diagnosis_confirm_type
ISIC_3,HAM_3,confocal microscopy with consensus dermoscopy
ISIC_1,HAM_1,serial imaging showing no change
ISIC_2,HAM_2,histopathology
"""


def parse(text):
    return parse_metadata(io.BytesIO(text.encode()))


def test_rows_keep_order_and_columns():
    frame = parse(GOOD)
    assert tuple(frame) == METADATA_COLUMNS
    assert list(frame["image_id"]) == ["ISIC_2", "ISIC_1", "ISIC_3"]
    assert frame["age"].dtype == float
    assert list(frame["age"].fillna(-1)) == [80.0, -1, 0.0]
    assert frame["localization"][1] is None
    assert frame["sex"][1] == "unknown"  # a word of the dataset, not an absent value


def test_further_columns_and_another_order_are_taken():
    lines = [",".join(reversed(line.split(","))) + ",x" for line in GOOD.splitlines()]
    assert parse("\n".join(lines)).equals(parse(GOOD))


def test_ages_may_be_words_or_have_a_decimal_comma():
    ages = ("nan", "NaN", "unknown", "None", "45,0")
    rows = [f"HAM_{n};ISIC_{n};nv;histo;{age};male;;x\n" for n, age in enumerate(ages)]
    found = parse(HEADER.replace(",", ";") + "".join(rows))["age"]
    assert found[:4].isna().all()
    assert found[4] == 45


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image_id,dx,dx_type,age,sex\nISIC_1,nv,histo,3,male\n",
            "HAM10000_metadata.csv lacks 2 columns: lesion_id, localization. Expected lesion_id, "
            "image_id, dx, dx_type, age, sex, localization; got image_id, dx, dx_type, age, sex.",
        ),
        (
            GOOD + "HAM_2,ISIC_3,mel,histo,0,female,back,x\nHAM_1,ISIC_1,nv,histo,,,,x\n",
            "HAM10000_metadata.csv has 2 duplicate image_ids: ISIC_1, ISIC_3. Keep one row per "
            "image.",
        ),
        (
            GOOD + "HAM_4,ISIC_4,Nevus,histo,0,female,back,x\nHAM_5,ISIC_5,scc,histo,1,,,x\n",
            "HAM10000_metadata.csv has 2 unknown values of dx: 'nevus', 'scc'. "
            "Expected one of akiec, bcc, bkl, df, mel, nv, vasc.",
        ),
        (
            GOOD + "HAM_2,ISIC_4,bcc,histo,0,female,back,x\n",
            "HAM10000_metadata.csv has 1 lesions with more than one dx: HAM_2 (bcc, mel). Correct "
            "dx or lesion_id: a lesion has one diagnosis.",
        ),
        (
            GOOD + ",ISIC_4,nv,histo,0,female,back,x\n",
            "HAM10000_metadata.csv has 1 rows without lesion_id: line 5.",
        ),
        (
            GOOD + "HAM_4,ISIC_4,nv,histo,old,,,x\nHAM_5,ISIC_5,nv,histo,-3,female,back,x\n",
            "HAM10000_metadata.csv has 2 invalid values of age (years): '-3', 'old'. Leave the "
            "field empty where the age is unknown.",
        ),
    ],
)
def test_errors(text, message):
    assert refusal(parse, text) == message


def parse_truth(text):
    return parse_ground_truth(io.BytesIO(text.encode()), name="truth.csv")


def parse_both(truth=TRUTH, groupings=GROUPINGS):
    streams = (io.BytesIO(text.encode()) for text in (truth, groupings))
    return parse_training(*streams, names=("truth.csv", "groups.csv"))


def test_ground_truth_in_the_form_of_the_metadata_and_of_the_challenge():
    one_hot = parse_truth(TRUTH)
    assert tuple(one_hot) == METADATA_COLUMNS
    assert list(one_hot["image_id"]) == ["ISIC_1", "ISIC_2", "ISIC_3"]
    assert list(one_hot["dx"]) == ["nv", "mel", "vasc"]
    assert one_hot.drop(columns=["image_id", "dx"]).isna().all(axis=None)
    short = parse_truth("dx,image_id\nnv,ISIC_1\nmel,ISIC_2\nvasc,ISIC_3\n")
    assert short.equals(one_hot)


@pytest.mark.parametrize(
    "text",
    [
        "image,dx\nISIC_1.jpg,nv\nISIC_2.JPEG,mel\nISIC_3.png,vasc\n",
        "image_id,dx\nISIC_1,NV\nISIC_2,Mel\nISIC_3,VASC\n",
        ",image_id,dx\n0,ISIC_1,nv\n1,ISIC_2,mel\n2,ISIC_3,vasc\n",
        TRUTH.replace(",", ";"),
        TRUTH.replace(",", ";").replace(".0", ",0"),
        "\n".join(f"{i or 'Unnamed: 0'},{x}" for i, x in enumerate(TRUTH.split())),
    ],
)
def test_ground_truth_as_file_managers_pandas_and_spreadsheets_leave_it(text):
    assert parse_truth(text).equals(parse_truth(TRUTH))


def test_an_id_keeps_what_only_looks_like_an_ending():
    frame = parse_truth("image_id,dx\npatient.7,nv\na.b.jpg,nv\n.jpg,mel\n")
    assert list(frame["image_id"]) == ["patient.7", "a.b", ".jpg"]


def test_ground_truth_keeps_what_is_known_of_lesions_and_patients():
    frame = parse_truth(HEADER + "HAM_7,007,bcc,histo,45.0,male,back,x\n,ISIC_8,nv,,,,,\n")
    assert list(frame["image_id"]) == ["007", "ISIC_8"]
    assert list(frame["lesion_id"]) == ["HAM_7", None]
    assert list(frame["sex"]) == ["male", None]
    assert frame["age"][0] == 45
    assert np.isnan(frame["age"][1])
    one_hot = parse_truth(f"{ONE_HOT},lesion_id\nISIC_1,0,1,0,0,0,0,0,L1\n")
    assert list(one_hot["lesion_id"]) == ["L1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name,diagnosis\na,nv\n",
            "truth.csv has no diagnoses: its columns are name, diagnosis. Pass image_id and dx, or "
            "image and one column each for MEL, NV, BCC, AKIEC, BKL, DF, VASC.",
        ),
        (
            f"{ONE_HOT},UNK\na,1,0,0,0,0,0,0,0\n",
            "truth.csv has 1 columns other than the seven diagnoses: unk. Pass image_id and dx, or "
            "image and one column each for MEL, NV, BCC, AKIEC, BKL, DF, VASC.",
        ),
        (
            f"{ONE_HOT},score_weight\na,1,0,0,0,0,0,0,0.5\n",
            "truth.csv has image weights (score_weight), which are not supported. Remove the "
            "column to weight all images equally.",
        ),
        (
            f"{ONE_HOT}\na,1,1,0,0,0,0,0\nb,0,0,0,0,0,0,0\nc,0,1,0,0,0,0,0\nd,,1,0,0,0,0,0\n"
            "e,0.5,0.5,0,0,0,0,0\n",
            "truth.csv has 4 images without exactly one diagnosis: a, b, d, e. Expected 1 in one "
            "column and 0 in the others.",
        ),
    ],
)
def test_ground_truth_that_is_wrong(text, message):
    assert refusal(parse_truth, text) == message


def test_a_missing_ground_truth(tmp_path):
    message = f"{tmp_path / 'a.csv'} not found. Pass a CSV table of the diagnoses of the images."
    assert refusal(read_ground_truth, tmp_path / "a.csv") == message


def test_training_tables_of_the_challenge_become_metadata():
    frame = parse_both().set_index("image_id").sort_index()
    assert tuple(parse_both()) == METADATA_COLUMNS
    assert list(frame["dx"]) == ["nv", "mel", "vasc"]
    assert list(frame["lesion_id"]) == ["HAM_1", "HAM_2", "HAM_3"]
    assert list(frame["dx_type"]) == ["follow_up", "histo", "confocal"]
    assert frame["age"].dtype == float
    assert frame[["age", "sex", "localization", "dataset"]].isna().all(axis=None)


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
            TRUTH,
            GROUPINGS.replace("HAM_2", "HAM_1"),
            "truth.csv with groups.csv has 1 lesions with more than one dx: HAM_1 (mel, nv). "
            "Correct dx or lesion_id: a lesion has one diagnosis.",
        ),
    ],
)
def test_training_tables_that_do_not_fit(truth, groupings, message):
    assert refusal(parse_both, truth, groupings) == message
