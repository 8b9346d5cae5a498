import io

import pytest

from hf_lesion.data.metadata import METADATA_COLUMNS, parse_metadata, read_metadata
from hf_lesion.errors import InputError

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
GOOD = (
    HEADER
    + "HAM_1,ISIC_2,nv,histo,80.0,male,scalp,rosendahl\n"
    + "HAM_1,ISIC_1,nv,histo,,unknown,,rosendahl\n"
    + "HAM_2,ISIC_3,mel,histo,0,female,back,vidir_modern\n"
)
REAL_COUNTS = {"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142}


def parse(text):
    return parse_metadata(io.BytesIO(text.encode() if isinstance(text, str) else text))


def error_of(text):
    with pytest.raises(InputError) as caught:
        parse(text)
    return str(caught.value)


def test_rows_keep_order_and_columns():
    frame = parse(GOOD)
    assert tuple(frame) == METADATA_COLUMNS
    assert list(frame["image_id"]) == ["ISIC_2", "ISIC_1", "ISIC_3"]
    assert frame["age"].dtype == float
    assert list(frame["age"].fillna(-1)) == [80.0, -1, 0.0]
    assert frame["localization"][1] is None
    assert frame["sex"][1] == "unknown"  # a word of the dataset, not an absent value


def test_copy_without_dataset_column_has_none():
    frame = parse("\n".join(line.rsplit(",", 1)[0] for line in GOOD.splitlines()))
    assert tuple(frame) == METADATA_COLUMNS
    assert list(frame["dataset"]) == [None, None, None]


def test_byte_order_mark_further_columns_and_other_order_are_taken():
    lines = [",".join(reversed(line.split(","))) + ",x" for line in GOOD.splitlines()]
    frame = parse(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert frame.equals(parse(GOOD))


def test_tabs_and_quotes_as_dataverse_converts_the_table_are_taken():
    lines = [line.split(",") for line in GOOD.splitlines()]
    rows = ["\t".join(field if "." in field else f'"{field}"' for field in line) for line in lines]
    assert parse("\n".join(rows).replace('""', "")).equals(parse(GOOD))


def test_words_for_no_age():
    rows = "".join(
        f"HAM_{word},ISIC_{word},nv,histo,{word},male,scalp,rosendahl\n"
        for word in ("nan", "NaN", "unknown", "None")
    )
    assert parse(HEADER + rows)["age"].isna().all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "HAM10000_metadata.csv is empty. Fetch it again."),
        (HEADER, "HAM10000_metadata.csv has a header but no rows. Fetch it again."),
        (
            "image_id,dx,dx_type,age,sex\nISIC_1,nv,histo,3,male\n",
            "HAM10000_metadata.csv lacks 2 columns: lesion_id, localization. Expected lesion_id, "
            "image_id, dx, dx_type, age, sex, localization; came image_id, dx, dx_type, age, sex.",
        ),
        (
            GOOD + "HAM_2,ISIC_3,mel,histo,0,female,back,x\nHAM_1,ISIC_1,nv,histo,,,,x\n",
            "HAM10000_metadata.csv names 2 image_ids more than once: ISIC_1, ISIC_3. "
            "Keep one row per image.",
        ),
        (
            GOOD + "HAM_4,ISIC_4,NV,histo,0,female,back,x\nHAM_5,ISIC_5,scc,histo,1,,,x\n",
            "HAM10000_metadata.csv has 2 unknown dx: 'NV', 'scc'. "
            "Expected one of akiec, bcc, bkl, df, mel, nv, vasc.",
        ),
        (
            GOOD + "HAM_2,ISIC_4,bcc,histo,0,female,back,x\n",
            "HAM10000_metadata.csv gives 1 lesions more than one dx: HAM_2 (bcc, mel). "
            "One lesion has one diagnosis: correct dx or lesion_id.",
        ),
        (
            GOOD + "HAM_4,,nv,histo,0,female,back,x\nHAM_5\n",
            "HAM10000_metadata.csv has 2 rows without image_id: line 5, line 6.",
        ),
        (
            GOOD + ",ISIC_4,nv,histo,0,female,back,x\n",
            "HAM10000_metadata.csv has 1 rows without lesion_id: line 5.",
        ),
        (
            GOOD + "HAM_4,ISIC_4,nv,histo,old,,,x\nHAM_5,ISIC_5,nv,histo,-3,female,back,x\n",
            "HAM10000_metadata.csv has 2 values of age that are no number of years: '-3', 'old'. "
            "Leave the field empty where the age is unknown.",
        ),
        (
            GOOD.encode() + b"HAM_4,ISIC_4,nv,histo,3,male,r\xfccken,x\n",
            "HAM10000_metadata.csv is not UTF-8 text (invalid start byte in line 5). "
            "Save it as CSV in UTF-8.",
        ),
    ],
)
def test_errors(text, message):
    assert error_of(text) == message


def test_other_encodings_and_pictures_are_no_tables():
    assert "is not UTF-8 text" in error_of(GOOD.encode("utf-16"))
    assert "HAM10000_metadata.csv" in error_of(bytes(range(256)) * 8)
    assert "is not a CSV table" in error_of(GOOD + "a,b,c,d,e,f,g,h,i,j,k\n")


def test_file_that_is_not_there(tmp_path):
    path = tmp_path / "HAM10000_metadata.csv"
    with pytest.raises(InputError) as caught:
        read_metadata(path)
    assert str(caught.value) == (
        f"{path} is not there. "
        "Pass the folder that holds HAM10000_metadata.csv and the image folders."
    )


def test_error_names_the_file(tmp_path):
    path = tmp_path / "other.csv"
    path.write_bytes(b"")
    with pytest.raises(InputError) as caught:
        read_metadata(path)
    assert str(caught.value) == f"{path} is empty. Fetch it again."


@pytest.mark.real_data
def test_counts_of_the_real_metadata(pytestconfig):
    source = pytestconfig.rootpath.parent / "shared" / "data" / "HAM10000"
    frame = read_metadata(source / "HAM10000_metadata.csv")
    assert frame["dx"].value_counts().to_dict() == {**REAL_COUNTS, "df": 115}
    assert len(frame) == 10_015
    assert frame["lesion_id"].nunique() == 7_470
    assert frame["age"].isna().sum() == 57
