import pytest

from hf_lesion.errors import InputError
from hf_lesion.io.markdown import fill_blocks, table_lines


def test_a_table_has_a_header_a_rule_and_its_rows():
    lines = table_lines(("a", "b"), [["1", "2"], ("3", "4")])
    assert lines == ["| a | b |", "| --- | --- |", "| 1 | 2 |", "| 3 | 4 |"]


def test_only_the_named_blocks_change():
    text = "above\n<!-- a: by x -->\nold\nlines\n<!-- /a -->\n<!-- c: y -->\nc\n<!-- /c -->\n"
    new = fill_blocks(text, {"a": r"new \1", "b": "absent"}, source="x.md")
    assert new == text.replace("old\nlines", r"new \1")
    assert fill_blocks(new, {"a": r"new \1"}, source="x.md") == new


def test_a_text_without_blocks_is_rejected():
    with pytest.raises(InputError, match=r"^x\.md has no block to fill: .* NAME is a or b\.$"):
        fill_blocks("nothing", {"a": "", "b": ""}, source="x.md")


@pytest.mark.parametrize(
    "text",
    [
        "<!-- a: x -->\n",
        "<!-- /a -->\n<!-- a: x -->\n",
        "<!-- a: x -->\n<!-- /a -->\n<!-- a: x -->\n<!-- /a -->\n",
    ],
)
def test_markers_come_in_pairs_and_once(text):
    with pytest.raises(InputError, match=r"^x\.md needs one line <!-- a: … --> and below it one"):
        fill_blocks(text, {"a": ""}, source="x.md")
