import io

import numpy as np
import pytest
from raised import refusal

from hf_lesion.data.metadata import (
    METADATA_COLUMNS,
    parse_ground_truth,
    parse_metadata,
    parse_training,
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
    rows = [f"HAM_{n};ISIC_{n};nv;histo;{age};male;;x\n" for n, age in enumerate(("nan", "45,0"))]
    found = parse(HEADER.replace(",", ";") + "".join(rows))["age"]
    assert np.isnan(found[0])
    assert found[1] == 45


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image_id,dx,dx_type,age,sex\nISIC_1,nv,histo,3,male\n",
            "lacks 2 columns: lesion_id, localization. Expected lesion_id, image_id, dx, ",
        ),
        (
            GOOD + "HAM_4,ISIC_4,Nevus,histo,0,female,back,x\nHAM_5,ISIC_5,scc,histo,1,,,x\n",
            "has 2 unknown values of dx: nevus, scc. Expected one of akiec, bcc, bkl, df, ",
        ),
        (
            GOOD + "HAM_2,ISIC_4,bcc,histo,0,female,back,x\n",
            "has 1 lesions with more than one dx: HAM_2 (bcc, mel). Correct dx or lesion_id",
        ),
        (GOOD + ",ISIC_4,nv,histo,0,female,back,x\n", "has 1 rows without lesion_id: row 4."),
    ],
)
def test_errors(text, message):
    assert refusal(parse, text).startswith(f"HAM10000_metadata.csv {message}")


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
        ",image_id,dx\n0,ISIC_1,NV\n1,ISIC_2,Mel\n2,ISIC_3,VASC\n",
        TRUTH.replace(",", ";").replace(".0", ",0"),
        "\n".join(f"{i or 'Unnamed: 0'},{x}" for i, x in enumerate(TRUTH.split())),
    ],
)
def test_ground_truth_as_file_managers_pandas_and_spreadsheets_leave_it(text):
    assert parse_truth(text).equals(parse_truth(TRUTH))


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
            "has no diagnoses: its columns are name, diagnosis. Pass image_id and dx, or image and "
            "one column each for MEL, NV, BCC, AKIEC, BKL, DF, VASC.",
        ),
        (
            f"{ONE_HOT}\na,1,1,0,0,0,0,0\nb,0,0,0,0,0,0,0\nc,0,1,0,0,0,0,0\nd,,1,0,0,0,0,0\n",
            "has 3 images without exactly one diagnosis: a, b, d. Expected 1 in one column and 0 "
            "in the others.",
        ),
    ],
)
def test_ground_truth_that_is_wrong(text, message):
    assert refusal(parse_truth, text) == f"truth.csv {message}"


def test_training_tables_of_the_challenge_become_metadata():
    frame = parse_both().set_index("image_id").sort_index()
    assert tuple(parse_both()) == METADATA_COLUMNS
    assert list(frame["dx"]) == ["nv", "mel", "vasc"]
    assert list(frame["lesion_id"]) == ["HAM_1", "HAM_2", "HAM_3"]
    assert list(frame["dx_type"]) == ["follow_up", "histo", "confocal"]
    assert frame["age"].dtype == float
    assert frame[["age", "sex", "localization", "dataset"]].isna().all(axis=None)


def test_training_tables_that_do_not_fit():
    assert refusal(parse_both, TRUTH + "ISIC_4,0,1,0,0,0,0,0\n") == (
        "1 images have no row in groups.csv: ISIC_4. Fetch both tables again from "
        "https://challenge.isic-archive.com/data/#2018."
    )
    assert refusal(parse_both, groupings=GROUPINGS + "ISIC_5,HAM_5,x\n").startswith(
        "1 images have no row in truth.csv: ISIC_5. "
    )
