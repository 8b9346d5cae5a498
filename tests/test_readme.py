import re
from pathlib import Path

from hf_lesion.evaluation.explanations import tables
from hf_lesion.hub.card import render_card
from hf_lesion.hub.results import read_shipped, render_blocks
from hf_lesion.io.markdown import fill_blocks
from hf_lesion.labels import DIAGNOSES, NOTICE

ROOT = Path(__file__).resolve().parent.parent
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS = {file.name: file.read_text(encoding="utf-8") for file in FILES}
README = DOCUMENTS["README.md"]


def test_the_table_of_diagnoses_is_that_of_the_code():
    rows = [
        f"| `{d.code}` | {d.name} | {'yes' if d.malignant else 'no'} | {d.sentence} |"
        for d in DIAGNOSES
    ]
    block = re.search(r"<!-- diagnoses.*?-->\n(.*?)<!-- /diagnoses -->", README, re.S)
    assert block.group(1).splitlines()[2:] == rows


def test_the_two_commands_and_the_notice_are_in_the_first_screen():
    screen = "\n".join(README.splitlines()[:24])
    assert "make demo" in screen
    assert "make test" in screen
    assert "Not a medical device" in screen
    assert "not a medical device" in NOTICE


def test_the_tables_are_those_of_the_records():
    shipped = read_shipped(ROOT / "space" / "models")
    blocks = render_blocks(shipped)
    blocks["explanations"] = tables.render_block([model.folder for model in shipped])
    found = "".join(DOCUMENTS.values())
    assert [name for name in blocks if f"<!-- {name}: " not in found] == []
    for name, text in DOCUMENTS.items():
        if re.search(rf"<!-- ({'|'.join(blocks)}): ", text):
            assert fill_blocks(text, blocks, source=name) == text


def test_every_card_is_that_of_its_records_to_the_digit():
    shipped = read_shipped(ROOT / "space" / "models")
    for model in shipped:
        assert (model.folder / "README.md").read_text(encoding="utf-8") == render_card(model)
    best = (ROOT / "model_card.md").read_text(encoding="utf-8")
    assert best == render_card(shipped[0])


def test_every_file_that_is_named_exists():
    text = "".join(DOCUMENTS.values())
    named = set(re.findall(r"(?:scripts|space|tests|hf_lesion)/[\w/]+\.(?:py|yaml)", text))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).is_file()] == []
    recipes = set(re.findall(r"`(\w+\.yaml)`", DOCUMENTS["training.md"]))
    assert [name for name in recipes if not (ROOT / "scripts" / "configs" / name).is_file()] == []
    every = {file.name for file in (ROOT / "scripts" / "configs").glob("*.yaml")}
    assert {name for name in every if not name.startswith("sample_")} == recipes


def test_every_link_leads_to_a_file():
    for name, text in DOCUMENTS.items():
        folder = ROOT if name == "README.md" else ROOT / "docs"
        links = re.findall(r"\]\(([^)#:]+)\)", text)
        assert [link for link in links if not (folder / link).exists()] == []


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 200


def test_the_tree_names_every_room():
    tree = README.split("## Repository layout")[1]
    rooms = {file.parent.name for file in (ROOT / "hf_lesion").glob("*/__init__.py")}
    assert len(rooms) >= 6
    assert [room for room in rooms if f"\n  {room}/ " not in tree] == []
