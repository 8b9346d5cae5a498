import io
import re
from pathlib import Path

import pytest

from hf_lesion.errors import InputError
from hf_lesion.evaluation.ground_truth import parse_ground_truth, read_ground_truth

REAL_DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "HAM10000"
ONE_HOT = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"


def parse(text):
    return parse_ground_truth(io.StringIO(text), source="truth.csv")


def refusal(text):
    with pytest.raises(InputError) as caught:
        parse(text)
    return str(caught.value)


def test_the_isics_one_hot_columns_become_codes_whatever_their_order():
    truth = parse(
        f"{ONE_HOT}\nISIC_1,1.0,0.0,0.0,0.0,0.0,0.0,0.0\nISIC_2,0,0,0,1,0,0,0\n"
        "ISIC_3,0,0,0,0,0,0,1\n"
    )
    assert truth.to_dict("list") == {
        "image_id": ["ISIC_1", "ISIC_2", "ISIC_3"],
        "dx": ["mel", "akiec", "vasc"],
    }


def test_lesion_ids_and_the_columns_of_ham10000_are_kept():
    truth = parse(
        "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
        "HAM_0,ISIC_1,bkl,histo,80.0,male,scalp,vidir_modern\n"
        "0012,007,nv,histo,,NA,scalp,vidir_modern\n"
    )
    assert truth.to_dict("list") == {
        "image_id": ["ISIC_1", "007"],
        "dx": ["bkl", "nv"],
        "lesion_id": ["HAM_0", "0012"],
        "dx_type": ["histo", "histo"],
        "age": ["80.0", ""],
        "sex": ["male", "NA"],
        "localization": ["scalp", "scalp"],
        "dataset": ["vidir_modern", "vidir_modern"],
    }
    one_hot = parse(f"{ONE_HOT},lesion_id\nISIC_1,0,1,0,0,0,0,0,L1\n")
    assert one_hot.to_dict("list") == {"image_id": ["ISIC_1"], "dx": ["nv"], "lesion_id": ["L1"]}


@pytest.mark.real_data
def test_the_metadata_of_ham10000_is_a_ground_truth():
    truth = read_ground_truth(REAL_DATA / "HAM10000_metadata.csv")
    # Tschandl et al. 2018, tables 1 and 2, as published on Dataverse.
    counts = {"akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705}
    assert truth["dx"].value_counts().to_dict() == counts | {"vasc": 142}
    assert truth["lesion_id"].nunique() == 7470


def test_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("image_id,dx\na,nv\n", encoding="utf-8-sig")
    assert read_ground_truth(path)["image_id"].tolist() == ["a"]


FORMS = (
    "Pass either image_id and dx, or image and one-hot MEL, NV, BCC, AKIEC, BKL, DF, VASC; "
    "lesion_id is optional."
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image_id,dx,colour\na,nv,red\n",
            f"truth.csv has other columns than expected (unknown: colour). {FORMS}",
        ),
        (
            "name,diagnosis\na,nv\n",
            "truth.csv has other columns than expected (missing: image_id, MEL, NV, BCC, AKIEC, …; "
            f"unknown: name, diagnosis). {FORMS}",
        ),
        (
            f"{ONE_HOT},UNK\na,1,0,0,0,0,0,0,0\n",
            f"truth.csv has other columns than expected (unknown: UNK). {FORMS}",
        ),
        (
            f"{ONE_HOT},score_weight\na,1,0,0,0,0,0,0,0\n",
            f"truth.csv has other columns than expected (unknown: score_weight). {FORMS}",
        ),
        (
            "image_id,image,dx\na,a,nv\n",
            f"truth.csv has other columns than expected (unknown: image). {FORMS}",
        ),
        (
            f"{ONE_HOT}\na,1,1,0,0,0,0,0\nb,0,0,0,0,0,0,0\nc,0,1,0,0,0,0,0\nd,,1,0,0,0,0,0\n"
            "e,0.5,0.5,0,0,0,0,0\n",
            "4 rows of truth.csv do not have exactly one 1 among 0s in MEL, NV, BCC, AKIEC, "
            "BKL, DF, VASC: a, b, d, e. Correct or remove them.",
        ),
        (
            "image_id,dx\na,nv\nb,scc\nc,NV\n",
            "truth.csv has 2 unknown values of dx: NV, scc. The model knows akiec, bcc, bkl, df, "
            "mel, nv, vasc.",
        ),
        (
            "image_id,dx\na,nv\nb,mel\na,mel\n",
            "truth.csv names 1 images more than once: a. Keep one row of each.",
        ),
        (
            "image_id,dx,lesion_id\na,nv,L1\nb,mel,\nc,mel\n",
            "truth.csv has no lesion_id in 2 of 3 rows: 2, 3. Fill them in or remove them.",
        ),
        ("image_id,dx\n", "truth.csv names no image. Pass one row for each image."),
        (
            "",
            "truth.csv can't be read as CSV: No columns to parse from file. Save it as CSV.",
        ),
    ],
)
def test_a_malformed_table_is_refused(text, message):
    assert refusal(text) == message


def test_a_missing_or_binary_file_is_refused(tmp_path):
    path = tmp_path / "truth.csv"
    message = f"There is no file {path}. Pass the CSV of the images' diagnoses."
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_ground_truth(path)
    path.write_bytes(b"\xff\xd8\xff\xe0 not text")
    with pytest.raises(InputError, match=r"can't be read as CSV: .* Save it as CSV\.$"):
        read_ground_truth(path)
