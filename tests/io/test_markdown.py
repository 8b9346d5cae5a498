import pytest

from hf_lesion.errors import InputError
from hf_lesion.io.markdown import put_between, table_lines


def test_a_table_has_a_header_a_rule_and_its_rows():
    lines = table_lines(("a", "b"), [["1", "2"], ("3", "4")])
    assert lines == ["| a | b |", "| --- | --- |", "| 1 | 2 |", "| 3 | 4 |"]


def test_what_stands_between_the_markers_is_replaced_to_the_letter():
    text = "before\n<a>\nold\nlines\n<b>\nafter\n"
    new = put_between(text, r"new \1", start="<a>", end="<b>", source="x.md")
    assert new == "before\n<a>\nnew \\1\n<b>\nafter\n"


@pytest.mark.parametrize("text", ["none", "<a>\n", "<b>\n<a>\n", "<a>\n<b>\n<a>\n<b>\n"])
def test_markers_stand_there_once_and_in_order(text):
    with pytest.raises(InputError, match=r"^x\.md needs one line <a> and below it one <b>\.$"):
        put_between(text, "", start="<a>", end="<b>", source="x.md")
