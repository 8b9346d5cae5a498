import io

import pytest
from raised import refusal

from hf_lesion.data.tables import check_ids, parse_table

ROWS = [["lesion_id", "image_id", "dx"], ["HAM_1", "ISIC_1", "nv"], ["", "ISIC_2", "mel"]]
EXPECTED = {"lesion_id": ["HAM_1", ""], "image_id": ["ISIC_1", "ISIC_2"], "dx": ["nv", "mel"]}


def parse(data):
    return parse_table(io.BytesIO(data.encode() if isinstance(data, str) else data), "t.csv")


def write(*, separator=",", end="\n", quote=""):
    lines = [separator.join(f"{quote}{field}{quote}" for field in row) for row in ROWS]
    return end.join([*lines, ""])


@pytest.mark.parametrize(
    "text",
    [
        write(),
        write(separator="\t", end="\r\n"),
        write(separator=";"),
        b"\xef\xbb\xbf" + write(quote='"').encode(),
        write(separator=" , ", end="\n\n"),
        write().replace("image_id", "Image").replace("dx", "DX"),
        write().replace("nv\n", "nv,\n").replace("mel\n", "mel,,\n"),
    ],
    ids=[
        "commas",
        "tabs",
        "semicolons",
        "byte order mark",
        "spaces",
        "capitals and image",
        "trailing",
    ],
)
def test_layouts_in_circulation_are_the_same_table(text):
    assert parse(text).to_dict("list") == EXPECTED


def test_fields_keep_quotes_commas_and_zeros_and_short_rows_are_filled():
    table = parse('image_id,site,dx\n007,"back, ""left""",nv\n"8"\n')
    assert table.to_numpy().tolist() == [["007", 'back, "left"', "nv"], ["8", "", ""]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "is not a table: No columns to parse"),
        ("image_id,dx\n", "has no rows that fit"),
        ("image_id,dx\na,nv,histo\nb,mel,histo\n", "has no rows that fit"),
        ("image_id,dx\na,nv\nb,mel,histo\n", "is not a table: Error tokenizing data."),
        ('image_id,dx\na,"nv\nb,mel\n', "is not a table: Error tokenizing data."),
        ("image,image_id,dx\na,a,nv\n", "has 1 duplicate columns: image_id. Keep one"),
        (b"image_id,site\na,r\xfccken\n", "is not UTF-8 text. Save it as CSV in UTF-8."),
    ],
)
def test_what_is_not_a_table_is_refused(data, message):
    assert refusal(parse, data).startswith(f"t.csv {message}")


def test_ids_that_are_absent_or_twice_there_are_named():
    table = parse(write() + "HAM_3,ISIC_1,nv\n")
    assert refusal(check_ids, table, "t.csv", ("lesion_id",)) == (
        "t.csv has 1 rows without lesion_id: row 2."
    )
    assert refusal(check_ids, table, "t.csv", ()) == (
        "t.csv has 1 duplicate image_ids: ISIC_1. Keep one of each."
    )
