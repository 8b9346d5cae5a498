import io

import pytest
from raised import refusal

from hf_lesion.data.tables import parse_table

ROWS = [["lesion_id", "image_id", "dx"], ["HAM_1", "ISIC_1", "nv"], ["", "ISIC_2", "mel"]]
EXPECTED = {"lesion_id": ["HAM_1", ""], "image_id": ["ISIC_1", "ISIC_2"], "dx": ["nv", "mel"]}


def parse(data):
    return parse_table(io.BytesIO(data.encode() if isinstance(data, str) else data), "t.csv")


def write(*, separator=",", end="\n", quote="", tail=""):
    lines = [separator.join(f"{quote}{field}{quote}" for field in row) + tail for row in ROWS]
    return end.join([*lines, ""])


LAYOUTS = {
    "commas": write(),
    "tabs": write(separator="\t"),
    "quoted": write(quote='"'),
    "carriage returns": write(end="\r\n"),
    "byte order mark": b"\xef\xbb\xbf" + write(end="\r\n", quote='"').encode(),
    "trailing comma": write(tail=","),
    "trailing comma in the rows alone": write(tail=",").replace("dx,", "dx"),
    "semicolons": write(separator=";"),
    "Unicode text": write(separator="\t", end="\r\n").encode("utf-16"),
    "Unicode text, big-endian": b"\xfe\xff" + write(separator="\t").encode("utf-16-be"),
    "spaces": write(separator=" , "),
    "capitals and image": write().replace("image_id", "Image").replace("dx", "DX"),
    "no line end": write().rstrip("\n"),
    "blank lines": write(end="\n\n"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_in_circulation_are_the_same_table(layout):
    assert parse(LAYOUTS[layout]).to_dict("list") == EXPECTED


def test_fields_keep_quotes_commas_and_zeros_and_short_rows_are_filled():
    table = parse('image_id,site,dx\n007,"back, ""left""",nv\n"8"\n')
    assert table.to_numpy().tolist() == [["007", 'back, "left"', "nv"], ["8", "", ""]]
    assert list(table.index) == [2, 3]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "t.csv is empty. Download it again."),
        ("\n \n", "t.csv is empty. Download it again."),
        ("image_id,dx\n", "t.csv has a header but no rows. Download it again."),
        (
            "image_id,dx\na,nv\nb,mel,histo\nc,mel,,x\n",
            "t.csv is not a table: 2 rows have more fields than the header, which has 2: line 3, "
            "line 4. Download it again.",
        ),
        (
            "image,image_id,dx\na,a,nv\n",
            "t.csv has 1 duplicate columns: image_id (image is read as image_id). Keep one of "
            "each.",
        ),
        (
            'image_id,dx\na,"nv\nb,mel\n',
            "t.csv is not a CSV table: unexpected end of data in line 3. Save it as CSV.",
        ),
        (
            b"image_id,site\na,r\xfccken\n",
            "t.csv is not UTF-8 text (invalid start byte in line 2). Save it as CSV in UTF-8.",
        ),
    ],
)
def test_what_is_not_a_table_is_refused(data, message):
    assert refusal(parse, data) == message
